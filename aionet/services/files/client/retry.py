"""How often, and after which pauses, something is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import anyio

from aionet.errors import ConnectError

from ..errors import Code, Interrupted, TransferError

__all__ = ["BUSY_PATIENCE", "RETRIES", "Backoff", "is_passing"]

RETRIES: Final = 5
"""Failures in a row, without a byte between them, after which a transfer gives up."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
"""Seconds. With five failures in a row: at most 8 seconds altogether, 4 on average."""

BUSY_PATIENCE: Final = 60.0
"""Seconds that a server may go on to say that it is busy. It is alive, and will have room: so it is given longer."""


def is_passing(exc: BaseException) -> bool:
    """Whether the same may succeed a moment later: the connection broke, or the server is out of room."""
    return isinstance(exc, (Interrupted, ConnectError)) or is_busy(exc)


def is_busy(exc: BaseException) -> bool:
    """Whether the server said that it is out of descriptors, memory or places."""
    return isinstance(exc, TransferError) and exc.remote and exc.code == Code.BUSY


class Backoff:
    """Exponential back-off with full jitter: a pause of 0 to n seconds, n doubled with each failure in a row.

    The jitter keeps clients that lost the same server from coming back in the same instant.

    Args:
        retries: Failures in a row that are borne.
        draw: A number from 0 to 1, for each pause.
    """

    def __init__(self, retries: int = RETRIES, *, draw: Callable[[], float] = random.random) -> None:
        self.retries = retries
        self.failures = 0
        self._busy = 0.0  # seconds waited for a server that is busy
        self._draw = draw

    def progressed(self) -> None:
        """Something was achieved: what comes is counted from here."""
        self.failures = 0
        self._busy = 0.0

    def next_pause(self, exc: Exception) -> float:
        """Seconds to wait after this failure.

        Raises:
            Exception: ``exc`` itself, if it is none that passes, or one too many.
        """
        if not is_passing(exc):
            raise exc
        self.failures += 1
        pause: float = self._draw() * min(FIRST_PAUSE * 2 ** (self.failures - 1), LONGEST_PAUSE)
        if not is_busy(exc):
            if self.failures > self.retries:
                raise exc
        elif self._busy >= BUSY_PATIENCE or not self.retries:
            raise exc
        else:
            pause = max(pause, FIRST_PAUSE)
            self._busy += pause
        return pause

    async def pause(self, exc: Exception) -> None:
        """Wait before the next attempt; raises as :meth:`next_pause`."""
        await anyio.sleep(self.next_pause(exc))
