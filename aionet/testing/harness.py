"""Drive a handler without a network and without waiting: bytes in, bytes out, time at the test's command.

::

    def test_it_shouts() -> None:
        with HandlerHarness(Shout()) as peer:
            peer.receive(b"hello\\nwor")
            assert peer.sent == b"HELLO\\n"
            peer.advance(60)                                  # a line must end within Timeouts.message
            assert peer.closed is not None
            assert peer.closed.reason is CloseReason.MESSAGE_TIMEOUT

Handlers of every style run as on a server, on the same connections, codecs, limits and deadlines; only the transport
and the clock are not real. Tests are plain functions: each call runs the event loop until nothing is left to do.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ..codec import CodecSource
from ..core.connections import connection_factory
from ..core.context import StreamContext
from ..core.coroutine import CoroutineConnection
from ..core.deadlines import Deadlines, resolution
from ..core.stream import StreamConnection
from ..events import Address, CloseReason, ConnectionClosed, Event, Events, HandlerFailed
from ..handler import Connection, StreamHandler
from ..limits import Limits, Timeouts
from .clock import VirtualClockLoop
from .memory import MemoryTransport

__all__ = ["HandlerHarness", "MemoryPeer"]

T = TypeVar("T")

SOCKNAME: Final = ("192.0.2.254", 7000)  # addresses of TEST-NET-1 (RFC 5737)
FIRST_PORT: Final = 50_000


class MemoryPeer:
    """The peer of one connection: what it does, and what it gets to see.

    Attributes:
        conn: The connection that the handler holds.
        transport: What that one takes for its socket.
    """

    conn: Connection[Any]
    transport: MemoryTransport

    def __init__(self, stage: HandlerHarness, peername: Address) -> None:
        self._stage = stage
        conn = stage._make()
        self.conn = conn
        self.transport = MemoryTransport(stage.loop, conn, {"peername": peername, "sockname": SOCKNAME})
        stage.call(self.transport.connect)

    # ---- doing ---------------------------------------------------------------------------------

    def receive(self, *chunks: bytes) -> None:
        """The peer sends these chunks, each as one arrival, all in one tick."""
        self._stage.call(self._feed, chunks)

    def _feed(self, chunks: tuple[bytes, ...]) -> None:
        for chunk in chunks:
            self.transport.feed(chunk)

    def eof(self) -> None:
        """The peer sends no more; it still reads."""
        self._stage.call(self.transport.feed_eof)

    def reset(self, exc: BaseException | None = None) -> None:
        """The connection breaks, by a reset from the peer if ``exc`` does not say otherwise."""
        if exc is None:
            exc = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        self._stage.call(self.transport.lose, exc)

    def stall(self, room: int = 0) -> None:
        """The peer stops reading, after ``room`` bytes more."""
        self._stage.call(self.transport.stall, room)

    def take(self, count: int | None = None) -> None:
        """The peer reads ``count`` bytes of what waits for it; left out: all, and whatever comes from now on."""
        self._stage.call(self.transport.take, count)

    # ---- seeing --------------------------------------------------------------------------------

    @property
    def sent(self) -> bytes:
        """What the connection has given to its transport (of that, the peer has read ``transport.taken``)."""
        return b"".join(self.transport.writes)

    @property
    def writes(self) -> int:
        """By how many transport writes, each of which is a system call on a real socket."""
        return len(self.transport.writes)

    @property
    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, once ``on_close`` has returned: reason, exception, counts."""
        peername = self.transport.get_extra_info("peername")
        closings = (event for event in self._stage.events if isinstance(event, ConnectionClosed))
        return next((event for event in closings if event.peer == peername), None)


class HandlerHarness(MemoryPeer):
    """A handler, its first peer, and the world around both.

    Args:
        handler: As for :meth:`aionet.Router.add`, in any style.
        codec: Likewise. As on a server, what is left out here is taken from the handler, and then from the defaults.
        limits: Likewise.
        timeouts: Likewise.

    Use it as a context manager, or :meth:`close` it.

    Attributes:
        loop: The event loop, in virtual time.
        events: All that was reported so far, in order.
        failures: Handlers' exceptions among that. One that is still in this list when the ``with`` block ends is
            raised there; a test that expects it takes it out: ``harness.failures.pop()``.

    Raises:
        ConfigError: handler or codec are none.
    """

    def __init__(
        self,
        handler: object,
        *,
        codec: CodecSource[Any] | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        own = handler if isinstance(handler, StreamHandler) else StreamHandler[Any]()
        timeouts = timeouts or own.timeouts or Timeouts()
        self.events: list[Event] = []
        self.failures: list[HandlerFailed] = []
        self._escaped: list[dict[str, Any]] = []
        self._peers = 0
        self.loop = VirtualClockLoop()
        self.loop.set_exception_handler(lambda _, context: self._escaped.append(context))
        try:
            events = Events()
            events.subscribe(self.events.append)
            events.subscribe(self.failures.append, HandlerFailed)
            self._context: StreamContext[Any] = StreamContext(
                "memory",
                handler,
                codec,
                loop=self.loop,
                events=events,
                deadlines=Deadlines(self.loop, resolution(timeouts.shortest)),
                limits=limits or own.limits or Limits(),
                timeouts=timeouts,
            )
            self._make: Callable[[], StreamConnection[Any]] = connection_factory(self._context)
            super().__init__(self, self._next_peername())
        except BaseException:
            self.loop.close()
            raise

    def _next_peername(self) -> tuple[str, int]:
        self._peers += 1
        return ("192.0.2.1", FIRST_PORT + self._peers)

    def connect(self) -> MemoryPeer:
        """Another connection to the same handler."""
        return MemoryPeer(self, self._next_peername())

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass."""
        self.loop.advance(seconds)
        self._check_loop()

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function on the event loop, as a timer or another connection would, and run what follows from it."""
        outcome: list[T] = []
        failed: list[BaseException] = []

        def guarded() -> None:
            try:
                outcome.append(function(*args))
            except Exception as exc:
                failed.append(exc)

        self.loop.call_soon(guarded)
        self.advance()
        if failed:
            raise failed[0]
        return outcome[0]

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task, and run until it waits for something, or is done."""
        task = self.loop.create_task(coroutine)
        self.advance()
        return task

    def drain(self) -> None:
        """The server is leaving: every connection hears of it."""
        self.call(self._drain)

    def close(self) -> None:
        """Cut what is open, end handlers' tasks, and close the loop. Idempotent.

        Raises:
            RuntimeError: an exception reached the event loop.
        """
        if self.loop.is_closed():
            return
        try:
            self.call(self._cut)
            self._context.deadlines.stop()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()
        self._check_loop()

    def _open(self) -> list[StreamConnection[Any]]:
        return [conn for conn in self._context.connections if isinstance(conn, StreamConnection)]

    def _drain(self) -> None:
        for conn in self._open():
            conn.drain()

    def _cut(self) -> None:
        for conn in self._open():
            conn.abort(CloseReason.SHUTDOWN)
            if isinstance(conn, CoroutineConnection):
                conn.cancel()

    def _check_loop(self) -> None:
        if self._escaped:
            escaped = self._escaped.pop(0)
            raise RuntimeError(f"this reached the event loop: {escaped['message']}") from escaped.get("exception")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            if exc is None and self.failures:
                raise self.failures[0].exc
