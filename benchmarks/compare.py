"""What changed between two runs, beyond the noise of either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.report import number
from benchmarks.results import CaseResult, Metric, Report, Row
from benchmarks.stats import Interval, unpaired_interval

__all__ = ["Change", "changes", "comparison"]


@dataclass(frozen=True, slots=True)
class Change:
    """One row of both runs. ``ratio`` is new to old; ``noise`` the larger A/A deviation of the two runs' cases."""

    case: str
    label: str
    metric: Metric
    old: float
    new: float
    interval: Interval
    noise: float

    @property
    def ratio(self) -> float:
        return self.new / self.old

    @property
    def real(self) -> bool:
        """Whether the interval leaves 1 out, and the change is larger than the noise."""
        return not self.interval[0] <= 1 <= self.interval[1] and abs(self.ratio - 1) > self.noise

    @property
    def better(self) -> bool:
        return (self.ratio > 1) == self.metric.more


def changes(old: Report, new: Report) -> Iterator[Change]:
    """Of every row that both runs measured, by its case's metric."""
    before = {case.key: case for case in old.cases}
    for case in new.cases:
        earlier = before.get(case.key)
        if earlier is None:
            continue
        noise = max(_noise(old, earlier), _noise(new, case))
        for row in case.rows:
            found = _change(case, row, earlier.row(row.key), noise)
            if found is not None:
                yield found


def _noise(report: Report, case: CaseResult) -> float:
    """Of the case; where it has no A/A row, the largest of the run."""
    if case.noise is not None:
        return case.noise
    return max((other.noise for other in report.cases if other.noise is not None), default=0.0)


def _change(case: CaseResult, row: Row, earlier: Row | None, noise: float) -> Change | None:
    key = case.metric.key
    if earlier is None or not (row.measured and earlier.measured):
        return None
    old, new = earlier.values(key), row.values(key)
    if not old or not new or min(*old, *new) <= 0:
        return None
    ends = unpaired_interval(new, old)
    return Change(case.key, row.label, case.metric, earlier.value(key) or 0, row.value(key) or 0, ends, noise)


def comparison(old: Report, new: Report) -> str:
    """In words: what is faster, what is slower, how many rows are the same, what else differs between the runs."""
    found = list(changes(old, new))
    real = sorted((change for change in found if change.real), key=lambda change: change.better)
    lines = [f"compared with the run of {old.environment.get('time', 'an unknown time')}:"]
    for key, value in new.environment.items():
        before = old.environment.get(key)
        if key not in ("time", "load average") and before != value:
            lines.append(f"  {key}: was {before}")
    for change in real:
        word = "better" if change.better else "worse"
        lines.append(
            f"  {word}: {change.case}, {change.label}: {number(change.old)} -> {number(change.new)} "
            f"{change.metric.unit} ({change.ratio:.2f} x, {change.interval[0]:.2f} .. {change.interval[1]:.2f})"
        )
    lines.append(f"  {len(found) - len(real)} of {len(found)} rows: no change beyond the noise")
    return "\n".join(lines)
