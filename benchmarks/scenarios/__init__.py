"""The scenarios: for each what is run, which peers, by which metric it is judged, and which goals it answers for."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.measuring import Case
from benchmarks.scenarios import (
    churn,
    datagram,
    echo,
    fanout,
    files,
    idle,
    length,
    lines,
    mixed,
    start,
    tls,
    websocket,
    workers,
)

__all__ = ["SCENARIOS", "Scenario"]

Scenario = Callable[[Bench], list[Case]]

SCENARIOS: dict[str, Scenario] = {
    "echo": echo.cases,
    "lines": lines.cases,
    "length": length.cases,
    "fanout": fanout.cases,
    "files": files.cases,
    "datagram": datagram.cases,
    "tls": tls.cases,
    "websocket": websocket.cases,
    "churn": churn.cases,
    "idle": idle.cases,
    "mixed": mixed.cases,
    "workers": workers.cases,
    "start": start.cases,
}
"""By name, in the order in which they are measured. The first line of a module's docstring says what it is."""
