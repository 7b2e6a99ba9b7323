"""Connections that begin with TLS, by what the client asks for.

On a ``tls://`` or ``auto://`` endpoint our own TLS has been done before routes are asked: then they go by what it
agreed on. On a ``tcp://`` endpoint they read the ClientHello, and the route gets it untouched: a guest that does TLS
itself, a proxy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..errors import ConfigError
from ..matching import MAX_PEEK, ConnectionFacts, Matcher, Verdict
from .client_hello import ClientHello, MalformedHello, format_client_hello, read_client_hello
from .names import checked_name, name_covers, name_fits

__all__ = ["Alpn", "Sni", "Tls", "alpn", "sni", "tls"]

HELLO_BEGINNING = 6
"""Bytes of a record's header, and the type of the handshake message in it."""


@dataclass(frozen=True, slots=True, repr=False)
class Tls(Matcher):
    """See :func:`tls`."""

    @property
    def max_size(self) -> int:
        return HELLO_BEGINNING

    @property
    def samples(self) -> tuple[bytes, ...]:
        return (format_client_hello(), format_client_hello("example.com", ("h2",)))

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        if facts.tls:
            return Verdict.MATCH
        if _look(data) is Verdict.NO_MATCH:
            return Verdict.NO_MATCH
        return Verdict.MATCH if len(data) >= HELLO_BEGINNING else Verdict.NEED_MORE

    def covers(self, other: Matcher) -> bool:
        return isinstance(other, (Tls, Sni, Alpn))

    def __repr__(self) -> str:
        return "tls()"


@dataclass(frozen=True, slots=True, repr=False)
class Sni(Matcher):
    """See :func:`sni`."""

    patterns: tuple[str, ...]

    @property
    def max_size(self) -> int:
        return MAX_PEEK

    @property
    def samples(self) -> tuple[bytes, ...]:
        return tuple(format_client_hello(pattern.replace("*", "a")) for pattern in self.patterns)

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        return tuple(Sni((pattern,)) for pattern in self.patterns)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        if facts.tls:
            name = facts.server_name and facts.server_name.lower()
        else:
            hello = _look(data)
            if isinstance(hello, Verdict):
                return hello
            name = hello.server_name
        fits = name is not None and any(name_fits(pattern, name) for pattern in self.patterns)
        return Verdict.MATCH if fits else Verdict.NO_MATCH

    def covers(self, other: Matcher) -> bool:
        return isinstance(other, Sni) and all(
            any(name_covers(mine, its) for mine in self.patterns) for its in other.patterns
        )

    def __repr__(self) -> str:
        return f"sni({', '.join(map(repr, self.patterns))})"


@dataclass(frozen=True, slots=True, repr=False)
class Alpn(Matcher):
    """See :func:`alpn`."""

    protocols: tuple[str, ...]

    @property
    def offers(self) -> tuple[str, ...]:
        return self.protocols

    @property
    def max_size(self) -> int:
        return MAX_PEEK

    @property
    def samples(self) -> tuple[bytes, ...]:
        return tuple(format_client_hello(protocols=(protocol,)) for protocol in self.protocols)

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        return tuple(Alpn((protocol,)) for protocol in self.protocols)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        if facts.tls:
            return Verdict.MATCH if facts.alpn in self.protocols else Verdict.NO_MATCH
        hello = _look(data)
        if isinstance(hello, Verdict):
            return hello
        return Verdict.NO_MATCH if set(self.protocols).isdisjoint(hello.protocols) else Verdict.MATCH

    def covers(self, other: Matcher) -> bool:
        return isinstance(other, Alpn) and set(other.protocols) <= set(self.protocols)

    def __repr__(self) -> str:
        return f"alpn({', '.join(map(repr, self.protocols))})"


@lru_cache(maxsize=4)  # the routes of a port look at the same bytes one after another
def _look(data: bytes) -> ClientHello | Verdict:
    """The hello; NEED_MORE: not all of it is there; NO_MATCH: there is none."""
    try:
        return read_client_hello(data) or Verdict.NEED_MORE
    except MalformedHello:
        return Verdict.NO_MATCH


def tls() -> Matcher:
    """TLS clients of any kind: by the first six bytes, or by TLS done."""
    return Tls()


def sni(*patterns: str) -> Matcher:
    """TLS clients that ask for one of these names, such as ``"example.com"`` or ``"*.example.com"``.

    Raises:
        ConfigError: none is given, or one is no host name.
    """
    if not patterns:
        raise ConfigError("sni() needs at least one name", hint="tls() matches every TLS client")
    return Sni(tuple(checked_name(pattern) for pattern in patterns))


def alpn(*protocols: str) -> Matcher:
    """TLS clients that speak one of these protocols, such as ``"h2"``.

    Our own TLS agreed on it; or the client offers it, in a ClientHello that is not for us.

    Raises:
        ConfigError: none is given, or one is empty or longer than 255 bytes.
    """
    if not protocols:
        raise ConfigError("alpn() needs at least one protocol", hint="tls() matches every TLS client")
    for protocol in protocols:
        if not isinstance(protocol, str) or not protocol.isascii() or not 0 < len(protocol) < 256:
            raise ConfigError(f"alpn: {protocol!r} is no protocol name", hint="such as h2 or http/1.1")
    return Alpn(protocols)
