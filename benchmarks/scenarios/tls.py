"""Echo and a file over TLS 1.3: who encrypts at what price."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.catalogue import TLS
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.results import Goal
from benchmarks.scenarios.files import TLS_PEERS, large

__all__ = ["cases"]


def cases(bench: Bench) -> list[Case]:
    return [_echo(bench, 1024), _echo(bench, 16 * 1024), large(bench, "tls-file", TLS_PEERS, tls=True)]


def _echo(bench: Bench, size: int) -> Case:
    name = f"echo over TLS, {size // 1024} KiB, CPU a message"
    return bench.case(
        f"tls-{size}",
        f"{size // 1024} KiB over TLS 1.3, 64 connections, one in flight on each",
        TLS,
        Load("streams", {"connections": 64, "size": size, "tls": True}),
        baseline="uvloop",
        goals=[
            Goal(f"{name}, to Go", "aionet", 1.1, against="go"),
            Goal(f"{name}, to uvloop", "aionet", 0.35, against="uvloop"),
        ],
    )
