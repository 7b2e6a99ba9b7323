"""A server: its routes bound all or not at all, served, drained, gone.

This file owns the life of a server; it is the table below, and no state is changed anywhere else::

    NEW -> STARTING -> SERVING -> DRAINING -> CLOSED
              |                                 ^
              +----- could not start -----------+

The order of leaving: close the listeners, tell every connection (``on_drain``), wait up to the drain deadline,
abort the rest, report who was cut. It ends in bounded time whatever handlers do.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from .core.admission import Admission, descriptor_budget
from .core.coroutine import CoroutineConnection
from .core.datagram import UDPPort, listen_datagram
from .core.deadlines import Deadlines, resolution
from .core.guests import Guest
from .core.listener import StreamListener
from .core.loop import shared
from .core.ports import PortFactory, timeouts_of
from .core.stream import StreamConnection
from .endpoint import Endpoint
from .errors import ConfigError, ServerStateError
from .events import Address, CloseReason, DrainFinished, Events, ListenerStarted, ServerStateChanged
from .limits import Limits, Timeouts
from .observe.logging import LogObserver
from .routing import Port, Router

__all__ = ["Server", "ServerState"]


class ServerState(enum.Enum):
    """Where a server is in its life."""

    NEW = "new"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


TRANSITIONS: Final = {
    ServerState.NEW: {ServerState.STARTING, ServerState.CLOSED},
    ServerState.STARTING: {ServerState.SERVING, ServerState.CLOSED},
    ServerState.SERVING: {ServerState.DRAINING, ServerState.CLOSED},
    ServerState.DRAINING: {ServerState.CLOSED},
    ServerState.CLOSED: set[ServerState](),
}

LAST_WORDS: Final = 1.0
"""Seconds that tasks cancelled at the drain deadline have to end. A handler that swallows the cancellation is left
behind: a server must not hang on it."""


class Server:
    """Serves a router's routes on the running event loop.

    ::

        async with Server(router) as server:
            print(server.addresses)
            await server.wait_closed()

    It installs no signal handler and configures no logging: that is :func:`aionet.run`'s, and the command's. What
    goes wrong is reported to :attr:`events`, and by default from there to ``logging.getLogger("aionet")``.

    Args:
        router: The routes, looked at once, at the start.
        limits: For all routes that do not say otherwise; its ``max_connections`` counts all of them together.
        timeouts: For all routes that do not say otherwise.
        drain_timeout: Seconds for connections to end at :meth:`drain`.
        log: Whether to hand events to ``logging``.
    """

    def __init__(
        self,
        router: Router,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        drain_timeout: float = 10.0,
        log: bool = True,
    ) -> None:
        if not drain_timeout >= 0:
            raise ConfigError(f"drain_timeout must be a number of seconds, not {drain_timeout!r}")
        self.router = router
        self.limits = limits
        self.timeouts = timeouts
        self.drain_timeout = drain_timeout
        self.events = Events()
        self._log = log
        self._state = ServerState.NEW
        self._listeners: list[StreamListener] = []
        self._ports: list[UDPPort] = []
        self._addresses: list[Endpoint] = []
        self._admission: Admission | None = None
        self._factory: PortFactory | None = None
        self._deadlines: Deadlines | None = None
        self._hurry: asyncio.Event | None = None  # set: nobody shall wait for connections any more
        self._closed: asyncio.Event | None = None

    # ---- looking -------------------------------------------------------------------------------

    @property
    def state(self) -> ServerState:
        """Where the server is in its life."""
        return self._state

    @property
    def addresses(self) -> tuple[Endpoint, ...]:
        """What is bound, with real ports, in the order of the routes. A name may be bound at several addresses."""
        return tuple(self._addresses)

    @property
    def connections(self) -> int:
        """Stream connections open now."""
        return self._admission.count if self._admission is not None else 0

    # ---- starting ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind every route, then serve.

        All or nothing: if one endpoint cannot be bound, nothing stays bound and the server is closed.

        Raises:
            ConfigError: a route that cannot be: a certificate, a codec, no routes at all.
            BindError: an endpoint could not be bound; the message names it and the cause.
            ServerStateError: it was started before.
        """
        self._go(ServerState.STARTING)
        try:
            await self._open()
            if self._hurry is not None and self._hurry.is_set():
                raise ServerStateError("the server was aborted while it was starting")
        except BaseException:
            self._close_listeners()
            await self._cut_all()
            raise
        self._go(ServerState.SERVING)

    async def check(self) -> None:
        """Everything that :meth:`start` does short of binding. It raises what that would; the server is closed then.

        Raises:
            ConfigError: a route that cannot be: a certificate, a codec, no routes at all.
            ServerStateError: it was started before.
        """
        self._go(ServerState.STARTING)
        try:
            self._prepare()
        finally:
            self._go(ServerState.CLOSED)

    def _prepare(self) -> list[tuple[Port, StreamListener | None]]:
        """All ports, and the listener of each that has streams, not yet bound."""
        ports = self.router.ports
        if not ports:
            raise ConfigError("the router has no routes", hint="router.add('tcp://127.0.0.1:7000', MyHandler())")
        loop = asyncio.get_running_loop()
        shortest = min(timeouts_of(route, self.timeouts).shortest for route in self.router)
        shortest = min([shortest, *(port.silence for port in ports if port.silence is not None)])
        self._deadlines = Deadlines(loop, resolution(shortest))
        native = shared(loop).reactor is not None
        budget = descriptor_budget(self.limits, sum(_sockets_of(port.endpoint) for port in ports), exact=native)
        self._admission = Admission(budget.connections, self.limits.max_connections_per_address)
        self._factory = PortFactory(
            loop, self.events, self._deadlines, self._admission, self.limits, self.timeouts, budget.backlog
        )
        return [(port, None if port.endpoint.is_datagram else self._factory.make_listener(port)) for port in ports]

    async def _open(self) -> None:
        self._hurry, self._closed = asyncio.Event(), asyncio.Event()
        if self._log:
            LogObserver(self.events)
        for port, listener in self._prepare():
            bound = await self._bind(port, listener)
            self._addresses += bound
            names = ", ".join(route.name for route in port.routes)
            for endpoint in bound:
                self.events.emit(ListenerStarted(endpoint.location, names))
        for listener in self._listeners:
            await listener.start()

    async def _bind(self, port: Port, listener: StreamListener | None) -> list[Endpoint]:
        """Bind a port; nothing is accepted yet. Returns the addresses it is bound to."""
        if listener is None:
            (route,) = port.routes
            opened = await listen_datagram(port.endpoint, route.handler, events=self.events, route=route.name)
            self._ports += opened
            return [_datagram_address(port.endpoint, each) for each in opened]
        await listener.bind()
        self._listeners.append(listener)
        return listener.addresses

    def reload_certificates(self) -> None:
        """Read all certificates and keys of ``tls`` and ``auto`` endpoints anew. All of them, or none.

        Connections that come from now on get the new ones; those that are open stay as they are. An ``ssl_context``
        of a route's own is its owner's to keep fresh.

        Raises:
            TLSConfigError: one that cannot be read, or whose key is another's. Those in use stay in use.
            ServerStateError: the server is not serving.
        """
        if self._factory is None or self._state is not ServerState.SERVING:
            raise ServerStateError(f"a server that is {self._state.value} has no certificates in use")
        self._factory.reload_certificates()

    # ---- leaving -------------------------------------------------------------------------------

    async def drain(self, timeout: float | None = None) -> DrainFinished:
        """Leave: accept no more, tell every connection, wait for them, cut the rest.

        :meth:`abort` from another task ends the waiting at once. Cancelled, it aborts.

        Args:
            timeout: Seconds to wait, instead of ``drain_timeout``.

        Returns:
            How long it took, and the peers whose connections were cut.

        Raises:
            ServerStateError: the server is not serving.
        """
        self._go(ServerState.DRAINING)
        loop = asyncio.get_running_loop()
        started = loop.time()
        cut: tuple[Address, ...] = ()
        try:
            self._close_listeners()
            for conn in self._connections():
                conn.drain()
            await self._wait_gone(self.drain_timeout if timeout is None else timeout)
        finally:
            cut = await self._cut_all()
        finished = DrainFinished(loop.time() - started, cut)
        self.events.emit(finished)
        return finished

    async def abort(self) -> None:
        """Leave at once: every connection is cut. While a :meth:`drain` is waiting, that one ends. Idempotent.

        While a :meth:`start` is binding, it gives up once it has: then it raises ``ServerStateError``.
        """
        if self._state in (ServerState.STARTING, ServerState.DRAINING):
            assert self._hurry is not None
            self._hurry.set()
            await self.wait_closed()
        elif self._state is ServerState.SERVING:
            await self.drain(0)
        elif self._state is ServerState.NEW:
            self._go(ServerState.CLOSED)

    async def wait_closed(self) -> None:
        """Wait until the server is closed. Returns at once if it never started."""
        if self._closed is not None:
            await self._closed.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._state is ServerState.SERVING:
            await self.drain()
        else:
            await self.wait_closed()

    def _connections(self) -> Iterator[StreamConnection[Any] | Guest]:
        for context in self._factory.contexts if self._factory is not None else ():
            yield from list(context.connections)  # type: ignore[misc]

    async def _wait_gone(self, timeout: float) -> None:
        """Wait until no connection and no datagram port is left, at most ``timeout`` seconds, or until ``abort``."""
        assert self._hurry is not None
        gone = asyncio.ensure_future(self._gone())
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait(
                {gone, hurry},
                timeout=timeout if timeout < math.inf else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            gone.cancel()
            hurry.cancel()

    async def _gone(self) -> None:
        assert self._admission is not None
        for port in self._ports:
            await port.wait_closed()
        if self._admission.count:
            empty = asyncio.Event()
            self._admission.on_empty = empty.set
            await empty.wait()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        for port in self._ports:
            port.drain()

    async def _cut_all(self) -> tuple[Address, ...]:
        """Cut who is left, wait a bounded time for their last words, and be closed."""
        cut = self._cut()
        try:
            await self._last_words()
        finally:
            self._finish()
        return cut

    def _cut(self) -> tuple[Address, ...]:
        cut = []
        for conn in self._connections():
            cut.append(conn.peername)
            conn.abort(CloseReason.SHUTDOWN)
            if isinstance(conn, CoroutineConnection):
                conn.cancel()
        return tuple(cut)

    async def _last_words(self) -> None:
        """Let what was aborted call ``on_close``, and cancelled tasks end, for a bounded time."""
        contexts = self._factory.contexts if self._factory is not None else []
        tasks = {task for owner in (*contexts, *self._listeners) for task in owner.tasks}
        for task in tasks:
            task.cancel()
        for port in self._ports:
            port.close()
        if self._admission is None:  # the start failed before there was anything to wait for
            return
        gone = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({gone, *tasks}, timeout=LAST_WORDS)
        finally:
            gone.cancel()

    def _finish(self) -> None:
        if self._deadlines is not None:
            self._deadlines.stop()
        self._go(ServerState.CLOSED)
        if self._closed is not None:
            self._closed.set()

    def _go(self, new: ServerState) -> None:
        old = self._state
        if new not in TRANSITIONS[old]:
            raise ServerStateError(
                f"a server that is {old.value} cannot become {new.value}",
                hint="make a new Server" if old is ServerState.CLOSED else None,
            )
        self._state = new
        self.events.emit(ServerStateChanged(old.value, new.value))


def _sockets_of(endpoint: Endpoint) -> int:
    """Listening sockets to expect: a name is bound at its IPv4 and its IPv6 address."""
    if endpoint.is_datagram:
        return 0
    return 2 if endpoint.host and endpoint.address is None else 1


def _datagram_address(endpoint: Endpoint, port: UDPPort) -> Endpoint:
    name = port.sockname
    assert isinstance(name, tuple)
    return Endpoint(endpoint.scheme, str(name[0]), int(name[1]), options=endpoint.options)
