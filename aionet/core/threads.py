"""Calls that block and cannot be interrupted, such as the system's resolver, in threads that nobody has to wait for.

Not the loop's executor: its threads are joined when the loop closes and again when the interpreter exits, so one
look-up that hangs keeps a process alive that has long given up on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["MAX_THREADS", "in_thread"]

T = TypeVar("T")

MAX_THREADS: Final = 64
"""Calls under way at once in a process, those that were given up included: each holds a thread until it ends."""

_slots = threading.BoundedSemaphore(MAX_THREADS)


async def in_thread(function: Callable[[], T], *, timeout: float) -> T:
    """Call ``function`` in a daemon thread and return what it returns, or raise what it raises.

    Given up (by time-out or cancellation), the call goes on in its thread and its result is dropped.

    Args:
        function: What blocks. It must leave the loop alone.
        timeout: Seconds.

    Raises:
        TimeoutError: it did not end in time.
        BlockingIOError: :data:`MAX_THREADS` calls are under way already.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    if not _slots.acquire(blocking=False):
        raise BlockingIOError(errno.EAGAIN, f"{os.strerror(errno.EAGAIN)}: {MAX_THREADS} look-ups are under way")

    def settle(outcome: Callable[[], T]) -> None:
        if future.done():
            return
        try:
            future.set_result(outcome())
        except Exception as exc:
            future.set_exception(exc)

    def work() -> None:
        outcome = _call(function)
        _slots.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, outcome)

    try:
        threading.Thread(target=work, name="aionet-look-up", daemon=True).start()
    except BaseException:  # out of threads
        _slots.release()
        raise
    async with asyncio.timeout(timeout):
        return await future


def _call(function: Callable[[], T]) -> Callable[[], T]:
    """What calling it came to, to be had again: a function that returns the result or raises the exception."""
    try:
        result = function()
    except Exception as exc:
        failure = exc

        def fail() -> T:
            raise failure

        return fail
    return lambda: result
