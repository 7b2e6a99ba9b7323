"""Medians, ratios with their intervals, slopes. Nothing here measures anything."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import linear_regression, median

__all__ = ["Interval", "median", "median_ratio", "ratio_interval", "slope"]

Interval = tuple[float, float]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median of the ratios of pairs measured in the same round.

    Pairing takes out what changes slowly (heat, neighbours): both of a pair met it.

    Raises:
        ValueError: nothing to compare, or unequal numbers of measurements.
    """
    return math.exp(median(_log_ratios(numerators, denominators)))


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 1,
) -> Interval:
    """Bootstrap percentile interval of :func:`median_ratio`: whole rounds are drawn again, with replacement.

    The same measurements give the same interval (fixed ``seed``). With fewer than about five rounds it is no more
    than the smallest and the largest ratio seen.

    Raises:
        ValueError: as :func:`median_ratio`.
    """
    logs = _log_ratios(numerators, denominators)
    draw = random.Random(seed)
    medians = sorted(median(draw.choices(logs, k=len(logs))) for _ in range(resamples))
    tail = (1 - confidence) / 2
    low = medians[math.floor(tail * (resamples - 1))]
    high = medians[math.ceil((1 - tail) * (resamples - 1))]
    return math.exp(low), math.exp(high)


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least-squares growth of ``ys`` per unit of ``xs``.

    Raises:
        statistics.StatisticsError: fewer than two points, or all ``xs`` the same.
    """
    return linear_regression(xs, ys).slope


def _log_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    if not numerators or len(numerators) != len(denominators):
        raise ValueError(f"cannot pair {len(numerators)} measurements with {len(denominators)}")
    return [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]
