"""Connections that have spoken once and are silent: bytes of memory each, and how fast they are taken in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.bench import Bench, Peer
from benchmarks.catalogue import ASYNCIO, C_ECHO, GO, NODE, STREAMS, UVLOOP
from benchmarks.loads import holding
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.processes import Serving, serving
from benchmarks.programs import python
from benchmarks.results import Goal, Metric, Role
from benchmarks.stats import slope

__all__ = ["bytes_per_connection", "cases"]

BYTES = Metric("bytes", "bytes of RSS a connection")
SETTLE_SECONDS = 1.0

AIONET = Peer("aionet", "aionet, echo", python("aionet_echo", "--many", "yes"), Role.OURS)
PEERS = [UVLOOP, AIONET, STREAMS, C_ECHO, ASYNCIO, NODE, GO]


def cases(bench: Bench) -> list[Case]:
    return [_case(bench, steps) for steps in bench.settings.idle]


def _case(bench: Bench, steps: Sequence[int]) -> Case:
    shown = ", ".join(f"{step:,}" for step in steps)
    return Case(
        key=f"idle-{steps[-1]}",
        scenario="idle",
        title=f"RSS of the server process: slope over {shown} connections",
        metric=BYTES,
        subjects=[Subject(peer.key, peer.label, _taking(bench, peer, steps), peer.role) for peer in PEERS],
        baseline="uvloop",
        rounds=min(3, bench.settings.rounds),
        seconds=1.0 + steps[-1] / 8000,
        goals=[Goal(f"idle connection, RSS, up to {steps[-1]:,}", "aionet", 1500)],
        notes=["memory of the kernel is not in it (about 3.8 kB for each end of a TCP connection)."],
    )


def _taking(bench: Bench, peer: Peer, steps: Sequence[int]) -> Callable[[], Sample]:
    def once() -> Sample:
        with serving(peer.program, [bench.cores.server], bench.workspace) as server:
            return bytes_per_connection(server, steps, bench.cores.load)

    return once


def bytes_per_connection(server: Serving, steps: Sequence[int], core: int) -> Sample:
    """Open connections up to each of ``steps``: the least-squares growth of RSS per connection, and RSS at each step.

    Every connection exchanges one message and is idle from then on: so all of them are accepted, and what a
    server allocates at the first message counts. One connection before the first step wakes up the code.

    Raises:
        WrongReplies: a connection was closed, or answered wrongly.
        MeasureError: the server takes no more.
    """
    woken = [1, *(step + 1 for step in steps[1:])]
    with holding(server, woken, core) as taken:
        sizes = []
        seconds = 0.0
        for step in taken:
            sizes.append(_settled_rss(server))
            seconds += step
    sample = {f"rss at {step}": float(size) for step, size in zip(steps, sizes, strict=True)}
    return {"bytes": slope(list(steps), sizes), "accepted/s": woken[-1] / seconds, **sample}


def _settled_rss(server: Serving) -> int:
    """RSS once two readings agree."""
    deadline = time.monotonic() + SETTLE_SECONDS
    last = -1
    while (rss := server.rss()) != last and time.monotonic() < deadline:
        last = rss
        time.sleep(0.05)
    return rss
