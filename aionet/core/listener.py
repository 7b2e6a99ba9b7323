"""Listening: one endpoint, accepted connections, and who of them may come in.

At the connection limit accepting stops and the kernel queues. What was accepted in the same burst waits here,
unread, until there is room: nobody is accepted only to be refused.
"""

from __future__ import annotations

import asyncio
import math
import socket
import sys
from collections import deque
from collections.abc import Hashable
from functools import partial
from typing import Any, Final, Protocol, cast

from ..endpoint import Endpoint
from ..events import AcceptResumed, AcceptSuspended, Address, CloseReason, ConnectionRefused, HandlerFailed
from .admission import TOO_MANY, Admission, address_key
from .connections import connection_factory
from .context import StreamContext
from .loop import FAILURES, shared
from .sniffing import PendingConnection, PortContext
from .sockets import UnixFile, bind_stream

__all__ = ["Accepting", "StreamListener"]

RETRY_AFTER: Final = 1.0
"""Seconds until a listener that the system did not let accept again tries anew; asyncio's own accept waits as long."""
REPORT_EVERY: Final = 1.0
"""Seconds between two reports of refused connections, and with room until accepting is reported as resumed, whatever
the rate: reports must not become the load."""


class _Refusal(asyncio.Protocol):
    """Stands where a connection could not be made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()  # uvloop's are none by class


class Accepting(Protocol):
    """What accepts on one socket: an ``asyncio.Server``, or an acceptor of our own."""

    async def start_serving(self) -> None: ...

    def close(self) -> None: ...


class Visitor(Protocol):
    """What stands at the door: a connection of the one route there is, or one whose route is not known yet."""

    address_key: Hashable
    due: int

    @property
    def peername(self) -> Address: ...

    @property
    def closing(self) -> bool: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def begin(self) -> None: ...

    def abort(self, reason: CloseReason = ...) -> None: ...

    def check_deadlines(self, now: float) -> float | None: ...


class StreamListener:
    """Accepts the connections of one port.

    Args:
        endpoint: Where to listen.
        context: That of the port's only route; or the port's, whose connections find their route first.
        admission: Who may come in.
        backlog: Connections the kernel queues, unless the endpoint says otherwise.
    """

    def __init__(
        self, endpoint: Endpoint, context: StreamContext[Any] | PortContext, admission: Admission, *, backlog: int
    ) -> None:
        self.endpoint = endpoint
        self._place = endpoint.location  # with the real port, once bound
        self.context = context
        self._admission = admission
        self._backlog = endpoint.number("backlog", backlog)
        self._make: Any = (
            connection_factory(context) if isinstance(context, StreamContext) else partial(PendingConnection, context)
        )
        self._sockets: list[socket.socket] = []
        self._files: list[UnixFile] = []
        self._servers: list[Accepting] = []
        self._parked: deque[Visitor] = deque()
        self._resuming: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._suspended = False
        self._reported = False  # as suspended
        self._settling: asyncio.TimerHandle | None = None  # until it is reported as resumed
        self._closed = False
        self._refused = 0  # not yet reported
        self._refusal: tuple[Address, str] = None, ""  # the last
        self._refused_at = -math.inf
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

    async def _make_server(self, sock: socket.socket) -> Accepting:
        reactor = shared(self.context.loop).reactor
        if reactor is not None:
            return reactor.listen(sock, self._make_or_refuse)
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
        loop = self.context.loop
        if sock.family != socket.AF_UNIX:
            return await loop.create_server(self._make_or_refuse, **options)
        if sys.version_info >= (3, 13):
            options["cleanup_socket"] = False  # suspending must not remove the socket's file
        return await loop.create_unix_server(self._make_or_refuse, **options)

    def _make_or_refuse(self) -> Any:
        try:
            return self._make()
        except FAILURES as exc:  # the user's codec, or what makes it; asyncio would say nothing, uvloop not even close
            self.context.events.emit(HandlerFailed(self.context.name, None, "codec", exc))
            return _Refusal()

    # ---- the door ------------------------------------------------------------------------------

    def admit(self, conn: Visitor) -> bool:
        admission = self._admission
        if self._closed:
            conn.abort()
            return False
        peer = conn.peername
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

    def _take_in(self, conn: Visitor, key: Hashable) -> None:
        self._admission.add(key)
        conn.address_key = key

    def crowded(self, key: Hashable) -> bool:
        return self._admission.crowded(key)

    def move(self, conn: Visitor, key: Hashable) -> None:
        self._admission.move(conn.address_key, key)
        conn.address_key = key

    def leave(self, conn: Visitor) -> None:
        self._admission.remove(conn.address_key)

    def leave_early(self, conn: Visitor) -> None:
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
        if self._parked or self._admission.full:
            self._admission.wait_for_room(self)
        elif self._suspended:
            self._suspended = False
            if self._resuming is None:  # else that one sees to it, when it comes to its end
                self._resuming = task = self.context.loop.create_task(self._resume())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    def _refuse(self, conn: Visitor, peer: Address) -> None:
        conn.abort()
        self.report_refused(peer, TOO_MANY)

    def report_refused(self, peer: Address, why: str) -> None:
        self._refused += 1
        self._refusal = peer, why
        now = self.context.loop.time()
        if now - self._refused_at >= REPORT_EVERY:
            self._refused_at = now
            self._report_refused()

    def _report_refused(self) -> None:
        count, self._refused = self._refused, 0
        self.context.events.emit(ConnectionRefused(self._place, *self._refusal, count))

    def _suspend(self) -> None:
        self._admission.wait_for_room(self)
        if self._suspended:
            return
        self._suspended = True
        if shared(self.context.loop).reactor is not None:
            self._close_servers()  # at once: nobody is accepted for whom there is no descriptor
        else:  # not now: this may run inside the accept callback of the very server it closes
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
        """Accept no more. What is accepted, and not admitted or not yet with its route, is closed. Idempotent."""
        self._closed = True
        self._close_servers()
        if self._settling is not None:
            self._settling.cancel()
        if self.endpoint.scheme == "unix":
            for file in self._files:
                file.remove()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        pending = self.context.pending if isinstance(self.context, PortContext) else ()
        for conn in (*self._parked, *pending):
            conn.abort()
        self._parked.clear()
        if self._refused:
            self._report_refused()


def _bound(endpoint: Endpoint, sock: socket.socket) -> Endpoint:
    if endpoint.scheme == "unix":
        return endpoint
    name = sock.getsockname()
    if isinstance(name, tuple):
        scheme = "tcp" if endpoint.scheme == "fd" else endpoint.scheme
        return Endpoint(scheme, str(name[0]), int(name[1]), endpoint.path, endpoint.options)
    return Endpoint("unix", path=str(name)) if name else endpoint
