"""Disk work off the event loop, and who closes what when a task is cancelled in the middle of it.

A plain asyncio task that is cancelled while a thread works for it goes on at once: the thread may then be reading
from a descriptor that is being closed, or come back with one that nobody waits for. So what a thread opens is put
into a :class:`Lease` that exists beforehand, and closed by whoever lets go of it last.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Generic, TypeVar, TypeVarTuple

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter

from .errors import TransferError

__all__ = ["THREADS", "Disk", "Lease", "leased"]

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

THREADS: Final = 8
"""Threads in which one service waits for the disk. Some must be left when a few of them hang on a slow one."""


class Disk:
    """The threads of one service.

    Args:
        threads: How many calls may run at once; the others wait their turn.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._limiter = CapacityLimiter(threads)

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Call it in a thread. Cancelled, the task goes on at once, and the thread finishes unheard."""
        return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True, limiter=self._limiter)


class Lease(Generic[T]):
    """Something that threads use and the event loop lets go of, in whatever order that happens.

    Args:
        close: Called exactly once with what was put in: in :meth:`release`, or in the thread that still uses it.
    """

    def __init__(self, close: Callable[[T], object]) -> None:
        self._close = close
        self._lock = threading.Lock()  # held for a few assignments only: never waits for the disk
        self._held: list[T] = []
        self._busy = False
        self._released = False

    @property
    def filled(self) -> bool:
        """Whether something was put in that is not closed yet."""
        return bool(self._held)

    def put(self, thing: T) -> None:
        """In a thread: hand over what has just been opened.

        Raises:
            TransferError: it was released meanwhile; ``thing`` is closed.
        """
        with self._lock:
            if not self._released:
                self._held.append(thing)
                return
        self._close(thing)
        raise TransferError("released while it was opened")

    @contextmanager
    def use(self) -> Iterator[T]:
        """In a thread: it stays open until the block is left.

        Raises:
            TransferError: it was released.
        """
        with self._lock:
            if self._released or not self._held:
                raise TransferError("released before it was used")
            self._busy = True
            thing = self._held[0]
        try:
            yield thing
        finally:
            self._done_with(thing)

    def release(self) -> None:
        """Close it, now or when the thread that uses it is done. Idempotent; never waits for that thread."""
        with self._lock:
            again, self._released = self._released, True
            closing = not again and not self._busy and bool(self._held)
        if closing:
            self._close(self._held.pop())

    def _done_with(self, thing: T) -> None:
        with self._lock:
            self._busy = False
            if not self._released:
                return
            self._held.clear()
        self._close(thing)


@asynccontextmanager
async def leased(disk: Disk, close: Callable[[T], object]) -> AsyncIterator[Lease[T]]:
    """A lease for the time of a block; what was put in is closed in a thread when it ends, however it ends."""
    lease = Lease(close)
    try:
        yield lease
    finally:
        try:
            with CancelScope(shield=True):
                await disk.run(lease.release)
        finally:
            lease.release()  # nothing is left to do, unless a second cancellation came before the thread
