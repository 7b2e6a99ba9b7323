"""Two results side by side: what changed, and by more than the noise that can be seen in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from .result import Result

__all__ = ["Change", "Comparison", "compare"]

RESAMPLES: Final = 2000
SMALL: Final = 0.03
"""A change of the ratio that is never called one: two runs of the same thing differ by as much."""

FEW: Final = 8
"""Intervals below which a run says nothing about its own noise."""

Metric = Callable[[dict[str, float]], float]

_METRICS: Final[dict[str, tuple[Metric, bool]]] = {
    "rate": (lambda interval: interval["answered"] / interval["seconds"] if interval["seconds"] else 0.0, True),
    "p50": (lambda interval: interval["p50"], False),
    "p99": (lambda interval: interval["p99"], False),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One metric, before and after.

    Attributes:
        name: ``rate`` (a second), ``p50``, ``p99`` (microseconds).
        before: Median of the intervals.
        after: Likewise.
        ratio: After to before.
        low: 95 % interval of the ratio, widened by how far the halves of each run are apart.
        high: Its other end.
        verdict: ``"better"``, ``"worse"``, ``"no change beyond the noise"``, ``"too few intervals"``.
    """

    name: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All metrics, and in which settings the two runs differ: if in any, they are not the same test."""

    changes: tuple[Change, ...]
    differences: tuple[str, ...]


def compare(before: Result, after: Result) -> Comparison:
    """What changed from ``before`` to ``after``.

    The noise is that of the intervals within each run, resampled (bootstrap), and the drift from one half to the
    other. What differs from run to run for other reasons, such as where the system placed things in memory, is not in
    it: whoever needs to be sure repeats both.
    """
    chance = random.Random(1)  # the same verdict for the same files
    changes = tuple(
        change
        for name, (metric, more_is_better) in _METRICS.items()
        if (change := _change(name, _values(before, metric), _values(after, metric), more_is_better, chance))
    )
    differences = []
    for key, value in {"target": after.target, "unit": after.unit, **after.settings, **after.environment}.items():
        was = {"target": before.target, "unit": before.unit, **before.settings, **before.environment}.get(key)
        if was != value:
            differences.append(f"{key}: {was}, now {value}")
    return Comparison(changes, tuple(differences))


def _values(result: Result, metric: Metric) -> list[float]:
    return [metric(interval) for interval in result.intervals]


def _change(
    name: str, before: Sequence[float], after: Sequence[float], more_is_better: bool, chance: random.Random
) -> Change | None:
    if not before or not after or not median(before) or not median(after):
        return None
    ratio = median(after) / median(before)
    drift = max(_drift(before), _drift(after))
    ratios = sorted(
        median(chance.choices(after, k=len(after))) / (median(chance.choices(before, k=len(before))) or 1.0)
        for _ in range(RESAMPLES)
    )
    low = ratios[int(RESAMPLES * 0.025)] / (1 + drift)
    high = ratios[int(RESAMPLES * 0.975)] * (1 + drift)
    if min(len(before), len(after)) < FEW:
        verdict = "too few intervals"
    elif low <= 1 <= high or abs(ratio - 1) < SMALL:
        verdict = "no change beyond the noise"
    else:
        verdict = "better" if (ratio > 1) is more_is_better else "worse"
    return Change(name, median(before), median(after), ratio, low, high, verdict)


def _drift(values: Sequence[float]) -> float:
    """How far the second half is from the first, as a part of it."""
    half = len(values) // 2
    if not half or not median(values[:half]):
        return 0.0
    return abs(median(values[half:]) / median(values[:half]) - 1)
