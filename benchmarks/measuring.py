"""What is measured, and in which order: subjects interleaved, a fresh process each time."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

from benchmarks.problems import MeasureError, WrongReplies
from benchmarks.results import CaseResult, Curve, Goal, Metric, Role, Row

__all__ = ["DISTURBED", "OTHERS", "Case", "Progress", "Sample", "Subject", "control", "measure", "undisturbed"]

OTHERS = "others"
"""Value of a sample: share of the time in which the server's core was busy with anything but the server."""

DISTURBED = 0.05
"""From this share on a measurement says more of the neighbours than of the server."""

Sample = dict[str, float]
"""One measurement: all that was seen, by name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody who is measured in a case, and how.

    Attributes:
        key: Short and the same in all cases: ``--peers`` takes it.
        take: Measures once, in fresh processes.
        trace: Counts system calls a message in a run of its own, if that can be done.
    """

    key: str
    label: str
    take: Callable[[], Sample]
    role: Role = Role.PEER
    trace: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """The same work, asked of several; :class:`~benchmarks.results.CaseResult` says what the attributes are.

    Attributes:
        seconds: About how long one measurement takes, for the plan.
    """

    key: str
    scenario: str
    title: str
    metric: Metric
    subjects: Sequence[Subject]
    baseline: str | None
    rounds: int
    seconds: float
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    curve: Curve | None = None

    @property
    def measurements(self) -> int:
        """How often something is measured in it."""
        return self.rounds * len(self.subjects) + sum(subject.trace is not None for subject in self.subjects)

    def only(self, keys: Container[str | None]) -> Case:
        """The case with these subjects alone; the control stays if its baseline does."""
        kept = [s for s in self.subjects if s.key in keys or (s.role is Role.CONTROL and self.baseline in keys)]
        return replace(self, subjects=kept)

    def judged(self, *, with_control: bool) -> Case:
        """The case with those subjects alone that its goals are judged by."""
        keys = {goal.row for goal in self.goals} | {goal.against for goal in self.goals}
        kept = [s for s in self.only(keys).subjects if with_control or s.role is not Role.CONTROL]
        return replace(self, subjects=kept)


def control(subject: Subject) -> Subject:
    """The same once more."""
    return replace(subject, key="again", label=f"{subject.label}, again", role=Role.CONTROL, trace=None)


def undisturbed(take: Callable[[], Sample], tries: int) -> Sample:
    """The first of a few tries in which nobody else wanted the server's core; else the one least disturbed.

    What is chosen by is the disturbance, never the value.
    """
    taken: list[Sample] = []
    for _ in range(tries):
        taken.append(take())
        if taken[-1].get(OTHERS, 0) <= DISTURBED:
            break
    return min(taken, key=lambda sample: sample.get(OTHERS, 0))


Progress = Callable[[Subject], None]


def measure(case: Case, progress: Progress = lambda subject: None) -> CaseResult:
    """Measure every subject in every round: A B C, C B A, A B C, and so on, so that no place in the order wins.

    A subject that fails once is not tried again, and its row says why; the others go on. ``progress`` is told before
    each measurement, those that are left out too.
    """
    rows = [Row(subject.key, subject.label, subject.role) for subject in case.subjects]
    pairs = list(zip(case.subjects, rows, strict=True))
    for number in range(case.rounds):
        for subject, row in pairs if number % 2 == 0 else reversed(pairs):
            progress(subject)
            if row.problem is None:
                _take(subject, row)
    for subject, row in pairs:
        if subject.trace is not None:
            progress(subject)
            if row.measured:
                _trace(subject.trace, row)
    return CaseResult(
        case.key,
        case.scenario,
        case.title,
        case.metric,
        rows,
        case.baseline,
        list(case.goals),
        list(case.notes),
        case.curve,
    )


def _take(subject: Subject, row: Row) -> None:
    try:
        row.samples.append(subject.take())
    except MeasureError as error:
        row.problem = str(error)
        row.wrong = isinstance(error, WrongReplies)


def _trace(trace: Callable[[], float], row: Row) -> None:
    """Counted once; a fault in it does not spoil what was measured without it."""
    try:
        row.samples[0]["syscalls"] = trace()
    except MeasureError:
        return
