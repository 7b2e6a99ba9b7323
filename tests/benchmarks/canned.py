"""A run that never was: what reports, pictures and comparisons are tested with."""

from __future__ import annotations

from benchmarks.results import CaseResult, Curve, Goal, Metric, Report, Role, Row

__all__ = ["canned"]

CPU = Metric("cpu", "us of server CPU a message")
LATENCIES = {"p50": 100.0, "p75": 120.0, "p90": 150.0, "p99": 300.0, "p99.9": 900.0, "p99.99": 1500.0}


def canned(factor: float = 1.0) -> Report:
    """Three points of a curve and a case of another scenario; ``factor`` makes ours so many times dearer."""
    return Report(
        {"cpu": "two cores of a kind", "python": "CPython 3.11", "time": "2026-01-01 00:00 UTC"},
        2,
        False,
        [
            *(_echo(connections, factor) for connections in (1, 64, 1000)),
            CaseResult(
                "lines-16", "lines", "64-byte lines", CPU, [_row("aionet", 0.8 * factor, Role.OURS)], notes=["a note."]
            ),
        ],
    )


def _echo(connections: int, factor: float) -> CaseResult:
    return CaseResult(
        f"echo-1024-{connections}-1",
        "echo",
        f"1 KiB, {connections} connections",
        CPU,
        [
            _row("uvloop", 12.0),
            _row("aionet", 11.0 * factor, Role.OURS),
            _row("c", 9.0, Role.LIMIT),
            _row("again", 12.3, Role.CONTROL),
            Row("twisted", "Twisted", problem="twisted is not installed (make bench-peers)"),
        ],
        baseline="uvloop",
        goals=[
            Goal("echo, to uvloop", "aionet", 1.0, against="uvloop"),
            Goal("echo, to C", "aionet", 1.15, against="c"),
            Goal("echo, to Twisted", "aionet", 0.3, against="twisted"),
        ],
        curve=Curve("echo 1 KiB", "connections", connections),
    )


def _row(key: str, cpu: float, role: Role = Role.PEER) -> Row:
    spread = (0.98, 1.0, 1.01, 1.0, 0.99)
    load = {"server core": 0.99, "load core": 0.6, "others": 0.0, "load capacity": 120_000.0, "rss": 2.5e7}
    return Row(
        key,
        key,
        role,
        [{"cpu": cpu * s, "capacity": 1e6 / (cpu * s), "rate": 9e4, **load, **LATENCIES} for s in spread],
    )
