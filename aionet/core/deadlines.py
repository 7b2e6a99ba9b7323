"""All deadlines of a server on one timer.

A timer per connection costs an allocation and a heap operation a chunk. Here a connection is put into the bucket
of the tick in which it is next looked at; what happens in between is one store of a coarse clock. Nothing ticks
while nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final, Protocol

__all__ = ["Deadlines", "Watched", "resolution"]

AT_ONCE: Final = 128
"""Looked at in one turn of the loop. To cut a connection takes some 40 us, so thousands whose time comes in one tick
(silent clients that came together) would hold up all others for a quarter of a second."""


class Watched(Protocol):
    """What can be looked at when its time has come."""

    due: int
    """The tick it waits for; belongs to :class:`Deadlines`. -1: it waits for none."""

    def check_deadlines(self, now: float) -> float | None:
        """Act on what is overdue. Returns when to look again (loop time, seconds), or ``None``: never."""


class Deadlines:
    """One timer, many deadlines.

    Attributes:
        now: The loop's time at the next tick, seconds: at most ``resolution`` ahead while anybody waits, so that what
            is counted from it ends a little late and never early. Cheap enough to be read for every chunk.
    """

    __slots__ = ("_buckets", "_due", "_handle", "_loop", "_next", "_resolution", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop, resolution: float) -> None:
        self._loop = loop
        self._resolution = resolution
        self._buckets: dict[int, set[Watched]] = {}
        self._due: deque[int] = deque()  # ticks that have come, and not everybody in them was looked at
        self._handle: asyncio.Handle | None = None
        self._next = 0
        self.now = loop.time() + resolution

    def watch(self, item: Watched, when: float) -> None:
        """Look at ``item`` once ``when`` (loop time) has passed; moves it if it was waiting already.

        ``math.inf``: never.
        """
        self.forget(item)
        if when == math.inf:
            return
        if self._handle is None:
            self._next = int(self._loop.time() / self._resolution) + 1
            self.now = self._next * self._resolution
            self._arm()
        item.due = max(int(when / self._resolution) + 1, self._next)
        bucket = self._buckets.get(item.due)
        if bucket is None:
            bucket = self._buckets[item.due] = set()
        bucket.add(item)

    def forget(self, item: Watched) -> None:
        """Stop looking at ``item``. Idempotent."""
        if item.due >= 0:
            bucket = self._buckets.get(item.due)
            if bucket is not None:
                bucket.discard(item)
            item.due = -1

    def stop(self) -> None:
        """Forget everything and cancel the timer."""
        for bucket in self._buckets.values():
            for item in bucket:
                item.due = -1
            bucket.clear()
        self._buckets.clear()
        self._due.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        self._handle = self._loop.call_at(self._next * self._resolution, self._tick)

    def _tick(self) -> None:
        # A timer may fire a clock's resolution early, and n * r / r be less than n: this tick has come all the same.
        now = max(self._loop.time(), self._next * self._resolution)
        current = max(int(now / self._resolution), self._next)
        # Whoever watches anew from here on, even overdue, waits for the next tick: this loop must end.
        first, self._next = self._next, current + 1
        self._due += [tick for tick in range(first, current + 1) if tick in self._buckets]
        self._look(now)

    def _look(self, now: float) -> None:
        """Look at those whose tick has come, some in each turn of the loop."""
        # Where that takes several turns, what comes meanwhile is not counted from the past.
        self.now = max(self._next * self._resolution, self._loop.time())
        room = AT_ONCE
        while self._due:
            bucket = self._buckets.get(self._due[0])
            while bucket:
                if not room:
                    self._handle = self._loop.call_soon(self._look, now)
                    return
                room -= 1
                item = bucket.pop()
                item.due = -1
                try:
                    again = item.check_deadlines(now)
                except Exception as exc:  # one that fails must not take the timer from all others
                    self._loop.call_exception_handler({"message": "aionet: a deadline failed", "exception": exc})
                    continue
                if again is not None:
                    self.watch(item, again)
            if self._due:  # else stop() has been called
                self._buckets.pop(self._due.popleft(), None)
        self._handle = None
        if self._buckets:
            self._arm()


def resolution(shortest: float) -> float:
    """The tick, seconds, that keeps the promise of :class:`~aionet.Timeouts` where this is the shortest deadline."""
    return min(max(shortest / 8, 0.01), 0.25)
