"""Listening: one endpoint, accepted connections, and who of them may come in.

At the connection limit accepting stops and the kernel queues. What was accepted in the same burst waits here,
unread, until there is room: nobody is accepted only to be refused.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
import weakref
from collections import deque
from collections.abc import Hashable
from typing import Any, Final, cast

from ..endpoint import Endpoint
from ..events import AcceptResumed, AcceptSuspended, Address, ConnectionRefused, HandlerFailed
from .admission import Admission, address_key
from .connections import connection_factory
from .context import StreamContext
from .loop import FAILURES
from .sockets import UnixFile, bind_stream
from .stream import StreamConnection

__all__ = ["StreamListener"]

TLS_SHUTDOWN: Final = 5.0
"""Seconds for the peer to answer our close_notify. asyncio allows 30: a descriptor held for nothing."""
SWEEP_EVERY: Final = 1.0
"""Seconds between two collections of garbage while handshakes take all the room, off uvloop; each takes some 10 ms."""
RETRY_AFTER: Final = 1.0
"""Seconds until a listener that the system did not let accept again tries anew; asyncio's own accept waits as long."""
REPORT_EVERY: Final = 1.0
"""Seconds between two reports of refused connections, and with room until accepting is reported as resumed, whatever
the rate: reports must not become the load."""


class _Handshake(weakref.ref[StreamConnection[Any]]):
    """A connection in its TLS handshake, held by its transport alone.

    Nobody tells when a handshake fails before ``connection_made``; but then the transport lets go of the connection.
    """

    __slots__ = ("due", "listener")

    due: int
    listener: StreamListener

    def check_deadlines(self, now: float) -> float | None:
        conn = self()
        if conn is not None:
            return conn.check_deadlines(now)
        self.listener.end_handshake(self)
        return None


def _let_go(handshake: weakref.ref[StreamConnection[Any]]) -> None:
    assert isinstance(handshake, _Handshake)
    listener = handshake.listener
    loop = listener.context.loop
    if not loop.is_closed():  # the garbage collector may run in any thread
        loop.call_soon_threadsafe(listener.end_handshake, handshake)


class _Refusal(asyncio.Protocol):
    """Stands where a connection could not be made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()  # uvloop's are none by class


class StreamListener:
    """Accepts the connections of one route."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: StreamContext[Any],
        admission: Admission,
        *,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int,
    ) -> None:
        self.endpoint = endpoint
        self._place = endpoint.location  # with the real port, once bound
        self.context = context
        self._admission = admission
        self._ssl_context = ssl_context
        self._backlog = int(endpoint.options.get("backlog", backlog))
        self._make = connection_factory(context)
        self._sockets: list[socket.socket] = []
        self._files: list[UnixFile] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._parked: deque[StreamConnection[Any]] = deque()
        self._handshaking: dict[weakref.ref[StreamConnection[Any]], _Handshake] = {}
        self._resuming: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._suspended = False
        self._reported = False  # as suspended
        self._settling: asyncio.TimerHandle | None = None  # until it is reported as resumed
        self._closed = False
        self._refused = 0
        self._refused_at = 0.0
        context.door = self

    async def bind(self) -> None:
        """Bind and listen; nothing is accepted yet.

        Raises:
            BindError: the system refused.
        """
        self._sockets = await bind_stream(self.endpoint, backlog=self._backlog)
        self._place = self.addresses[0].location
        self._files = [file for sock in self._sockets if (file := UnixFile.of(sock)) is not None]

    async def start(self) -> None:
        """Begin to accept, unless it is suspended meanwhile.

        Raises:
            OSError: the system refused, such as for want of descriptors.
        """
        for sock in self._sockets:
            server = await self._make_server(sock)
            # Known before it serves: start_serving() suspends, and may be cancelled there.
            self._servers.append(server)
            await server.start_serving()
        if self._suspended:
            self._close_servers()

    @property
    def addresses(self) -> list[Endpoint]:
        """What is bound, with real ports."""
        return [_bound(self.endpoint, sock) for sock in self._sockets]

    async def _make_server(self, sock: socket.socket) -> asyncio.AbstractServer:
        # A duplicate: closing it suspends accepting, while the kernel goes on queueing on the original. (Closing
        # one of two SO_REUSEPORT sockets instead would lose what is queued on it.)
        duplicate = sock.dup()
        try:
            return await self._make_server_of(duplicate)
        except BaseException:
            duplicate.close()
            raise

    async def _make_server_of(self, sock: socket.socket) -> asyncio.AbstractServer:
        options: dict[str, Any] = {"sock": sock, "backlog": self._backlog, "start_serving": False}
        factory: Any = self._make_or_refuse
        if self._ssl_context is not None:
            factory = self._make_handshaking
            options["ssl"] = self._ssl_context
            options["ssl_handshake_timeout"] = self.context.timeouts.handshake
            options["ssl_shutdown_timeout"] = TLS_SHUTDOWN
        loop = self.context.loop
        if sock.family != socket.AF_UNIX:
            return await loop.create_server(factory, **options)
        if sys.version_info >= (3, 13) and not self.context.shared.is_uvloop:
            options["cleanup_socket"] = False  # suspending must not remove the socket's file
        return await loop.create_unix_server(factory, **options)

    def _make_or_refuse(self) -> StreamConnection[Any] | _Refusal:
        try:
            return self._make()
        except FAILURES as exc:  # the user's codec, or what makes it; asyncio would say nothing, uvloop not even close
            self.context.events.emit(HandlerFailed(self.context.name, None, "codec", exc))
            return _Refusal()

    def _make_handshaking(self) -> StreamConnection[Any] | _Refusal:
        conn = self._make_or_refuse()
        if isinstance(conn, _Refusal):
            return conn
        handshake = _Handshake(conn, _let_go)
        handshake.due, handshake.listener = -1, self
        self._handshaking[handshake] = handshake
        loop = self.context.loop
        self.context.deadlines.watch(handshake, loop.time() + self.context.timeouts.handshake + TLS_SHUTDOWN)
        if self._crammed:
            self._suspend()
            if not self.context.shared.is_uvloop and self._sweeper is None:
                self._sweeper = loop.call_later(SWEEP_EVERY, self._sweep)
        return conn

    def _sweep(self) -> None:
        """Find failed handshakes that asyncio keeps in a cycle, by the traceback of their exception."""
        self._sweeper = None
        gc.collect()
        if self._suspended and self._handshaking and not self._closed:
            self._sweeper = self.context.loop.call_later(SWEEP_EVERY, self._sweep)

    def end_handshake(self, handshake: weakref.ref[StreamConnection[Any]]) -> None:
        """A handshake has come to its end, whichever it is. Idempotent."""
        ended = self._handshaking.pop(handshake, None)
        if ended is not None:
            self.context.deadlines.forget(ended)
            if self._suspended and not self._crammed:
                self.make_room()

    @property
    def _crammed(self) -> bool:
        """Whether accepting one more could take a descriptor that is not there."""
        admission = self._admission
        return admission.full or admission.count + len(self._handshaking) >= admission.limit

    # ---- the door ------------------------------------------------------------------------------

    def admit(self, conn: StreamConnection[Any]) -> bool:
        handshake = self._handshaking.pop(weakref.ref(conn), None) if self._handshaking else None
        if handshake is not None:
            self.context.deadlines.forget(handshake)
        admission = self._admission
        peer = conn.peername
        if self._closed:
            conn.abort()
            return False
        key = address_key(peer)
        if admission.crowded(key):
            self._refuse(conn, peer)
            return False
        if self._parked or admission.full:
            self._parked.append(conn)
            conn.pause_reading()
            deadlines = self.context.deadlines
            deadlines.watch(conn, self.context.loop.time() + self.context.timeouts.first_message)
            self._suspend()
            return False
        self._take_in(conn, key)
        if admission.full:
            self._suspend()
        return True

    def _take_in(self, conn: StreamConnection[Any], key: Hashable) -> None:
        self._admission.add(key)
        conn.address_key = key

    def leave(self, conn: StreamConnection[Any]) -> None:
        self._admission.remove(conn.address_key)

    def leave_early(self, conn: StreamConnection[Any]) -> None:
        self.end_handshake(weakref.ref(conn))
        if conn in self._parked:
            self._parked.remove(conn)
        if self._suspended:
            self.make_room()

    def make_room(self) -> None:
        """A connection has left."""
        while self._parked and not self._admission.full:
            conn = self._parked.popleft()
            if conn.closing:  # it waited too long, and is about to be gone
                continue
            peer = conn.peername
            key = address_key(peer)
            if self._admission.crowded(key):
                self._refuse(conn, peer)
                continue
            self._take_in(conn, key)
            conn.resume_reading()
            conn.begin()
        if self._closed:
            return
        if self._parked or self._crammed:
            self._admission.wait_for_room(self)
        elif self._suspended:
            self._suspended = False
            if self._resuming is None:  # else that one sees to it, when it comes to its end
                self._resuming = task = self.context.loop.create_task(self._resume())
                self.context.tasks.add(task)
                task.add_done_callback(self.context.tasks.discard)

    def _refuse(self, conn: StreamConnection[Any], peer: Address) -> None:
        conn.abort()
        why = f"{peer[0] if isinstance(peer, tuple) else peer} has too many connections already"
        self._refused += 1
        now = self.context.loop.time()
        if now - self._refused_at >= REPORT_EVERY:
            self._refused_at = now
            self._report_refused(peer, why)

    def _report_refused(self, peer: Address, why: str) -> None:
        count, self._refused = self._refused, 0
        self.context.events.emit(ConnectionRefused(self._place, peer, why, count))

    def _suspend(self) -> None:
        self._admission.wait_for_room(self)
        if self._suspended:
            return
        self._suspended = True
        # Not now: this may run inside the accept callback of the very server it closes.
        self.context.loop.call_soon(self._stop_accepting)
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if not self._reported:
            self._reported = True
            admission = self._admission
            self.context.events.emit(AcceptSuspended(self._place, admission.count, admission.limit))

    def _stop_accepting(self) -> None:
        if self._suspended:
            self._close_servers()

    async def _resume(self) -> None:
        try:
            while not (self._suspended or self._closed or len(self._servers) == len(self._sockets)):
                self._close_servers()  # suspended and resumed while it started: some are there, some are not
                await self._restart()
        finally:
            self._resuming = None
        if self._closed:
            self._close_servers()
        elif not self._suspended:
            # A full house where one leaves and the next comes in is still a full house: no report for each of them.
            self._settling = self.context.loop.call_later(REPORT_EVERY, self._report_resumed)

    def _report_resumed(self) -> None:
        self._settling = None
        self._reported = False
        self.context.events.emit(AcceptResumed(self._place, self._admission.count))

    async def _restart(self) -> None:
        try:
            await self.start()
        except OSError:  # no descriptor left, in all likelihood: others took the one that made room here
            self._close_servers()
            await asyncio.sleep(RETRY_AFTER)

    def _close_servers(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    # ---- the end -------------------------------------------------------------------------------

    def close(self) -> None:
        """Accept no more. What is accepted and not admitted is closed. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._close_servers()
        if self._settling is not None:
            self._settling.cancel()
        if self.endpoint.scheme == "unix":
            for file in self._files:
                file.remove()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        for conn in [*self._parked, *(handshake() for handshake in list(self._handshaking))]:
            if conn is not None:
                conn.abort()
        self._parked.clear()
        if self._refused:
            self._report_refused(None, "too many connections from one address")


def _bound(endpoint: Endpoint, sock: socket.socket) -> Endpoint:
    if endpoint.scheme == "unix":
        return endpoint
    name = sock.getsockname()
    if isinstance(name, tuple):
        scheme = "tcp" if endpoint.scheme == "fd" else endpoint.scheme
        return Endpoint(scheme, str(name[0]), int(name[1]), endpoint.path, endpoint.options)
    return Endpoint("unix", path=str(name)) if name else endpoint
