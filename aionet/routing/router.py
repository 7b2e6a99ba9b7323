"""Which handler serves which endpoint. Pure: facts in, decision out; nothing is opened here.

Several routes may share one port. Then each but one, the default, says by its ``match`` which connections are its own;
they are asked in the order in which they were added. A port with a single route without ``match`` never pays for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..codec import CodecSource
from ..datagram import DatagramHandler
from ..endpoint import Endpoint
from ..errors import RouteError
from ..handler import StreamHandler
from ..limits import Limits, Timeouts
from ..matching import MAX_PEEK, Matcher
from ..styles import datagram_style, stream_style
from .overlaps import shadowed_part
from .port import Port, Route

__all__ = ["Router"]


class Router:
    """The routes of a server, in the order in which they were added."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._ports: list[list[Route]] = []

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes, in the order in which they were added."""
        return tuple(self._routes)

    @property
    def ports(self) -> tuple[Port, ...]:
        """The routes by the endpoint they share, in the order in which each got its first."""
        return tuple(Port(routes) for routes in self._ports)

    def add(
        self,
        endpoint: str | Endpoint,
        handler: Any = None,
        *,
        protocol: Callable[[], Any] | None = None,
        match: Matcher | None = None,
        default: bool = False,
        proxy_protocol: Sequence[str] = (),
        codec: CodecSource[Any] | None = None,
        name: str | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        ssl_context: Any = None,
    ) -> Route:
        """Serve ``endpoint`` by ``handler``, or by a guest.

        Several routes with a ``match`` may share one endpoint, and one without, the default. Its options, an
        ``ssl_context`` and ``proxy_protocol`` are the whole port's: give them with one of its routes. Port 0 is a port
        of its own for each route without ``match``; those with one join the last that was added.

        Args:
            endpoint: Such as ``"tcp://127.0.0.1:7000"``; port 0 lets the system choose.
            handler: An instance of a handler class, or an ``async def`` that takes the connection (UDP: the port).
            protocol: Instead of a handler: a guest, that is anything callable that makes an ``asyncio.Protocol``.
            match: Which connections of the port are this route's, by their first bytes and what else is known.
            default: Serve also what no route of the port matches, though this one has a ``match``.
            proxy_protocol: Networks, such as ``"10.0.0.0/8"``, whose proxies send a PROXY header and are believed.
            codec: A codec, of which every connection gets a fresh clone, or anything callable that makes one.
            name: What events and logs call it; made from the handler's name if left out.
            limits: Instead of the handler's own, or the server's.
            timeouts: Instead of the handler's own, or the server's.
            ssl_context: Instead of the certificate named in a ``tls://`` or ``auto://`` endpoint.

        Raises:
            EndpointError: the endpoint does not parse.
            RouteError: the handler fits no style; the name is taken; the endpoint is, by a route that leaves nothing
                for this one, or that this one leaves nothing for.
        """
        where = Endpoint.parse(endpoint)
        _check_server(where, handler, protocol, codec)
        if where.is_datagram and (match is not None or default or proxy_protocol or ssl_context is not None):
            raise RouteError(f"{where.location}: a datagram route has no match, default, proxy_protocol or ssl_context")
        if ssl_context is not None and not (where.is_tls or where.scheme == "auto"):
            raise RouteError(f"{where.location}: an ssl_context needs a tls://, wss:// or auto:// endpoint")
        _check_match(where, match)
        if name is not None and any(route.name == name for route in self._routes):
            raise RouteError(f"there is a route named {name!r} already")
        networks = _networks(where, proxy_protocol)
        base = _name_of(handler if protocol is None else protocol)
        route = Route(
            name or self._free(base), where, handler, codec, limits, timeouts, ssl_context, protocol, match,
            default, networks,
        )  # fmt: skip
        self._port_of(route).append(route)
        self._routes.append(route)
        return route

    def _port_of(self, route: Route) -> list[Route]:
        """The routes that this one joins, if it may: a new list if it is the first of its port."""
        for port in reversed(self._ports):
            first = port[0]
            if first.endpoint.location == route.endpoint.location and not _opens_another(port, route):
                _check_shares(port, route)
                return port
            if _collide(first.endpoint, route.endpoint):
                schemes = {first.endpoint.scheme, route.endpoint.scheme}
                raise RouteError(
                    f"{route.endpoint.location}: {first.endpoint.location} is taken by route {first.name!r}",
                    hint="auto:// serves plain and TLS on one port" if schemes == {"tcp", "tls"} else None,
                )
        self._ports.append([])
        return self._ports[-1]

    def _free(self, base: str) -> str:
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


def _check_server(where: Endpoint, handler: Any, protocol: Any, codec: Any) -> None:
    if protocol is None:
        if not where.is_datagram:
            stream_style(handler)
            return
        datagram_style(handler)
    elif handler is not None:
        raise RouteError(f"{where.location}: either a handler or a protocol serves a route, not both")
    elif where.is_datagram or not callable(protocol):
        what = "a guest speaks over a stream" if where.is_datagram else f"{protocol!r} is no factory of protocols"
        raise RouteError(f"{where.location}: {what}", hint="protocol= takes what makes an asyncio.Protocol")
    if codec is not None:
        who = "a datagram route" if where.is_datagram else "a guest"
        raise RouteError(f"{where.location}: {who} takes no codec")


def _check_match(where: Endpoint, match: Matcher | None) -> None:
    if match is None:
        return
    if not isinstance(match, Matcher):
        hint = f"give an instance: {match.__name__}(...)" if isinstance(match, type) else "see aionet.routing"
        raise RouteError(f"{where.location}: {match!r} is no matcher", hint=hint)
    if not 0 <= match.max_size <= MAX_PEEK:
        raise RouteError(f"{where.location}: {match!r} asks for {match.max_size} bytes; {MAX_PEEK} is the most")


def _networks(where: Endpoint, networks: Iterable[str]) -> tuple[str, ...]:
    if isinstance(networks, str):
        networks = (networks,)
    try:
        return tuple(str(ipaddress.ip_network(network)) for network in networks)
    except ValueError as exc:
        raise RouteError(f"{where.location}: proxy_protocol: {exc}", hint="such as 10.0.0.0/8, or ::1") from exc


def _opens_another(port: list[Route], route: Route) -> bool:
    """Whether these are two ports, though both are written ``:0``."""
    if route.endpoint.scheme in ("unix", "fd") or route.endpoint.port:
        return False
    return route.match is None and not route.default and any(each.match is None for each in port)


def _check_shares(port: list[Route], route: Route) -> None:
    """Refuse a route that cannot be on one port with these.

    Raises:
        RouteError: what stands against it, naming both.
    """
    place, first = route.endpoint.location, port[0]
    if first.endpoint.is_datagram:
        raise RouteError(f"{place}: {place} is taken by route {first.name!r}", hint="datagrams have no first bytes")
    for other in port:
        if route.match is None and other.match is None:
            raise RouteError(
                f"{place}: {place} is taken by route {other.name!r}",
                hint="to share a port, all but one need match=, or (for serve) a class attribute of this name",
            )
        if _is_default(route) and _is_default(other):
            raise RouteError(f"{place}: two defaults, {other.name!r} and this one", hint="one of them needs a match=")
        _check_settings(place, other, route)
        if route.match is not None and other.match is not None:
            _check_reachable(place, other, other.match, route.match)


def _is_default(route: Route) -> bool:
    return route.default or route.match is None


def _check_settings(place: str, other: Route, route: Route) -> None:
    for what, one, two in (
        ("options", other.endpoint.options, route.endpoint.options),
        ("ssl_context", other.ssl_context, route.ssl_context),
        ("proxy_protocol", other.proxy_protocol, route.proxy_protocol),
    ):
        if one and two and one != two:
            raise RouteError(
                f"{place}: not the {what} of route {other.name!r}, which is on the same port",
                hint="what holds for the whole port is given with one of its routes",
            )


def _check_reachable(place: str, other: Route, earlier: Matcher, later: Matcher) -> None:
    if earlier.silence is not None and later.silence is not None:
        raise RouteError(
            f"{place}: two routes for silence: {other.name!r} by {earlier!r}, and this one by {later!r}",
            hint="the server can speak first in one protocol alone",
        )
    dead = shadowed_part(earlier, later)
    if dead is not None:
        what = "it" if dead is later else f"its {dead!r}"
        raise RouteError(
            f"{place}: a route by {later!r} can never be reached: {other.name!r} by {earlier!r}, which is asked "
            f"before, takes all that {what} matches",
            hint="add the narrower route first",
        )


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
