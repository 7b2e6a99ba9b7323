"""Connections by the bytes they begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import ConfigError
from ..matching import ConnectionFacts, Matcher, Verdict
from .regular import MAX_POSITIONS, Regular

__all__ = ["Prefix", "prefix", "ssh"]


@dataclass(frozen=True, slots=True, repr=False)
class Prefix(Regular):
    """See :func:`prefix`."""

    prefixes: tuple[bytes, ...]

    @property
    def pattern(self) -> bytes:
        return b"|".join(map(re.escape, self.prefixes))

    @property
    def max_size(self) -> int:
        return max(map(len, self.prefixes))

    @property
    def samples(self) -> tuple[bytes, ...]:
        return self.prefixes

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        return tuple(Prefix((each,)) for each in self.prefixes)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        if data.startswith(self.prefixes):
            return Verdict.MATCH
        possible = any(each.startswith(data) for each in self.prefixes)
        return Verdict.NEED_MORE if possible else Verdict.NO_MATCH

    def covers(self, other: Matcher) -> bool:
        if isinstance(other, Prefix):  # by far the most frequent, and quick: there may be hundreds
            return all(each.startswith(self.prefixes) for each in other.prefixes)
        return Regular.covers(self, other)

    def __repr__(self) -> str:
        return f"prefix({', '.join(map(repr, self.prefixes))})"


def prefix(*prefixes: bytes) -> Matcher:
    """Connections whose first bytes are one of these.

    Raises:
        ConfigError: none is given, one is empty or no ``bytes``, or they are longer than 1024 bytes in all.
    """
    for each in prefixes:
        if not isinstance(each, bytes) or not each:
            raise ConfigError(f"a prefix is bytes, at least one, not {each!r}", hint="prefix(b'HELLO ')")
    if not prefixes:
        raise ConfigError("prefix() needs at least one prefix", hint="anything() matches every connection")
    if sum(map(len, prefixes)) > MAX_POSITIONS:
        raise ConfigError(f"prefix: {sum(map(len, prefixes))} bytes in all; {MAX_POSITIONS} is the most")
    return Prefix(prefixes)


def ssh() -> Matcher:
    """SSH clients, by the line they begin with (RFC 4253, section 4.2).

    Some wait for the server's line first: ``ssh() | silence()`` takes those in as well.
    """
    return prefix(b"SSH-2.0-", b"SSH-1.99-")
