"""The result of a run: plain values, for a table, a file, and another run to be compared with."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from .. import __version__
from ..errors import ConfigError
from .latency import Latencies
from .outcome import Interval, Outcome
from .plan import Chat, Download, Exchange, Plan

__all__ = ["Result"]

VERSION: Final = 1
LATE: Final = 1000
"""Microseconds: what the generator may be late by, at the 99th percentile, before that is said."""

_PEER_CLOSED: Final = "closed by the peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run brought.

    Attributes:
        version: Of this form.
        target: The endpoint.
        unit: What is counted: ``"messages"``, ``"datagrams"``, ``"deliveries"``, ``"downloads"``.
        settings: What was asked for, by option.
        connections: How many were open, at most.
        seconds: How long was measured.
        sent: Messages sent while that was measured.
        answered: Messages answered meanwhile.
        rate: Of these a second.
        bytes_sent: A second.
        bytes_received: A second.
        latency: Mean, percentiles, maximum: microseconds.
        histogram: All latencies (HdrHistogram, compressed, base64).
        faults: What went wrong with messages: counts by kind, in all phases; those that are 0 are left out.
        failures: What went wrong with connections: likewise.
        examples: What the first of each looked like.
        intervals: ``at`` and ``seconds``, ``answered``, ``p50`` and ``p99`` (microseconds) of each.
        generator: ``processes``; ``cpu``, the part of a core that each took; ``waited``, the part of the time that each
            had no core to run on; ``busy``, whether one had no time left; ``late``, how late it was itself,
            microseconds (in an open loop).
        environment: Versions, and how many CPUs there are.
        interrupted: Whether it was ended early.
        search: Of a search for the highest rate: what held, and each trial; else empty.
    """

    version: int = VERSION
    target: str
    unit: str
    settings: dict[str, Any]
    connections: int
    seconds: float
    sent: int
    answered: int
    rate: float
    bytes_sent: float
    bytes_received: float
    latency: dict[str, float]
    histogram: str
    faults: dict[str, int]
    failures: dict[str, int]
    examples: dict[str, list[str]]
    intervals: list[dict[str, float]]
    generator: dict[str, Any]
    environment: dict[str, Any]
    interrupted: bool
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, outcome: Outcome, search: Mapping[str, Any] | None = None) -> Self:
        """The result of a run that has ended."""
        measured, total = outcome.phases["measured"], outcome.total()
        seconds = outcome.seconds
        sent_size, reply_size = outcome.plan.bytes_per_message
        received = measured.bytes_received or measured.answered * reply_size
        latencies = outcome.latencies()
        faults = "wrong lost late duplicated reordered unanswered unsent".split()
        return cls(
            target=outcome.plan.endpoint.location,
            unit=_unit(outcome.plan),
            settings=_settings(outcome.plan),
            connections=max([outcome.connections, *(interval.connections for interval in outcome.intervals)]),
            seconds=round(seconds, 3),
            sent=measured.sent,
            answered=measured.answered,
            rate=round(outcome.rate, 1),
            bytes_sent=round(measured.sent * sent_size / seconds) if seconds else 0,
            bytes_received=round(received / seconds) if seconds else 0,
            latency=latencies.summary(),
            histogram=latencies.encode(),
            faults={name: count for name in faults if (count := getattr(total, name))},
            failures=dict(total.failures.most_common()),
            examples={kind: examples for kind, examples in total.examples.items() if examples},
            intervals=[_interval(interval) for interval in outcome.intervals],
            generator={
                "processes": outcome.processes,
                "cpu": [round(part, 3) for part in outcome.cpu],
                "waited": [round(part, 3) for part in outcome.waited],
                "busy": outcome.busy,
                "late": Latencies(measured.lateness).summary() if outcome.plan.rate else {},
            },
            environment=_environment(),
            interrupted=outcome.interrupted,
            search=dict(search or {}),
        )

    @property
    def sound(self) -> bool:
        """Whether everything was answered, and right. Datagrams may be lost, but not all."""
        expected = {_PEER_CLOSED} if self.settings.get("reconnect") else set()
        bad = self.failures.keys() - expected or self.faults.keys() & {"wrong", "unanswered"}
        return not bad and (self.answered > 0 or self.interrupted)

    @property
    def generator_is_the_limit(self) -> bool:
        """Whether a process that generates load had no time left."""
        return bool(self.generator["busy"])

    @property
    def generator_was_late(self) -> bool:
        """Whether messages left too late for reasons that are not the server's."""
        return float(self.generator["late"].get("p99", 0)) > LATE

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What :meth:`to_json` gave.

        Raises:
            ConfigError: it is something else.
        """
        try:
            values = json.loads(text)
        except ValueError as exc:
            raise ConfigError(f"it is not JSON: {exc}") from exc
        names = {item.name for item in fields(cls)}
        if not isinstance(values, dict) or values.get("version") != VERSION or values.keys() != names:
            raise ConfigError(
                "it is no result of bench", hint="python -m aionet bench ... --json > before.json makes one"
            )
        return cls(**values)


def _unit(plan: Plan) -> str:
    if isinstance(plan.work, Chat):
        return "deliveries"
    if isinstance(plan.work, Download):
        return "downloads"
    return "datagrams" if plan.endpoint.is_datagram else "messages"


def _settings(plan: Plan) -> dict[str, Any]:
    names = "connections duration messages warmup ramp rate timeout reconnect".split()
    settings: dict[str, Any] = {name: getattr(plan, name) for name in names}
    work = plan.work
    if isinstance(work, Exchange):
        script = work.script
        settings |= {"pipeline": work.pipeline, "size": script.request_size, "verify": script.verify}
        settings["codec"] = type(script.make_codec()).__name__
    elif isinstance(work, Chat):
        settings |= {"speakers": work.speakers, "size": work.size}
    else:
        settings |= {"name": work.name, "verify": work.verify, "pipeline": work.pipeline}
    return settings


def _interval(interval: Interval) -> dict[str, float]:
    latencies = Latencies(interval.tally.latencies)
    return {
        "at": round(interval.at, 3),
        "seconds": round(interval.seconds, 3),
        "answered": interval.tally.answered,
        "p50": latencies.percentile(50),
        "p99": latencies.percentile(99),
    }


def _environment() -> dict[str, Any]:
    return {
        "aionet": __version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
