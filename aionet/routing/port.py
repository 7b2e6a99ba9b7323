"""One port and its routes: what is to be known of a connection, and whose it is then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from ..codec import CodecSource
from ..endpoint import Endpoint
from ..limits import Limits, Timeouts
from ..matching import ConnectionFacts, Matcher, Verdict

__all__ = ["NEED_MORE", "Port", "Route"]

NEED_MORE: Final = Verdict.NEED_MORE
"""What :meth:`Port.decide` returns while more bytes may still decide it."""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One endpoint and what serves it.

    Attributes:
        name: Shown in events and logs; unique in its router.
        endpoint: Where it listens.
        handler: A :class:`StreamHandler` or :class:`DatagramHandler` instance, or an ``async def``; ``None`` where
            there is a ``protocol``.
        codec: How bytes become messages; ``None``: the handler's own, or else chunks as they come.
        limits: ``None``: the handler's own, or else the server's.
        timeouts: Likewise.
        ssl_context: An ``ssl.SSLContext`` to serve TLS with, instead of one made from the endpoint's options.
        protocol: A factory of ``asyncio.Protocol``, which serves instead of a handler: a guest.
        match: Which connections of a port that several routes share are this one's; ``None``: what no other matched.
        default: Whether it serves, besides what it matches, also what no route matched.
        proxy_protocol: Networks, such as ``"10.0.0.0/8"``, whose proxies are trusted to say who the client is.
    """

    name: str
    endpoint: Endpoint
    handler: Any
    codec: CodecSource[Any] | None = None
    limits: Limits | None = None
    timeouts: Timeouts | None = None
    ssl_context: Any = None
    protocol: Any = None
    match: Matcher | None = None
    default: bool = False
    proxy_protocol: tuple[str, ...] = ()


class Port:
    """The routes of one endpoint, and which of them a connection is for. Immutable.

    Attributes:
        endpoint: Where it listens, with all options.
        routes: In the order in which they were added.
        default: Serves what no route matched; ``None``: that is refused.
        silent: Serves clients that say nothing (if its matcher has no further condition); ``None``: nobody does.
        silence: Seconds of saying nothing after which :attr:`ConnectionFacts.silent` is to be set and
            :meth:`decide` asked again; ``None``: that would change nothing.
        sniffs: Whether a connection has to be looked at before its route is known: by matchers, for a PROXY header,
            or for whether it is TLS (``auto://``). If not, there is one route, and all connections are its own.
        peek: First bytes that can decide at most; 0 where none are looked at.
        proxy_networks: From where PROXY headers are believed.
        alpn: Protocols that the routes want offered by ALPN, in the order of the routes.
        ssl_context: What a route brought to serve TLS with, or ``None``.
        tls: Whether TLS is served here: by ``tls://`` always, by ``auto://`` where there is a certificate.
    """

    __slots__ = (
        "_matchers", "alpn", "default", "endpoint", "peek", "proxy_networks", "routes", "silence", "silent", "sniffs",
        "ssl_context", "tls",
    )  # fmt: skip

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._matchers = [(route.match, route) for route in routes if route.match is not None]
        matchers = [matcher for matcher, _ in self._matchers]
        self.endpoint = next((route.endpoint for route in routes if route.endpoint.options), routes[0].endpoint)
        self.default = next((route for route in routes if route.default or route.match is None), None)
        self.silent = next((route for matcher, route in self._matchers if matcher.silence is not None), None)
        self.silence = min((matcher.silence for matcher in matchers if matcher.silence is not None), default=None)
        self.peek = max((matcher.max_size for matcher in matchers), default=0)
        trusting = (route.proxy_protocol for route in routes if route.proxy_protocol)
        self.proxy_networks = next(trusting, self.endpoint.texts("proxy"))
        self.alpn = tuple(dict.fromkeys(protocol for matcher in matchers for protocol in matcher.offers))
        self.ssl_context = next((route.ssl_context for route in routes if route.ssl_context is not None), None)
        certified = self.ssl_context is not None or "cert" in self.endpoint.options
        self.tls = self.endpoint.is_tls or (self.endpoint.scheme == "auto" and certified)
        self.sniffs = bool(matchers or self.proxy_networks or self.endpoint.scheme == "auto")

    def decide(
        self, data: bytes, facts: ConnectionFacts, *, final: bool = False
    ) -> Route | Literal[Verdict.NEED_MORE] | None:
        """Whose the connection is: the first route that matches, once all before it do not.

        Ask at once, with no bytes (the facts may be enough), whenever more have come, and, with ``facts.silent``, if
        none have come within :attr:`silence`. An answer other than NEED_MORE is for good; there is one after
        :attr:`peek` bytes.

        Args:
            data: All bytes received so far, from the first.
            facts: What else is known of the connection.
            final: No more will come in time: the peer has said all, or a deadline has passed. A matcher that still
                needs more then does not match, and who has said nothing is silent.

        Returns:
            The route; ``None``: none matches and there is no default; NEED_MORE: ask again.
        """
        if final and not data and not facts.silent:
            facts = replace(facts, silent=True)
        undecided = False
        for matcher, route in self._matchers:
            verdict = matcher.verdict(data, facts)
            if verdict is Verdict.MATCH:
                return route
            if verdict is Verdict.NEED_MORE and not final:
                if data or not facts.silent:
                    return NEED_MORE
                undecided = True  # there may still come bytes for it; for whom silence decides, it is now or never
        return NEED_MORE if undecided else self.default

    def __repr__(self) -> str:
        return f"Port({self.endpoint.location}={','.join(route.name for route in self.routes)})"
