"""How a route says which connections are its own: by their first bytes, and by what else is known of them.

A :class:`Matcher` answers one of three things, and "not yet" is one of them::

                 more bytes
              +------------+
              v            |
           NEED_MORE ------+----> MATCH      for good
                           +----> NO_MATCH   for good

An answer other than NEED_MORE never changes, whatever comes behind the bytes it was given for: so the decision is the
same however the first bytes are split. Matchers only look: the bytes go to the route's handler untouched.
The matchers that come with aionet are in :mod:`aionet.routing`.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from .events import Address

__all__ = ["MAX_PEEK", "AllOf", "AnyOf", "ConnectionFacts", "Matcher", "Not", "Verdict"]

MAX_PEEK: Final = 8192
"""Bytes that a matcher may ask for at most. A head of HTTP has 8 KiB at most with nginx and Apache as well, and a
ClientHello with post-quantum key shares 2 to 3."""


class Verdict(enum.Enum):
    """What a matcher says of the bytes it has seen."""

    MATCH = "match"
    NO_MATCH = "no match"
    NEED_MORE = "need more"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """What is known of a connection besides its first bytes.

    Attributes:
        peer: Who connected, as the socket module gives it; behind a trusted PROXY header: the real client.
        unix_user: Its user's number, on a Unix socket (SO_PEERCRED).
        tls: Whether our own TLS has been done, so that the bytes are those inside.
        server_name: The name that the client asked for in that TLS (SNI), if it did.
        alpn: The protocol that this TLS agreed on by ALPN, if it did.
        silent: Whether the client has had its time to speak first, and has said nothing: see
            :func:`aionet.routing.silence`.
    """

    peer: Address
    unix_user: int | None = None
    tls: bool = False
    server_name: str | None = None
    alpn: str | None = None
    silent: bool = False


class Matcher(ABC):
    """Says whether a connection belongs to a route. Immutable, without state: one serves all connections.

    Subclass it with :meth:`match` alone; the rest has working defaults, which a class attribute may replace. Combine
    matchers with ``&``, ``|`` and ``~``.
    """

    __slots__ = ()

    @property
    def max_size(self) -> int:
        """Bytes that :meth:`match` may ask for, at most :data:`MAX_PEEK`. What it has not matched by then, it never
        does."""
        return 64

    @property
    def silence(self) -> float | None:
        """Seconds of saying nothing for which :attr:`ConnectionFacts.silent` is to be set; ``None``: not asked for."""
        return None

    @property
    def offers(self) -> tuple[str, ...]:
        """Protocols that our own TLS has to offer by ALPN, so that :attr:`ConnectionFacts.alpn` can be one of them."""
        return ()

    @property
    def samples(self) -> tuple[bytes, ...]:
        """First bytes that match, of each kind there is. A route counts as unreachable if an earlier one matches them
        all; without samples nothing is concluded."""
        return ()

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        """The matchers of which this one is the ``|``, such as one for each prefix. None of them may be unreachable."""
        return (self,)

    @abstractmethod
    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        """Look at the first bytes. Called anew each time more have come, and must not raise.

        Args:
            data: All bytes received so far, from the first; maybe none; never more than :attr:`max_size`.
            facts: What else is known. The same at each call, but for ``silent``.

        Returns:
            MATCH or NO_MATCH as soon as no further byte can change it; else NEED_MORE.
        """

    def verdict(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        """:meth:`match`, held to :attr:`max_size`: there NEED_MORE is NO_MATCH. What routing asks."""
        size = self.max_size
        if len(data) < size:
            return self.match(data, facts)
        verdict = self.match(data[:size], facts)
        return Verdict.NO_MATCH if verdict is Verdict.NEED_MORE else verdict

    def covers(self, other: Matcher) -> bool:
        """Whether this one matches all that ``other`` matches. ``True`` is certain; ``False`` may mean "who knows"."""
        return self == other

    def __and__(self, other: Matcher) -> Matcher:
        return AllOf((self, other)) if isinstance(other, Matcher) else NotImplemented

    def __or__(self, other: Matcher) -> Matcher:
        return AnyOf((self, other)) if isinstance(other, Matcher) else NotImplemented

    def __invert__(self) -> Matcher:
        return Not(self)


@dataclass(frozen=True, slots=True, repr=False)
class _Combined(Matcher):
    """What holds for several matchers together, whatever joins them."""

    parts: tuple[Matcher, ...]

    @property
    def max_size(self) -> int:
        return max(part.max_size for part in self.parts)

    @property
    def silence(self) -> float | None:
        return min((part.silence for part in self.parts if part.silence is not None), default=None)

    @property
    def offers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(protocol for part in self.parts for protocol in part.offers))


@dataclass(frozen=True, slots=True, repr=False)
class AllOf(_Combined):
    """``a & b``: matches when each part does; does not as soon as one does not."""

    @property
    def samples(self) -> tuple[bytes, ...]:
        nobody = ConnectionFacts(peer=None)
        samples = (sample for part in self.parts for sample in part.samples)
        return tuple(sample for sample in samples if self.verdict(sample, nobody) is Verdict.MATCH)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        result = Verdict.MATCH
        for part in self.parts:
            verdict = part.verdict(data, facts)
            if verdict is Verdict.NO_MATCH:
                return verdict
            if verdict is Verdict.NEED_MORE:
                result = verdict
        return result

    def __repr__(self) -> str:
        return " & ".join(f"({part!r})" if isinstance(part, AnyOf) else repr(part) for part in self.parts)


@dataclass(frozen=True, slots=True, repr=False)
class AnyOf(_Combined):
    """``a | b``: matches as soon as one part does."""

    @property
    def samples(self) -> tuple[bytes, ...]:
        return tuple(sample for part in self.parts for sample in part.samples)

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        return tuple(alternative for part in self.parts for alternative in part.alternatives)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        result = Verdict.NO_MATCH
        for part in self.parts:
            verdict = part.verdict(data, facts)
            if verdict is Verdict.MATCH:
                return verdict
            if verdict is Verdict.NEED_MORE:
                result = verdict
        return result

    def __repr__(self) -> str:
        return " | ".join(repr(part) for part in self.parts)


@dataclass(frozen=True, slots=True, repr=False)
class Not(Matcher):
    """``~a``: matches what the other does not."""

    inner: Matcher

    @property
    def max_size(self) -> int:
        return self.inner.max_size

    @property
    def silence(self) -> float | None:
        return self.inner.silence

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return _OPPOSITE[self.inner.verdict(data, facts)]

    def __repr__(self) -> str:
        return f"~({self.inner!r})" if isinstance(self.inner, _Combined) else f"~{self.inner!r}"


_OPPOSITE: Final = {
    Verdict.MATCH: Verdict.NO_MATCH,
    Verdict.NO_MATCH: Verdict.MATCH,
    Verdict.NEED_MORE: Verdict.NEED_MORE,
}
