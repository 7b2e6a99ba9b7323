"""Limits and deadlines: finite by default, each with its reason beside it.

Both are plain values that check themselves. Given to a :class:`~aionet.Server` they hold for every route;
given to a route, or set as class attributes of a handler, they replace the server's for that route.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .errors import ConfigError

__all__ = ["KIB", "MIB", "Limits", "Timeouts"]

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one server, route or connection may hold. The size of a message is its codec's ``max_size``.

    Raises:
        ConfigError: a value that is not a positive whole number, or water marks out of order.
    """

    max_connections: int = 10_000
    """Open at once. On a server: all routes together; on a route: that route's own. At the limit accepting
    stops and the kernel queues (nothing is accepted only to be refused). The server also keeps clear of
    RLIMIT_NOFILE, whatever is written here."""

    max_connections_per_address: int = 256
    """Open at once from one IP address; more are refused. Twisted and pyftpdlib have the same, off; 256 leaves
    an office behind one NAT alone and stops a single machine that opens thousands. Loopback is left out, so
    that tests, benchmarks and a proxy beside the server are not refused."""

    high_water: int = 64 * KIB
    """Bytes of output waiting in a connection above which its writer must wait and its reading stops
    (asyncio's and uvloop's own default)."""

    low_water: int = 16 * KIB
    """Bytes of output waiting below which a stopped connection goes on."""

    max_outbound: int = 1 * MIB
    """Bytes of output waiting in a connection that does not keep up, above which it is closed as a slow
    consumer. It meets only those who write without waiting (a broadcast, a task); NATS allows 64 MiB, Redis
    pub/sub 32, for clients that are services; 1 MiB times 10,000 is what one machine can bear."""

    max_inbound: int = 64 * KIB
    """Bytes received and not yet taken by a coroutine handler above which the connection is not read."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{field.name} must be a whole number of at least 1, not {value!r}")
        if self.low_water > self.high_water:
            raise ConfigError(f"low_water ({self.low_water}) must not be above high_water ({self.high_water})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds until an unfinished thing is given up. ``math.inf`` switches one off.

    They are kept by one timer a server, of coarse resolution: a deadline is never met early, and at most a quarter of
    the shortest one, or half a second if that is less, late (20 ms, if that is more). Where a beginning is only
    sampled (of ``send``; of a message whose first bytes came behind the end of another, and nothing since), it is
    counted from at most a quarter of the shortest of ``first_message``, ``message``, ``idle`` and ``send`` later.

    Raises:
        ConfigError: a value that is not a positive number.
    """

    handshake: float = 10.0
    """To finish the TLS handshake; and again a codec's own, such as WebSocket's. asyncio allows 60; NATS 2,
    thousand_island 5."""

    sniff: float = 5.0
    """To send the first bytes that decide whose the connection is, on a port that several routes share, and a PROXY
    header on one that expects it. nginx allows 30 (preread_timeout), sslh 2, haproxy what one writes (inspect-delay, in
    its examples 5). Those bytes leave with the first segment, so 5 is a round trip and a lost segment or two."""

    first_message: float = 60.0
    """From connect to the first complete message: nobody holds a descriptor by saying nothing. A person who
    types has time to think. A codec's handshake counts as one."""

    message: float = 60.0
    """From a message's first bytes to its last, whatever trickles in between (slowloris). Absolute: each
    byte does not start it anew, as nginx's body timeout does."""

    idle: float = 300.0
    """Without a byte either way."""

    keepalive: float = 20.0
    """Without a byte from the peer, before a codec that can (WebSocket) asks whether it is still there; and then for it
    to answer. Proxies and NATs forget what is silent for 30 to 60. The ``websockets`` library has 20 and 20."""

    send: float = 30.0
    """Without one byte of the waiting output being taken by the peer. NATS cuts at 10; 30 outlasts a
    retransmission back-off on a bad link."""

    linger: float = 2.0
    """To let the peer read our last words after we closed on a fault of its, while what it still sends is
    thrown away: closing at once would reset the connection and destroy them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"{field.name} must be a positive number of seconds, not {value!r}")

    @property
    def shortest(self) -> float:
        """The smallest of them all, seconds."""
        values: list[float] = [getattr(self, field.name) for field in fields(self)]
        return min(values)
