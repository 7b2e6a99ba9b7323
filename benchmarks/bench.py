"""What every scenario measures with: a server started, a load put on it, the values taken; and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.loads import Load, LoadResult, Window, run_load
from benchmarks.measuring import Case, Sample, Subject, control, undisturbed
from benchmarks.processes import Cores, serving
from benchmarks.programs import Program
from benchmarks.results import Curve, Goal, Metric, Role
from benchmarks.settings import Settings
from benchmarks.tracing import syscalls_per_message
from benchmarks.workspace import Workspace

__all__ = ["CAPACITY", "CPU", "P99", "START", "Bench", "Peer"]

CPU = Metric("cpu", "us of server CPU a message")
CAPACITY = Metric("capacity", "messages a second of server CPU", more=True)
P99 = Metric("p99", "us, 99th percentile of latency")

START = 0.35
"""Seconds that starting and ending a server takes, for the plan."""

SampleOf = Callable[[LoadResult], Sample]

TRACE = Window(warmup=0.0, duration=0.2)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server program as a subject of cases."""

    key: str
    label: str
    program: Program
    role: Role = Role.PEER


@dataclass(frozen=True, slots=True)
class Bench:
    """How this run measures, and what with."""

    settings: Settings
    cores: Cores
    workspace: Workspace

    @property
    def window(self) -> Window:
        return Window(self.settings.warmup, self.settings.duration)

    @property
    def seconds(self) -> float:
        """About how long one measurement under load takes."""
        return START + self.settings.warmup + self.settings.duration

    def subject(self, peer: Peer, load: Callable[[Peer], Load], sample: SampleOf, *, trace: bool) -> Subject:
        """A peer under a load, which is made when it is needed."""

        def once() -> Sample:
            with serving(peer.program, [self.cores.server], self.workspace) as server:
                result = run_load(server, load(peer), self.window, self.cores.load)
                return {**sample(result), "rss": float(server.rss())}

        def traced() -> float:
            with serving(peer.program, [self.cores.server], self.workspace) as server:
                return syscalls_per_message(server, lambda: run_load(server, load(peer), TRACE, self.cores.load))

        return Subject(
            peer.key,
            peer.label,
            lambda: undisturbed(once, self.settings.tries),
            peer.role,
            traced if trace and self.settings.trace else None,
        )

    def case(
        self,
        key: str,
        title: str,
        peers: Sequence[Peer],
        load: Load | Callable[[Peer], Load],
        *,
        sample: SampleOf = LoadResult.sample,
        metric: Metric = CPU,
        baseline: str | None = None,
        noise: bool = False,
        goals: Sequence[Goal] = (),
        notes: Sequence[str] = (),
        curve: Curve | None = None,
        trace: bool = True,
        extra_seconds: float = 0.0,
    ) -> Case:
        """The same load on all these peers; ``key`` begins with the scenario's name.

        Args:
            load: One for all, or one for each.
            sample: The values of a measurement, of what the load generator told.
            noise: Whether the baseline is measured twice (A/A).
            trace: Whether system calls can be counted by the message.
            extra_seconds: That a measurement takes longer than most.
        """
        make = load if callable(load) else lambda peer: load
        subjects = [self.subject(peer, make, sample, trace=trace) for peer in peers]
        subjects += [control(subject) for subject in subjects if noise and subject.key == baseline]
        return Case(
            key=key,
            scenario=key.partition("-")[0],
            title=title,
            metric=metric,
            subjects=subjects,
            baseline=baseline,
            rounds=self.settings.rounds,
            seconds=self.seconds + extra_seconds,
            goals=goals,
            notes=notes,
            curve=curve,
        )
