"""What a run has brought so far, put together from what its processes hand over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .engine import Phase, Snapshot
from .latency import Latencies
from .plan import Plan
from .tally import Tally

__all__ = ["BUSY", "Interval", "Outcome"]

BUSY: Final = 0.9
"""Part of the time in which a process that generates load has something to do: from there on it is the limit itself."""


@dataclass(slots=True)
class Interval:
    """All processes' counts of one interval.

    Attributes:
        at: Seconds from the start of the run.
        seconds: How long it was.
        tally: Counts.
        reports: Processes that have reported.
        connections: Open at its end.
    """

    at: float
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    reports: int = 0
    connections: int = 0


class Outcome:
    """Counts by phase and interval.

    Attributes:
        plan: What was to be done.
        processes: How many did it.
        connections: How many were open at the beginning.
        interrupted: Whether it was ended early.
        intervals: Those measured, in order.
        lead: The latest interval before that, for whoever watches.
        phases: Counts of all of each phase.
    """

    def __init__(self, plan: Plan, processes: int) -> None:
        self.plan = plan
        self.processes = processes
        self.connections = 0
        self.interrupted = False
        self.intervals: list[Interval] = []
        self.lead = Interval(0.0)
        self.phases: dict[Phase, Tally] = {"lead": Tally(), "measured": Tally(), "drain": Tally()}
        self._reporting = processes
        self._cpu = [0.0] * processes
        self._waited = [0.0] * processes
        self._seconds = [0.0] * processes

    def add(self, snapshot: Snapshot) -> bool:
        """Count it. Returns whether its interval is complete now."""
        self.phases[snapshot.phase].add(snapshot.tally)
        if snapshot.phase == "drain":
            return False
        if snapshot.phase == "lead":
            if snapshot.number and self.lead.at < snapshot.at:
                self.lead = Interval(snapshot.at)
            interval = self.lead
        else:
            self._cpu[snapshot.share] += snapshot.cpu
            self._waited[snapshot.share] += snapshot.waited
            self._seconds[snapshot.share] += snapshot.seconds
            while len(self.intervals) <= snapshot.number:
                self.intervals.append(Interval(snapshot.at))
            interval = self.intervals[snapshot.number]
        interval.seconds = max(interval.seconds, snapshot.seconds)
        interval.tally.add(snapshot.tally)
        interval.connections += snapshot.connections
        interval.reports += 1
        return interval.reports >= self._reporting

    def add_failure(self, error: Exception, connections: int) -> None:
        """A process could not open any of its connections, and reports no more."""
        self.phases["lead"].fail("could not connect", str(error), connections)
        self._reporting -= 1

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return max(self._seconds)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.phases["measured"].answered / self.seconds if self.seconds else 0.0

    @property
    def cpu(self) -> list[float]:
        """Of each process: which part of a core it took while that was measured."""
        return self._parts(self._cpu)

    @property
    def waited(self) -> list[float]:
        """Of each process: which part of that time it could have run, and had no core to run on."""
        return self._parts(self._waited)

    @property
    def busy(self) -> bool:
        """Whether a process that generates load had no time left: more was not to be had from it."""
        return any(cpu + waited >= BUSY for cpu, waited in zip(self.cpu, self.waited, strict=True))

    def _parts(self, times: list[float]) -> list[float]:
        return [time / seconds if seconds else 0.0 for time, seconds in zip(times, self._seconds, strict=True)]

    def total(self) -> Tally:
        """All phases together: a wrong reply is wrong whenever it comes."""
        total = Tally()
        for tally in self.phases.values():
            total.add(tally)
        if self.plan.messages is not None:
            total.unsent = self.plan.messages - total.sent
        if len(total.digests) > 1 and not total.wrong:
            total.wrong = len(total.digests) - 1
            total.show("wrong replies", f"the file was not always the same: SHA-256 {', '.join(sorted(total.digests))}")
        return total

    def latencies(self) -> Latencies:
        """Of what was answered while that was measured, and of what was under way at its end."""
        tally = Tally()
        tally.add(self.phases["measured"])
        tally.add(self.phases["drain"])
        return Latencies(tally.latencies)

    def latest(self) -> Interval:
        """The latest interval that is complete, or the beginning of one."""
        complete = [interval for interval in self.intervals[-2:] if interval.reports >= self._reporting]
        return complete[-1] if complete else self.lead
