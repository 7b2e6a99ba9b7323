"""Constant arrivals: what is due by the clock, whoever keeps up or not."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from .clients import Client
from .tally import Tally

__all__ = ["GRID", "Pacer", "Ticker", "arrivals"]

GRID: Final = 250_000
"""Nanoseconds between two moments at which messages may become due. At a rate above 4,000/s those of one moment leave
together."""

_SECOND: Final = 1_000_000_000
_CLOCK_MONOTONIC: Final = 1
_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_TFD_ABSTIME: Final = 1

_clock = time.perf_counter_ns  # CLOCK_MONOTONIC on Linux: the same in all processes


class Ticker:
    """Calls ``tick()`` at every multiple of ``period`` nanoseconds from ``start`` on, or soon after.

    On Linux by timerfd_create(2): event loops count in milliseconds. Elsewhere by the loop's timers.
    """

    def __init__(self, start: int, period: int, tick: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = start
        self._period = period
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor = _timer_descriptor(start, period)
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._on_readable)
        else:
            self._arm()

    def stop(self) -> None:
        """Tick no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _on_readable(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._descriptor, 8)
        self._tick()

    def _arm(self) -> None:
        passed = _clock() - self._start
        again = self._period - passed % self._period if passed >= 0 else -passed
        self._timer = self._loop.call_later(again / _SECOND, self._on_timer)

    def _on_timer(self) -> None:
        self._arm()
        self._tick()


def _timer_descriptor(start: int, period: int) -> int:
    """A timerfd, or -1 where there is none."""
    if not sys.platform.startswith("linux"):
        return -1
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
    if descriptor < 0:
        return -1
    first = max(start, 1)
    setting = struct.pack("@qqqq", *divmod(period, _SECOND), *divmod(first, _SECOND))  # struct itimerspec
    if libc.timerfd_settime(descriptor, _TFD_ABSTIME, setting, None) != 0:
        os.close(descriptor)
        return -1
    return descriptor


def arrivals(elapsed: int, rate: float, ramp: float) -> int:
    """Messages that have become due ``elapsed`` nanoseconds after the start.

    During the first ``ramp`` seconds the rate rises evenly from nothing; then it is ``rate`` a second.
    """
    seconds = elapsed / _SECOND
    due = rate * seconds * seconds / ramp / 2 if seconds < ramp else rate * (seconds - ramp / 2)
    return int(due + 1e-6)  # what floating point has lost


class Pacer:
    """Tells clients in turn what is due.

    Args:
        clients: Who sends; may change meanwhile.
        tally: Counts how late the generator itself is.
        rate: Messages a second.
        ramp: Seconds in which the rate rises to that.
        limit: Messages altogether, or ``None``.
        start: When to begin, by :func:`time.perf_counter_ns`.
    """

    def __init__(
        self, clients: Sequence[Client], tally: Tally, rate: float, ramp: float, limit: int | None, start: int
    ) -> None:
        self._clients = clients
        self._tally = tally
        self._rate = rate
        self._ramp = ramp
        self._limit = limit
        self._start = start
        self._period = max(GRID, int(_SECOND / rate))
        self._steps = 0  # of the grid, up to now
        self._given = 0
        self._turn = 0
        self._ticker: Ticker | None = Ticker(start, self._period, self._tick)

    @property
    def exhausted(self) -> bool:
        """Whether the limit is reached."""
        return self._given == self._limit

    def stop(self) -> None:
        """Nothing more becomes due. Idempotent."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def _tick(self) -> None:
        now = _clock()
        last = (now - self._start) // self._period
        if last > self._steps:
            self._tally.record_lateness(now - self._start - (self._steps + 1) * self._period)
        while self._steps < last:
            self._steps += 1
            when = self._steps * self._period
            total = arrivals(when, self._rate, self._ramp)
            if self._limit is not None and total >= self._limit:
                total = self._limit
                self.stop()
            self._give(total - self._given, self._start + when)
            self._given = total

    def _give(self, count: int, when: int) -> None:
        """Share them out, going on behind whoever was last."""
        clients = self._clients
        size = len(clients)
        if not size:
            self._tally.unsent += count
            return
        each, more = divmod(count, size)
        turn = self._turn % size
        if each:
            for position, client in enumerate(clients):
                client.due(each + ((position - turn) % size < more), when)
        else:
            for position in range(turn, turn + more):
                clients[position % size].due(1, when)
        self._turn = turn + more
