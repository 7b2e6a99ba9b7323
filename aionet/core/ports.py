"""A port of the router becomes a listener: contexts, limits and TLS of its routes, resolved once."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

from ..events import Events
from ..handler import StreamHandler
from ..limits import Limits, Timeouts
from ..routing import Port, Route
from .admission import Admission
from .context import StreamContext
from .deadlines import Deadlines
from .guests import GuestHost
from .hosting import StreamHost
from .listener import StreamListener
from .sniffing import Host, PortContext
from .tls import server_context

__all__ = ["PortFactory", "timeouts_of"]


def timeouts_of(route: Route, default: Timeouts) -> Timeouts:
    """The deadlines of a route: its own, or its handler's, or those of the server."""
    own = route.handler.timeouts if isinstance(route.handler, StreamHandler) else None
    return route.timeouts or own or default


def _limits_of(route: Route) -> Limits | None:
    return route.limits or (route.handler.limits if isinstance(route.handler, StreamHandler) else None)


@dataclass(slots=True)
class PortFactory:
    """What the ports of one server share, and what makes their listeners.

    Attributes:
        contexts: Of every stream route that was made: what has its connections and its tasks.
    """

    loop: asyncio.AbstractEventLoop
    events: Events
    deadlines: Deadlines
    admission: Admission
    limits: Limits
    timeouts: Timeouts
    backlog: int
    contexts: list[StreamContext[Any] | GuestHost] = field(default_factory=list)
    _secure: list[tuple[Port, PortContext]] = field(default_factory=list)

    def make_listener(self, port: Port) -> StreamListener:
        """The listener of a stream port, not yet bound.

        Raises:
            ConfigError: a certificate, a codec.
        """
        tls = _tls_of(port)
        alone = port.routes[0] if len(port.routes) == 1 else None
        admission = self.admission
        if alone is not None and (limits := _limits_of(alone)) is not None:
            admission = Admission(limits.max_connections, limits.max_connections_per_address, parent=admission)
        if alone is not None and alone.protocol is None and tls is None and not port.sniffs:
            return StreamListener(port.endpoint, self._context(alone, port), admission, backlog=self.backlog)
        hosts: dict[Route, Host] = {}
        context = PortContext(
            port,
            hosts,
            loop=self.loop,
            events=self.events,
            deadlines=self.deadlines,
            timeouts=self.timeouts if alone is None else timeouts_of(alone, self.timeouts),
            tls=tls,
        )
        listener = StreamListener(port.endpoint, context, admission, backlog=self.backlog)
        context.door = listener
        for route in port.routes:
            inner = None
            if alone is None and (limits := _limits_of(route)) is not None:
                inner = Admission(limits.max_connections, limits.max_connections_per_address)
            hosts[route] = self._host(route, port, listener, inner)
        if tls is not None:
            self._secure.append((port, context))
        return listener

    def reload_certificates(self) -> None:
        """Read all certificates and keys anew, for connections that come from now on: all of them, or none.

        Raises:
            TLSConfigError: one that does not do; those in use stay in use.
        """
        fresh = [(context, _tls_of(port)) for port, context in self._secure]
        for context, tls in fresh:
            context.tls = tls

    def _host(self, route: Route, port: Port, door: StreamListener, limit: Admission | None) -> StreamHost | GuestHost:
        if route.protocol is None:
            return StreamHost(self._context(route, port), door, limit)
        host = GuestHost(
            route.name,
            route.protocol,
            door=door,
            limit=limit,
            loop=self.loop,
            events=self.events,
            deadlines=self.deadlines,
        )
        self.contexts.append(host)
        return host

    def _context(self, route: Route, port: Port) -> StreamContext[Any]:
        handler = route.handler
        context: StreamContext[Any] = StreamContext(
            route.name,
            handler,
            route.codec,
            loop=self.loop,
            events=self.events,
            deadlines=self.deadlines,
            limits=_limits_of(route) or self.limits,
            timeouts=timeouts_of(route, self.timeouts),
            nodelay_off=port.endpoint.options.get("nodelay") is False,
            endpoint=route.endpoint,
        )
        self.contexts.append(context)
        return context


def _tls_of(port: Port) -> ssl.SSLContext | None:
    return server_context(port.endpoint, port.ssl_context, alpn=port.alpn) if port.tls else None
