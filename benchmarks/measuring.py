"""The shape of a figure, and the order of its measurements: peers interleaved, a fresh process each time."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.problems import MeasureError, WrongReplies
from benchmarks.stats import Interval, median, median_ratio, ratio_interval

__all__ = ["DISTURBED", "WAITED", "Figure", "Goal", "Role", "Row", "Sample", "Subject", "Verdict", "measure"]

WAITED = "waited"
"""Detail of a sample: share of the time in which the server was ready to run and another process had its core."""

DISTURBED = 0.05
"""From this share on a measurement says more of the neighbours than of the server."""


class Role(enum.Enum):
    """Why a subject is in a figure."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"
    """What the machine allows: the same work in C."""
    CONTROL = "control"
    """The baseline once more (A/A): how far its ratio is from 1 is how far any ratio may be wrong."""


class Verdict(enum.Enum):
    MET = "met"
    NOT_MET = "not met"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a subject shall reach.

    Attributes:
        limit: In the figure's unit, or as ratio to the baseline.
        at_least: Whether the limit is a floor; otherwise it is a ceiling.
        ratio: Whether the ratio is meant, not the value.
    """

    limit: float
    at_least: bool = False
    ratio: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Subject:
    """One program measured in a figure.

    Attributes:
        extra: Left out of quick runs.
    """

    key: str
    label: str
    command: tuple[str, ...]
    role: Role = Role.PEER
    goal: Goal | None = None
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: its value in the figure's unit, and whatever else was seen, by the column's name."""

    value: float
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """A table: the same thing measured of several subjects.

    Attributes:
        unit: Of the values, as the column's title says it.
        baseline: Key of the subject the others are compared with, or ``None``.
        rounds: Times each subject is measured.
        take: Measures a subject once, in a fresh process.
        notes: What a reader must know to judge the table.
    """

    key: str
    title: str
    unit: str
    subjects: Sequence[Subject]
    baseline: str | None
    rounds: int
    take: Callable[[Subject], Sample]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class Row:
    """What came of one subject. ``problem`` says why it could not be measured, ``wrong`` that it answered wrongly."""

    subject: Subject
    samples: list[Sample] = field(default_factory=list)
    problem: str | None = None
    wrong: bool = False
    ratio: float | None = None
    interval: Interval | None = None

    @property
    def measured(self) -> bool:
        return self.problem is None and bool(self.samples)

    @property
    def values(self) -> list[float]:
        return [sample.value for sample in self.samples]

    @property
    def value(self) -> float:
        return median(self.values)

    def detail(self, name: str) -> float | None:
        """Median of something seen beside the value; ``None`` where it was not looked at."""
        seen = [sample.details[name] for sample in self.samples if name in sample.details]
        return median(seen) if seen else None

    @property
    def verdict(self) -> Verdict | None:
        """Whether the goal is met, by the median; ``None`` without one."""
        goal = self.subject.goal
        if goal is None:
            return None
        reached = self.ratio if goal.ratio else self.value if self.measured else None
        if not self.measured or reached is None:
            return Verdict.NOT_MEASURED
        return Verdict.MET if goal.met(reached) else Verdict.NOT_MET

    @property
    def close(self) -> bool:
        """Whether the verdict could have been the other: some of what was measured stands on the other side."""
        goal = self.subject.goal
        if goal is None or not self.measured:
            return False
        seen = self.interval if goal.ratio else (min(self.values), max(self.values))
        return seen is not None and goal.met(seen[0]) != goal.met(seen[1])


Progress = Callable[[int, int, Subject], None]


def measure(figure: Figure, progress: Progress = lambda done, of, subject: None) -> list[Row]:
    """Measure every subject ``rounds`` times: A B C, C B A, A B C, and so on, so that no place in the order wins.

    A subject that fails once is not tried again, and its row says why; the others go on.
    """
    rows = [Row(subject) for subject in figure.subjects]
    total = figure.rounds * len(rows)
    done = 0
    for number in range(figure.rounds):
        for row in rows if number % 2 == 0 else reversed(rows):
            progress(done, total, row.subject)
            done += 1
            if row.problem is None:
                try:
                    row.samples.append(figure.take(row.subject))
                except MeasureError as error:
                    row.problem = str(error)
                    row.wrong = isinstance(error, WrongReplies)
    _compare(rows, figure.baseline)
    return rows


def _compare(rows: Sequence[Row], baseline: str | None) -> None:
    base = next((row for row in rows if row.subject.key == baseline), None)
    if base is None or not base.measured:
        return
    for row in rows:
        if row.measured and row is not base:
            row.ratio = median_ratio(row.values, base.values)
            row.interval = ratio_interval(row.values, base.values)
