"""Medians, ratios with their intervals, slopes. Nothing here measures anything."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import linear_regression, median

__all__ = ["Interval", "median", "median_interval", "median_ratio", "ratio_interval", "slope", "unpaired_interval"]

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
    low, high = _percentiles(medians, confidence)
    return math.exp(low), math.exp(high)


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least-squares growth of ``ys`` per unit of ``xs``.

    Raises:
        statistics.StatisticsError: fewer than two points, or all ``xs`` the same.
    """
    return linear_regression(xs, ys).slope


def _percentiles(ordered: Sequence[float], confidence: float) -> Interval:
    tail, last = (1 - confidence) / 2, len(ordered) - 1
    return ordered[math.floor(tail * last)], ordered[math.ceil((1 - tail) * last)]


def _log_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    if not numerators or len(numerators) != len(denominators):
        raise ValueError(f"cannot pair {len(numerators)} measurements with {len(denominators)}")
    return [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]


def unpaired_interval(
    news: Sequence[float],
    olds: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 1,
) -> Interval:
    """Bootstrap percentile interval of the ratio of two medians that were measured apart.

    Raises:
        ValueError: nothing to compare.
    """
    if not news or not olds:
        raise ValueError("cannot compare with nothing")
    draw = random.Random(seed)
    ratios = sorted(
        median(draw.choices(news, k=len(news))) / median(draw.choices(olds, k=len(olds))) for _ in range(resamples)
    )
    return _percentiles(ratios, confidence)


def median_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 1
) -> Interval:
    """Bootstrap percentile interval of a median.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values have no median")
    draw = random.Random(seed)
    return _percentiles(sorted(median(draw.choices(values, k=len(values))) for _ in range(resamples)), confidence)
