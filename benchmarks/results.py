"""What came of a run, as plain values: told apart from how it was measured, and the same from a file.

A report holds cases, a case holds rows, a row holds samples: one measurement each, ``{"cpu": 9.1, "p99": 840.0, ...}``.
Everything that is shown is reckoned from the samples, so that a file of an earlier run can be shown and compared too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.problems import MeasureError
from benchmarks.stats import Interval, median, median_ratio, ratio_interval

__all__ = [
    "CaseResult",
    "Curve",
    "Goal",
    "LoadGenerator",
    "Metric",
    "Outcome",
    "Report",
    "Role",
    "Row",
    "Verdict",
    "load",
    "save",
]


class Role(enum.Enum):
    """Why a row is in a case."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"
    """What the machine allows: the same work in C."""
    CONTROL = "control"
    """The baseline once more (A/A): how far its ratio is from 1 is how far any ratio may be wrong."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One of the values of a sample.

    Attributes:
        key: Its name in the sample.
        unit: As a column's or an axis' title says it.
        more: Whether more of it is better.
    """

    key: str
    unit: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row shall reach, by the median: alone, or as ratio to another row.

    Attributes:
        text: The row of the table of goals.
        row: Key of the row that is judged.
        limit: In the metric's unit, or the ratio.
        at_least: Whether the limit is a floor; otherwise it is a ceiling.
        against: Key of the row it is divided by, or ``None``.
        metric: If it is not the case's.
        needs_cores: Cores without which it cannot be judged.
    """

    text: str
    row: str
    limit: float
    at_least: bool = False
    against: str | None = None
    metric: str | None = None
    needs_cores: int = 1

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


class Verdict(enum.Enum):
    REACHED = "reached"
    NOT_REACHED = "not reached"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal and what came of it; ``reason`` says why it could not be judged."""

    case: str
    goal: Goal
    verdict: Verdict
    value: float | None = None
    interval: Interval | None = None
    reason: str | None = None

    @property
    def close(self) -> bool:
        """Whether the interval has both sides of the limit: another run may say otherwise."""
        return self.interval is not None and self.goal.met(self.interval[0]) != self.goal.met(self.interval[1])


@dataclass(slots=True)
class Row:
    """What came of one subject. ``problem`` says why it could not be measured, ``wrong`` that it answered wrongly."""

    key: str
    label: str
    role: Role = Role.PEER
    samples: list[dict[str, float]] = field(default_factory=list)
    problem: str | None = None
    wrong: bool = False

    @property
    def measured(self) -> bool:
        return self.problem is None and bool(self.samples)

    def values(self, key: str) -> list[float]:
        """Of this metric, in the order of the rounds; empty where a round has none."""
        seen = [sample[key] for sample in self.samples if key in sample]
        return seen if len(seen) == len(self.samples) else []

    def value(self, key: str) -> float | None:
        """Median of this metric over the rounds that have it; ``None`` where it was not looked at."""
        seen = [sample[key] for sample in self.samples if key in sample]
        return median(seen) if seen else None

    def ratio(self, other: Row, key: str) -> tuple[float, Interval] | None:
        """Median ratio to another row, round by round, and its 95 % interval; ``None`` where nothing can be paired."""
        mine, theirs = self.values(key), other.values(key)
        rounds = min(len(mine), len(theirs))
        mine, theirs = mine[:rounds], theirs[:rounds]
        if not (self.measured and other.measured and rounds) or min(*mine, *theirs) <= 0:
            return None
        return median_ratio(mine, theirs), ratio_interval(mine, theirs)


@dataclass(frozen=True, slots=True)
class Curve:
    """A case that is a point of a curve: cost against connections, or against members."""

    name: str
    axis: str
    at: float


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """Messages a second of its own core, and how many times that is what the fastest server does with its core: of all
    servers, and of those that are no limit in C, as it is itself."""

    capacity: float
    of_fastest: float
    of_fastest_but_limits: float | None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One table: the same work asked of several.

    Attributes:
        metric: What the table is sorted out by.
        baseline: Key of the row that the others are divided by, or ``None``.
        notes: What a reader must know to judge it.
    """

    key: str
    scenario: str
    title: str
    metric: Metric
    rows: list[Row]
    baseline: str | None = None
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curve: Curve | None = None

    def row(self, key: str | None) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)

    def ratio(self, row: Row) -> tuple[float, Interval] | None:
        """Of this row to the baseline; ``None`` for the baseline itself."""
        base = self.row(self.baseline)
        return row.ratio(base, self.metric.key) if base is not None and row is not base else None

    @property
    def noise(self) -> float | None:
        """How far the baseline, measured twice, is from itself: 0.1 is 10 %, by the farther end of the interval."""
        control = next((row for row in self.rows if row.role is Role.CONTROL), None)
        ratio = self.ratio(control) if control is not None else None
        return max(abs(end - 1) for end in ratio[1]) if ratio is not None else None

    @property
    def load_generator(self) -> LoadGenerator | None:
        """What the load generator could do beside the fastest servers; ``None`` where that cannot be told.

        The best it did in any row, beside the best any server did. Where the load was held back (an open loop), neither
        says what it can.
        """
        rows = [row for row in self.rows if row.measured and row.value("load capacity") and row.value("capacity")]
        if not rows or self.metric.key not in ("cpu", "capacity"):
            return None
        load = max(row.value("load capacity") or 0 for row in rows)
        servers = [row.value("capacity") or 0 for row in rows]
        others = [row.value("capacity") or 0 for row in rows if row.role is not Role.LIMIT]
        return LoadGenerator(load, load / max(servers), load / max(others) if others else None)

    def outcomes(self, cores: int) -> Iterator[Outcome]:
        """Every goal, judged."""
        for goal in self.goals:
            yield self._judge(goal, cores)

    def _judge(self, goal: Goal, cores: int) -> Outcome:
        key = goal.metric or self.metric.key
        row = self.row(goal.row)
        if row is None or not row.measured or row.value(key) is None:
            return self._unjudged(goal, (row and row.problem) or f"'{goal.row}' was not measured")
        if cores < goal.needs_cores:
            return self._unjudged(goal, f"needs {goal.needs_cores} cores, there are {cores}")
        if goal.against is None:
            values = row.values(key)
            value = median(values)
            interval = min(values), max(values)
        else:
            other = self.row(goal.against)
            ratio = row.ratio(other, key) if other is not None else None
            if ratio is None:
                return self._unjudged(goal, (other and other.problem) or f"'{goal.against}' was not measured")
            value, interval = ratio
        verdict = Verdict.REACHED if goal.met(value) else Verdict.NOT_REACHED
        return Outcome(self.key, goal, verdict, value, interval)

    def _unjudged(self, goal: Goal, reason: str) -> Outcome:
        return Outcome(self.key, goal, Verdict.NOT_MEASURED, reason=reason)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    environment: dict[str, str]
    cores: int
    quick: bool
    cases: list[CaseResult]

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for case in self.cases for outcome in case.outcomes(self.cores)]

    @property
    def absent(self) -> dict[str, str]:
        """What could not be measured, with why; once a scenario."""
        return {f"{case.scenario}, {row.label}": row.problem for case in self.cases for row in case.rows if row.problem}

    def of_scenario(self, name: str) -> Sequence[CaseResult]:
        return [case for case in self.cases if case.scenario == name]

    @property
    def scenarios(self) -> list[str]:
        return list(dict.fromkeys(case.scenario for case in self.cases))


def save(report: Report, file: Path) -> None:
    """As JSON: every sample, and for readers the goals as they were judged."""
    told: dict[str, Any] = msgspec.to_builtins(report)
    told["outcomes"] = [{**msgspec.to_builtins(asdict(outcome)), "close": outcome.close} for outcome in report.outcomes]
    file.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")


def load(file: Path) -> Report:
    """An earlier run.

    Raises:
        MeasureError: no such file, or not one of :func:`save`.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except OSError as error:
        raise MeasureError(f"cannot read {file}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise MeasureError(f"{file} is no result of this suite: {error}") from None
