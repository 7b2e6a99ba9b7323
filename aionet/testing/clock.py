"""An event loop whose clock is virtual: where nothing is ready, it does not sleep, it jumps to the next timer.

::

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(asyncio.sleep(86400))      # returns at once, a day later

Deadlines, back-offs and heartbeats are tested by it in no time, and exactly. It is asyncio's selector loop in
everything else. Use it without sockets (:class:`~aionet.testing.MemoryTransport`): the clock does not wait for bytes
that are still on their way through the kernel.
"""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any, Final

__all__ = ["VirtualClockLoop"]

EPOCH: Final = 1000.0
"""What a new clock shows, seconds. Not 0: code that takes 0 for "never" works on real clocks, and shall here."""


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time.

    A program that waits for nothing that could ever come (no timer, no file descriptor, no thread) would hang; here
    ``run_forever`` and ``run_until_complete`` raise :class:`RuntimeError` then.
    """

    def __init__(self) -> None:
        self._now = EPOCH
        self._until = math.inf  # advance(): where the clock has to stop
        super().__init__()
        # The loop's own selector, made by the base class, asked by way of the clock. (asyncio takes a selector from
        # outside as well, but then the choice of it would be ours.)
        self._selector: Any = _ClockedSelector(getattr(self, "_selector"), self)  # noqa: B009 - not in the stubs

    def time(self) -> float:
        """The virtual time, seconds."""
        return self._now

    def advance(self, seconds: float = 0.0) -> None:
        """Run the loop until nothing is ready and ``seconds`` of virtual time have passed.

        Timers run at their time, in order, and so does whatever they bring about. With 0, what is ready now.

        Raises:
            ValueError: ``seconds`` is negative.
            RuntimeError: the loop is running; only code outside of it can drive it.
        """
        if not seconds >= 0:
            raise ValueError(f"time goes forward only, not by {seconds} seconds")
        self._until = self._now + seconds
        try:
            self.run_forever()
        finally:
            self._until = math.inf

    def _wait(self, timeout: float | None) -> bool:
        """Nothing is ready for ``timeout`` seconds (``None``: for ever): move the clock instead.

        Returns:
            Whether only the real world can bring something now.
        """
        wake = math.inf if timeout is None else self._now + timeout
        if wake > self._until:
            self._now = self._until
            self.stop()
        elif timeout is not None:
            self._now = wake
        else:
            return True
        return False


class _ClockedSelector:
    """The loop's selector, which never sleeps while the clock can be moved instead."""

    def __init__(self, selector: Any, loop: VirtualClockLoop) -> None:
        self._selector = selector
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> Any:
        ready = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0) or not self._loop._wait(timeout):
            return ready
        # The loop's own wake-up socket is always there; threads come back by that one, some while they end.
        if len(self._selector.get_map()) <= 1 and threading.active_count() == 1:
            ready = self._selector.select(0)
            if not ready:
                raise RuntimeError("the loop waits for something that cannot come: no timer, file descriptor or thread")
            return ready
        return self._selector.select(None)
