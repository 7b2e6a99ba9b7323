"""Connect, one message, close: what accepting and forgetting a connection costs, with admission and limits on."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import CPU, Bench
from benchmarks.catalogue import AIONET, ASYNCIO, C_ECHO, GO, NODE, STREAMS, UVLOOP
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.results import Goal

__all__ = ["cases"]


def cases(bench: Bench) -> list[Case]:
    return [
        bench.case(
            "churn",
            "connect, one message of 64 bytes, close; 64 at a time",
            [UVLOOP, AIONET, C_ECHO, ASYNCIO, STREAMS, NODE, GO],
            Load("connections", {"concurrency": 64, "size": 64}),
            metric=replace(CPU, unit="us of server CPU a connection"),
            baseline="uvloop",
            goals=[Goal("connect, message, close, to a bare uvloop Protocol", "aionet", 1.15, against="uvloop")],
        )
    ]
