"""A limit of bytes a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio

from aionet.errors import ConfigError

__all__ = ["SLOWEST", "Pace"]

SLOWEST: Final = 8192
"""Bytes a second. Below it a chunk of the socket (256 KiB) would take longer than servers wait for a slow reader."""

_BURST: Final = 0.5
"""Seconds' worth of bytes that may pass at once after a pause: a machine that is busy shall not fall behind."""


class Pace:
    """At most ``rate`` bytes a second on average, for all who share it. One event loop.

    Args:
        rate: Bytes a second.
        clock: Seconds, monotonic.

    Raises:
        ConfigError: a rate below :data:`SLOWEST`.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not rate >= SLOWEST:
            raise ConfigError(f"a rate of {rate:g} bytes a second is below the {SLOWEST} that are possible")
        self.rate = rate
        self._clock = clock
        self._due = clock()  # when what has passed would have passed at this rate

    def delay(self, count: int) -> float:
        """Seconds to wait now that ``count`` bytes have passed, or are about to."""
        now = self._clock()
        self._due = max(self._due, now - _BURST) + count / self.rate
        return max(0.0, self._due - now)

    async def pass_on(self, count: int) -> None:
        """Wait for as long as :meth:`delay` says."""
        delay = self.delay(count)
        if delay:
            await anyio.sleep(delay)
