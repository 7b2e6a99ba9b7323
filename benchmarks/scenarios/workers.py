"""One worker, and two that share the port by SO_REUSEPORT."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.loads import Load, run_load
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.processes import serving
from benchmarks.programs import Program, python
from benchmarks.results import Goal, Metric, Role

__all__ = ["cases"]

RATE = Metric("rate", "messages a second, both workers together", more=True)
LOAD = Load("streams", {"connections": 256, "size": 64, "pipeline": 16})
PROGRAM = python("aionet_echo", "--shared", "yes", "--port", "{port}")


def cases(bench: Bench) -> list[Case]:
    two = replace(PROGRAM, copies=2)
    return [
        Case(
            key="workers",
            scenario="workers",
            title="echo of 64 B, 256 connections, 16 in flight on each",
            metric=RATE,
            subjects=[
                Subject("one", "one worker", lambda: _take(bench, PROGRAM), Role.OURS),
                Subject("two", "two workers", lambda: _take(bench, two), Role.OURS),
            ],
            baseline="one",
            rounds=bench.settings.rounds,
            seconds=bench.seconds + 0.3,
            goals=[Goal("two workers, to one", "two", 1.8, at_least=True, against="one", needs_cores=4)],
            notes=["with two cores the second worker and the load generator share one: then this shows no scaling."],
        )
    ]


def _take(bench: Bench, program: Program) -> Sample:
    """Workers on cores of their own, as far as there are any; the load on the last, and one load is all there is."""
    cores = [0, 1, 2, 3][: bench.cores.total] if bench.cores.total > 2 else [bench.cores.server, bench.cores.load]
    load_core = cores[-1]
    with serving(program, cores[:2], bench.workspace) as server:
        return run_load(server, LOAD, bench.window, load_core).sample()
