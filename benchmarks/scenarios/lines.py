"""Lines of 64 bytes, a handler called for each: what framing costs, in all three styles of handler."""

from __future__ import annotations

from benchmarks.bench import CAPACITY, Bench, Peer
from benchmarks.catalogue import C_ECHO
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.programs import c, go, node, python
from benchmarks.results import Goal, Role

__all__ = ["cases"]

PEERS = [
    Peer("c", "C, epoll, lines parsed", c("c_lines"), Role.LIMIT),
    Peer("aionet", "aionet, on_message", python("aionet_lines"), Role.OURS),
    Peer("streams", "streams on uvloop", python("asyncio_streams", needs=["uvloop"])),
    Peer("aionet-coroutine", "aionet, async for", python("aionet_lines", "--style", "coroutine"), Role.OURS),
    Peer("aionet-async", "aionet, async on_message", python("aionet_lines", "--style", "async"), Role.OURS),
    Peer("aionet-batch", "aionet, on_messages", python("aionet_lines", "--style", "batch"), Role.OURS),
    Peer("by-hand", "uvloop Protocol, by hand", python("protocol_lines", needs=["uvloop"])),
    Peer("drain", "streams, drain() a line", python("asyncio_streams", "--style", "drain")),
    Peer("chunks", "streams, split by hand", python("asyncio_streams", "--style", "chunks")),
    Peer("asyncio-streams", "streams on asyncio", python("asyncio_streams", "--loop", "asyncio")),
    Peer("twisted", "Twisted LineOnlyReceiver", python("twisted_echo", "--framing", "lines", needs=["twisted"])),
    Peer(
        "tornado",
        "Tornado read_until",
        python("tornado_echo", "--framing", "lines", "--loop", "asyncio", needs=["tornado"]),
    ),
    Peer("node", "Node net", node("node_echo", "--framing", "lines")),
    Peer("go", "Go bufio", go("go_echo", "-framing", "lines")),
]
NOTES = [
    "streams: readline() and write() a line, drain() when output waits: the best its line interface allows.",
    "by hand: whole chunks split in the handler, one write a chunk, no call a line and no checks.",
]


def cases(bench: Bench) -> list[Case]:
    callback = [
        Goal("lines 64 B, 16 in flight, callback style, to C with line parsing", "aionet", 0.6, True, "c"),
        Goal("lines 64 B, 16 in flight, callback style, to streams on uvloop", "aionet", 10, True, "streams"),
    ]
    deep = [
        Goal("lines 64 B, 64 in flight, callback style, to C raw echo (1.5 of 3 M/s)", "aionet", 0.5, True, "c-raw"),
        Goal(
            "lines 64 B, 64 in flight, coroutine style, to C raw echo (0.9 of 3 M/s)",
            "aionet-coroutine",
            0.3,
            True,
            "c-raw",
        ),
    ]
    return [_case(bench, 16, callback), _case(bench, 64, deep)]


def _case(bench: Bench, in_flight: int, goals: list[Goal]) -> Case:
    raw = Peer("c-raw", "C, epoll, bytes alone", C_ECHO.program, Role.LIMIT)
    return bench.case(
        f"lines-{in_flight}",
        f"64-byte lines, 64 connections, {in_flight} in flight on each",
        [*PEERS, raw],
        Load("streams", {"connections": 64, "size": 64, "pipeline": in_flight, "framing": "lines"}),
        metric=CAPACITY,
        baseline="c",
        noise=in_flight == 16,
        goals=goals,
        notes=NOTES,
    )
