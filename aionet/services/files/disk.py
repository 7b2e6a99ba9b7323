"""Disk work off the event loop, and who closes what when a task is cancelled in the middle of it.

A plain asyncio task that is cancelled while a thread works for it goes on at once: the thread may then be reading
from a descriptor that is being closed, or come back with one that nobody waits for. So what a thread opens is put
into a :class:`Lease` that exists beforehand, and closed by whoever lets go of it last. Nor is anything called with it
before the thread of a cancelled task is out of it: what that one still writes is there before whatever is done next.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Generic, TypeVar, TypeVarTuple

from anyio import CancelScope

from .errors import TransferError

__all__ = ["THREADS", "Disk", "Lease", "heard", "leased", "outcome"]

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
        self._pool = ThreadPoolExecutor(threads, "aionet-disk")

    def start(self, function: Callable[[*Ts], R], *args: *Ts) -> asyncio.Future[R]:
        """Call it in a thread, now if one is free; what it returns or raises is the future's."""
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def run(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Call it in a thread. Cancelled, the task goes on at once, and the thread finishes unheard."""
        return await self.start(function, *args)


class Lease(Generic[T]):
    """Something that threads use, one at a time, and the event loop lets go of, in whatever order that happens.

    Args:
        close: Called exactly once with what was put in: in :meth:`release`, or in the thread that still uses it.
    """

    def __init__(self, close: Callable[[T], object]) -> None:
        self._close = close
        self._last: asyncio.Future[Any] | None = None  # the call before
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

    async def run(self, disk: Disk, function: Callable[[T, *Ts], R], *args: *Ts) -> R:
        """Call ``function(thing, ...)`` in a thread, once every call that was made before is out of its own.

        Cancelled, the task goes on at once; the call is made all the same, in its turn.

        Raises:
            TransferError: it was released before its turn came.
            Exception: what ``function`` raised.
        """
        return await outcome(self.start(disk, function, *args))

    def start(self, disk: Disk, function: Callable[[T, *Ts], R], *args: *Ts) -> asyncio.Future[R]:
        """As :meth:`run`, for whoever has something else to do meanwhile. The thread has it when this returns, unless
        a call before it is under way. It is waited for by :func:`outcome`."""
        before = self._last
        if before is None or before.done():
            call = disk.start(self._call, function, *args)
        else:
            call = asyncio.ensure_future(self._call_behind(before, disk, function, *args))
        call.add_done_callback(heard)
        self._last = call
        return call

    async def _call_behind(
        self, before: asyncio.Future[Any], disk: Disk, function: Callable[[T, *Ts], R], *args: *Ts
    ) -> R:
        await asyncio.wait((before,))
        return await disk.start(self._call, function, *args)

    def _call(self, function: Callable[[T, *Ts], R], *args: *Ts) -> R:
        with self.use() as thing:
            return function(thing, *args)

    @contextmanager
    def use(self) -> Iterator[T]:
        """It stays open until the block is left, in a thread or on the event loop. Nothing else may use it meanwhile.

        Raises:
            TransferError: it was released.
        """
        with self._lock:
            if self._released or not self._held:
                raise TransferError("released before it was used")
            assert not self._busy
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


async def outcome(call: asyncio.Future[R]) -> R:
    """What a call gives; cancelled meanwhile, the task goes on and the call is not cancelled."""
    await asyncio.wait((call,))
    return call.result()


def heard(call: asyncio.Future[Any]) -> None:
    """A failure that nobody waits for any more is no news: something else has ended what it was for."""
    if not call.cancelled():
        call.exception()


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
