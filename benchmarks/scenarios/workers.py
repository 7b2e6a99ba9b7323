"""One worker, and two that share the port by SO_REUSEPORT."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.loads import Load, finished, running_load
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.processes import serving
from benchmarks.programs import Program, python
from benchmarks.results import Goal, Metric, Role

__all__ = ["cases"]

RATE = Metric("rate", "messages a second, both workers together", more=True)
LOAD = Load("streams", {"connections": 128, "size": 64, "pipeline": 16})
LOADS = 2
"""Load generators at once: one alone would be the bound of two workers."""
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
            notes=["with fewer than four cores workers and load generators share them: then this shows no scaling."],
        )
    ]


def _take(bench: Bench, program: Program) -> Sample:
    """Workers on the first cores, load generators on the last two; with fewer than four they meet there."""
    cores = bench.cores.usable
    with serving(program, cores[:2], bench.workspace) as server, ExitStack() as stack:
        running = [
            stack.enter_context(running_load(server, LOAD, bench.window, core)) for core in cores[-LOADS:] or cores
        ]
        results = [finished(load, bench.window) for load in running]
        messages = sum(result.messages for result in results)
        return {
            **results[0].sample(),
            "rate": sum(result.messages / result.seconds for result in results),
            "cpu": results[0].server_cpu * 1e6 / messages,
            "rss": float(server.rss()),
        }
