"""WebSocket echo of 64 bytes: frames parsed, unmasked, handed over."""

from __future__ import annotations

from benchmarks.bench import Bench, Peer
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.programs import python
from benchmarks.results import Goal, Role

__all__ = ["cases"]

PEERS = [
    Peer("picows", "picows", python("picows_echo", needs=["picows"])),
    Peer("aionet", "aionet", python("aionet_websocket"), Role.OURS),
    Peer("websockets", "websockets", python("websockets_echo", needs=["websockets"])),
]


def cases(bench: Bench) -> list[Case]:
    one = [Goal("WebSocket 64 B, 1 in flight, CPU a message, to picows", "aionet", 1.15, against="picows")]
    many = [
        Goal("WebSocket 64 B, 16 in flight, rate, to picows", "aionet", 4, True, "picows", "capacity"),
        Goal("WebSocket 64 B, 16 in flight, rate, to websockets", "aionet", 12, True, "websockets", "capacity"),
    ]
    return [_case(bench, 1, one), _case(bench, 16, many)]


def _case(bench: Bench, in_flight: int, goals: list[Goal]) -> Case:
    return bench.case(
        f"websocket-{in_flight}",
        f"WebSocket messages of 64 bytes, 64 connections, {in_flight} in flight on each",
        PEERS,
        Load("streams", {"connections": 64, "size": 64, "pipeline": in_flight, "framing": "websocket"}),
        baseline="picows",
        goals=goals,
    )
