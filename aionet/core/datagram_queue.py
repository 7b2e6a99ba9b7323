"""What a datagram port keeps and loses: bounded queues, and an account of what found no room."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ..events import Address, DatagramsDropped, Events
from ..limits import MIB

__all__ = ["MAX_BYTES", "MAX_DATAGRAMS", "Datagram", "DatagramQueue", "DropReport"]

MAX_DATAGRAMS: Final = 1024
MAX_BYTES: Final = 1 * MIB
"""Bounds of a queue. A peer whose datagram is not served by then asks again: it is UDP."""

REPORT_INTERVAL: Final = 1.0
"""Seconds between two :class:`DatagramsDropped` events of a port: a flood must not become a flood of reports."""

Datagram = tuple[bytes, Address]
"""A datagram, and where it comes from or goes to."""


class DatagramQueue:
    """Datagrams waiting, bounded in number (empty ones cost memory too) and in bytes."""

    __slots__ = ("items", "size")

    def __init__(self) -> None:
        self.items: deque[Datagram] = deque()
        self.size = 0

    def put(self, item: Datagram) -> bool:
        """Whether there was room."""
        if len(self.items) >= MAX_DATAGRAMS or self.size + len(item[0]) > MAX_BYTES:
            return False
        self.items.append(item)
        self.size += len(item[0])
        return True

    def pop(self) -> Datagram:
        item = self.items.popleft()
        self.size -= len(item[0])
        return item


class DropReport:
    """Counts what is dropped and reports it, summed up, at most once in :data:`REPORT_INTERVAL`."""

    __slots__ = ("_endpoint", "_events", "_finished", "_last", "_loop", "_timer", "_unreported", "total")

    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, endpoint: str) -> None:
        self._loop = loop
        self._events = events
        self._endpoint = endpoint
        self._unreported: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last = float("-inf")
        self._finished = False
        self.total = 0

    def add(self, count: int, why: str) -> None:
        self.total += count
        if not count or self._finished or not self._events.wants(DatagramsDropped):
            return
        self._unreported[why] = self._unreported.get(why, 0) + count
        if self._timer is None:
            self._timer = self._loop.call_at(max(self._loop.time(), self._last + REPORT_INTERVAL), self._report)

    def finish(self) -> None:
        """The port is gone: report what is not yet reported, early or not, so that the sums agree."""
        self._finished = True
        self._report()

    def _report(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unreported:
            self._last = self._loop.time()
            why = "; ".join(f"{why} ({count})" for why, count in self._unreported.items())
            count = sum(self._unreported.values())
            self._unreported.clear()
            self._events.emit(DatagramsDropped(self._endpoint, count, why))
