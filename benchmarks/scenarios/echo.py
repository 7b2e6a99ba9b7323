"""Bytes sent back as they come: what a framework adds to the loop underneath.

One message in flight on each connection is a system call to read and one to write for each message: what remains is the
server's own work. Several in flight come and go together, so that the kernel's part shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bench import P99, Bench, Peer
from benchmarks.catalogue import AIONET, ASYNCIO, C_ECHO, GO, NODE, STREAMS, UVLOOP, echo_peers
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.results import Curve, Goal

__all__ = ["cases"]

ALL = echo_peers()
FEW = [UVLOOP, AIONET, C_ECHO, STREAMS, GO]
ON_ASYNCIO = Goal("plain asyncio loop, echo 1 KiB, to its Protocol", "aionet-asyncio", 0.45, against="asyncio")
RATE = 20_000
"""Messages a second of the open loop: about a quarter of what the slower peers can do, so that all keep up."""


def cases(bench: Bench) -> list[Case]:
    return [
        _case(bench, 64, 64, 1, peers=FEW, goals=_goals(64)),
        _case(bench, 1024, 64, 1, peers=ALL, goals=[*_goals(1024), ON_ASYNCIO]),
        _case(bench, 16 * 1024, 64, 1),
        _case(bench, 1024, 1, 1),
        _case(bench, 1024, 1000, 1),
        _case(bench, 64, 64, 16),
        _case(bench, 64, 64, 64),
        _open_loop(bench),
    ]


def _goals(size: int) -> list[Goal]:
    text = f"echo {_size(size)}, one in flight, CPU a message"
    return [
        Goal(f"{text}, to C", "aionet", 1.15, against="c"),
        Goal(f"{text}, to a bare uvloop Protocol", "aionet", 1.0, against="uvloop"),
    ]


def _case(
    bench: Bench,
    size: int,
    connections: int,
    in_flight: int,
    *,
    peers: Sequence[Peer] = FEW,
    goals: Sequence[Goal] = (),
) -> Case:
    on_curve = size == 1024 and in_flight == 1
    return bench.case(
        f"echo-{size}-{connections}-{in_flight}",
        f"{_size(size)}, {_connections(connections)}, {'one' if in_flight == 1 else in_flight} in flight on each",
        peers,
        Load("streams", {"connections": connections, "size": size, "pipeline": in_flight}),
        baseline="uvloop",
        noise=bool(goals),
        goals=goals,
        curve=Curve("echo 1 KiB", "connections", connections) if on_curve else None,
    )


def _open_loop(bench: Bench) -> Case:
    return bench.case(
        "echo-open",
        f"1 KiB, 64 connections, {RATE:,} messages a second at constant distances",
        [*FEW, ASYNCIO, NODE],
        Load("streams", {"connections": 64, "size": 1024, "pipeline": 64, "rate": RATE}),
        metric=P99,
        baseline="uvloop",
        notes=[
            "latency is counted from when a message was due: a server that pauses pays for all that wait meanwhile."
        ],
        trace=False,
    )


def _size(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def _connections(count: int) -> str:
    return f"{count:,} connection" + "s" * (count > 1)
