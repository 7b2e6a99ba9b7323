"""Which handler serves which endpoint. Pure: facts in, decision out; nothing is opened here.

Today a port has one route. Matchers, which let several routes share one, will decide among the routes of a port;
a port with a single route stays as it is and never pays for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .datagram import DatagramHandler
from .endpoint import Endpoint
from .errors import RouteError
from .handler import CodecSource, StreamHandler
from .limits import Limits, Timeouts
from .styles import datagram_style, stream_style

__all__ = ["Route", "Router"]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One endpoint and what serves it.

    Attributes:
        name: Shown in events and logs; unique in its router.
        endpoint: Where it listens.
        handler: A :class:`StreamHandler` or :class:`DatagramHandler` instance, or an ``async def``.
        codec: How bytes become messages; ``None``: the handler's own, or else chunks as they come.
        limits: ``None``: the handler's own, or else the server's.
        timeouts: Likewise.
        ssl_context: An ``ssl.SSLContext`` to serve TLS with, instead of one made from the endpoint's options.
    """

    name: str
    endpoint: Endpoint
    handler: Any
    codec: CodecSource[Any] | None = None
    limits: Limits | None = None
    timeouts: Timeouts | None = None
    ssl_context: Any = None


class Router:
    """The routes of a server, in the order in which they were added."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes, in the order in which they were added."""
        return tuple(self._routes)

    def add(
        self,
        endpoint: str | Endpoint,
        handler: Any,
        *,
        codec: CodecSource[Any] | None = None,
        name: str | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        ssl_context: Any = None,
    ) -> Route:
        """Serve ``endpoint`` by ``handler``.

        Args:
            endpoint: Such as ``"tcp://127.0.0.1:7000"``; port 0 lets the system choose.
            handler: An instance of a handler class, or an ``async def`` that takes the connection (UDP: the port).
            codec: A codec, of which every connection gets a fresh clone, or anything callable that makes one.
            name: What events and logs call it; made from the handler's name if left out.
            limits: Instead of the handler's own, or the server's.
            timeouts: Instead of the handler's own, or the server's.
            ssl_context: Instead of the certificate named in a ``tls://`` endpoint.

        Raises:
            EndpointError: the endpoint does not parse.
            RouteError: the handler fits no style, or the endpoint, or name, is taken already.
        """
        where = Endpoint.parse(endpoint)
        if where.is_datagram:
            datagram_style(handler)
            if codec is not None or ssl_context is not None:
                raise RouteError(f"{where.location}: a datagram route takes neither a codec nor TLS")
        else:
            stream_style(handler)
            if ssl_context is not None and where.scheme != "tls":
                raise RouteError(f"{where.location}: an ssl_context needs a tls:// endpoint")
        for route in self._routes:
            if _collide(route.endpoint, where):
                raise RouteError(f"{where.location}: {route.endpoint.location} is taken by route {route.name!r}")
        if name is not None and any(route.name == name for route in self._routes):
            raise RouteError(f"there is a route named {name!r} already")
        route = Route(name or self._name(handler), where, handler, codec, limits, timeouts, ssl_context)
        self._routes.append(route)
        return route

    def _name(self, handler: Any) -> str:
        base = _name_of(handler)
        names = {route.name for route in self._routes}
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        return name

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[Route]:
        return iter(tuple(self._routes))

    def __repr__(self) -> str:
        return f"Router({', '.join(f'{route.endpoint.location}={route.name}' for route in self._routes)})"


def _name_of(handler: Any) -> str:
    if isinstance(handler, (StreamHandler, DatagramHandler)):
        return type(handler).__name__.lower()
    return str(getattr(handler, "__name__", type(handler).__name__))


def _collide(one: Endpoint, other: Endpoint) -> bool:
    """Whether both cannot be bound together, as far as their text tells; the system has the last word."""
    if one.scheme == "unix" or other.scheme == "unix" or "fd" in (one.scheme, other.scheme):
        return one.scheme == other.scheme and (one.path, one.port) == (other.path, other.port)
    if one.port == 0 or one.port != other.port or one.is_datagram != other.is_datagram:
        return False
    return one.host == other.host
