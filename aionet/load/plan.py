"""What a run is to do, as one value that checks itself and goes to each process."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

from ..endpoint import Endpoint
from ..errors import ConfigError
from .chat import ChatLoad
from .datagrams import NUMBER, DatagramLoad
from .files import FileLoad
from .script import Script
from .streams import StreamLoad

__all__ = ["MAX_DATAGRAM", "Chat", "Download", "Exchange", "Load", "Plan", "Share"]

MAX_DATAGRAM: Final = 65_507
"""Bytes that fit one UDP datagram over IPv4: 65,535 less 20 of IP and 8 of UDP (RFC 768, RFC 791)."""

Load = StreamLoad | DatagramLoad | ChatLoad | FileLoad


@dataclass(frozen=True, slots=True)
class Exchange:
    """Messages, and a reply to each.

    Attributes:
        script: What to say, and what to expect.
        pipeline: Messages under way on each connection of a closed loop.
        numbered: Datagrams: whether they begin with a number, which is to come back.
    """

    script: Script
    pipeline: int = 1
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat room: every connection is a member, some speak."""

    speakers: int
    size: int
    run: str


@dataclass(frozen=True, slots=True)
class Download:
    """One file of the file service, again and again."""

    name: str
    digest: str | None = None
    verify: bool = True
    pipeline: int = 1


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a run a process does: connections ``first``, ``first + step``... of all."""

    number: int
    of: int

    def positions(self, connections: int) -> range:
        """The connections of this process."""
        return range(self.number, connections, self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run.

    Attributes:
        endpoint: Where to.
        work: What is done there.
        connections: How many, or datagram ports, or members.
        duration: Seconds that are measured; ``None``: until all ``messages`` are answered.
        messages: How many to send altogether; ``None``: for all of ``duration``.
        warmup: Seconds before, which are not measured.
        ramp: Seconds before that, in which connections are opened one by one, or the rate rises.
        rate: Messages a second, at constant intervals (an open loop); ``None``: a closed loop.
        timeout: Seconds to connect in, without an answer, until a datagram is lost, and for the last answers.
        reconnect: Whether a connection that ends is opened anew; else it stays ended.

    Raises:
        ConfigError: what cannot be.
    """

    endpoint: Endpoint
    work: Exchange | Chat | Download
    connections: int = 50
    duration: float | None = 10.0
    messages: int | None = None
    warmup: float = 1.0
    ramp: float = 0.0
    rate: float | None = None
    timeout: float = 5.0
    reconnect: bool = False

    def __post_init__(self) -> None:
        if (self.duration is None) == (self.messages is None):
            raise ConfigError("a run ends after a time or after a number of messages: one of them is needed")
        if self.messages is not None and (self.messages < 1 or self.warmup or self.ramp):
            raise ConfigError("a number of messages is at least 1, and all of them count: no ramp, no warm-up")
        positive = [number for number in (self.duration, self.rate, self.timeout) if number is not None]
        sound = all(0 < number < math.inf for number in positive)
        if not sound or not 0 <= self.warmup + self.ramp < math.inf or min(self.warmup, self.ramp) < 0:
            raise ConfigError("times and rates of a run are positive and finite")
        if self.connections < 1:
            raise ConfigError(f"connections must be positive, not {self.connections}")
        if isinstance(self.work, Chat):
            self._check_chat(self.work)
        elif self.endpoint.is_datagram:
            self._check_datagrams(self.work)

    def _check_chat(self, work: Chat) -> None:
        if not 1 <= work.speakers <= self.connections or self.connections < 2:
            raise ConfigError(
                f"{work.speakers} speakers among {self.connections} members: at least one speaks, and another one hears"
            )
        if self.rate is None or self.duration is None:
            raise ConfigError("what is said in a chat has a rate, and ends after a time")
        if work.size < 40:
            raise ConfigError("what is said in a chat has a number and a time in it: at least 40 bytes")

    def _check_datagrams(self, work: Exchange | Download) -> None:
        if not isinstance(work, Exchange) or work.script.framed:
            raise ConfigError("a datagram is a message already: there is no codec for it")
        if max(work.script.request_size, work.script.reply_size) > MAX_DATAGRAM:
            raise ConfigError(f"a datagram has at most {MAX_DATAGRAM} bytes")
        if work.numbered and work.script.request_size < NUMBER.size:
            raise ConfigError(f"a datagram with a number has at least {NUMBER.size} bytes")

    @property
    def lead(self) -> float:
        """Seconds before anything is measured."""
        return self.ramp + self.warmup

    @property
    def speakers(self) -> int:
        """How many of the connections send: those with the lowest numbers."""
        return self.work.speakers if isinstance(self.work, Chat) else self.connections

    def quota(self, position: int) -> int:
        """How many of the messages are this connection's."""
        if self.messages is None or position >= self.speakers:
            return 0
        each, more = divmod(self.messages, self.speakers)
        return each + (position < more)

    @property
    def interval(self) -> float:
        """Seconds of an interval: short enough for a good number of them, long enough for percentiles."""
        return 0.25 if self.duration is None else min(max(self.duration / 40, 0.05), 0.5)

    @property
    def bytes_per_message(self) -> tuple[int, int]:
        """Sent and received on the wire for each message; 0 where that is not known beforehand."""
        if isinstance(self.work, Exchange):
            return self.work.script.request_size, self.work.script.reply_size
        return (self.work.size, self.work.size) if isinstance(self.work, Chat) else (0, 0)

    def with_rate(self, rate: float, **changes: Any) -> Plan:
        """The same at this rate."""
        return replace(self, rate=rate, **changes)

    def load(self) -> Load:
        """What the clients of one process share."""
        work = self.work
        closed = self.rate is None
        if isinstance(work, Chat):
            return ChatLoad(work.run, work.speakers, work.size)
        if isinstance(work, Download):
            return FileLoad(work.name, work.digest, work.verify, work.pipeline)
        pipeline = work.pipeline if closed else None
        if self.endpoint.is_datagram:
            return DatagramLoad(work.script, work.numbered, pipeline)
        return StreamLoad(work.script, pipeline, carried=self.endpoint.is_websocket)
