"""The promise of one loop: latency of echo while files and a broadcast to 1,000 members run beside it."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.bench import P99, Bench
from benchmarks.loads import Load, LoadResult, Window, run_load, running_load
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.processes import serving
from benchmarks.programs import python
from benchmarks.results import Goal, Role

__all__ = ["cases"]

PROGRAM = python("aionet_mixed", "--directory", "{files}")
ECHO = {"connections": 16, "size": 1024, "pipeline": 64, "rate": 2000, "realtime": True}
MEMBERS = 1000
BROADCASTS = 10
"""Messages a second to all members: 10,000 deliveries."""

DOWNLOADS = 100
SHARED = "the loads share a core; that of echo goes before the others there (SCHED_FIFO, where allowed)."


def cases(bench: Bench) -> list[Case]:
    return [_mixed(bench)] if bench.settings.quick else [_mixed(bench), _downloads(bench)]


def _mixed(bench: Bench) -> Case:
    return _case(
        bench,
        "mixed",
        f"a file of {bench.settings.file >> 20:,} MiB and {BROADCASTS} broadcasts a second to {MEMBERS:,} members",
        [
            Subject("file", "beside the file", lambda: _echo(bench, [_file(bench)]), Role.OURS),
            Subject("broadcast", "beside the broadcast", lambda: _echo(bench, [BROADCAST]), Role.OURS),
            Subject("aionet", "beside both", lambda: _echo(bench, [_file(bench), BROADCAST]), Role.OURS),
        ],
        [Goal("mixed: echo p99 while file and broadcast run, to alone", "aionet", 3.0, against="alone")],
    )


def _downloads(bench: Bench) -> Case:
    """Memory, too: what one connection holds while it sends a file, a hundred times."""
    return _case(
        bench,
        "mixed-downloads",
        f"{DOWNLOADS} downloads of a file of {bench.settings.file >> 20:,} MiB",
        [Subject("aionet", "beside the downloads", lambda: _echo(bench, [_file(bench, DOWNLOADS)]), Role.OURS)],
        [
            Goal(f"echo p99 beside {DOWNLOADS} downloads, to alone", "aionet", 3.0, against="alone"),
            Goal(f"memory beside {DOWNLOADS} downloads, MiB over idle", "aionet", 100, metric=GROWTH),
        ],
    )


def _case(bench: Bench, key: str, beside: str, subjects: list[Subject], goals: list[Goal]) -> Case:
    return Case(
        key=key,
        scenario="mixed",
        title=f"echo of 1 KiB, 2,000 a second in open loop, beside {beside}",
        metric=P99,
        subjects=[Subject("alone", "echo alone", lambda: _echo(bench, []), Role.OURS), *subjects],
        baseline="alone",
        rounds=bench.settings.rounds,
        seconds=bench.seconds + 1.2,
        goals=goals,
        notes=[SHARED],
    )


GROWTH = "MiB more"
BROADCAST = Load("fanout", {"members": MEMBERS, "rate": BROADCASTS, "pipeline": 64}, port=2)


def _file(bench: Bench, connections: int = 1) -> Load:
    size = bench.settings.file
    return Load("files", {"name": bench.workspace.file(size), "size": size, "connections": connections}, port=1)


def _echo(bench: Bench, beside: list[Load]) -> Sample:
    """Echo in its window, with the others under way before and behind it."""
    around = Window(0.0, 600.0)
    with serving(PROGRAM, [bench.cores.server], bench.workspace) as server, ExitStack() as stack:
        idle = server.rss()
        for load in beside:
            stack.enter_context(running_load(server, load, around, bench.cores.load))
        settling = 0.7 if beside else bench.settings.warmup
        window = Window(settling, max(bench.settings.duration, 0.5))
        result: LoadResult = run_load(server, Load("streams", ECHO), window, bench.cores.load)
        rss = server.rss()
        return {**result.sample(), "rss": float(rss), GROWTH: (rss - idle) / 2**20}
