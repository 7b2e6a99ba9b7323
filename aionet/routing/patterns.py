"""Connections by a pattern of their first bytes."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..matching import MAX_PEEK, ConnectionFacts, Matcher, Verdict
from .regular import Automaton, Regular, automaton

__all__ = ["Regex", "regex"]


@dataclass(frozen=True, slots=True, repr=False)
class Regex(Regular):
    """See :func:`regex`."""

    automaton: Automaton
    size: int

    @property
    def pattern(self) -> bytes:
        return self.automaton.pattern

    @property
    def max_size(self) -> int:
        return self.size

    @property
    def samples(self) -> tuple[bytes, ...]:
        return tuple(sample for sample in self.automaton.samples() if len(sample) <= self.size)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        found = self.automaton.run(data)
        if found is None:
            return Verdict.NEED_MORE
        return Verdict.MATCH if found else Verdict.NO_MATCH

    def covers(self, other: Matcher) -> bool:
        return self.size >= other.max_size and Regular.covers(self, other)

    def __repr__(self) -> str:
        return f"regex({self.pattern!r}{'' if self.size == 64 else f', max_size={self.size}'})"


def regex(pattern: bytes, max_size: int = 64) -> Matcher:
    """Connections whose first bytes begin with a match of ``pattern``, in the syntax of :mod:`re`.

    It is decided as early as possible both ways, in time proportional to the bytes whatever the pattern: nothing
    backtracks. What asks for the bytes behind (``$``, ``\\b``, look-ahead) or for memory (back-references) is refused.

    Args:
        pattern: Such as ``rb"(?i)(get|put) \\w+;"``. Its flags stand in it.
        max_size: Bytes within which it has to match.

    Raises:
        ConfigError: the pattern is none of these, or matches the empty string; ``max_size`` is out of bounds.
    """
    if not isinstance(pattern, bytes):
        raise ConfigError(f"a pattern of first bytes is bytes, not {pattern!r}", hint="regex(rb'...')")
    if not 1 <= max_size <= MAX_PEEK:
        raise ConfigError(f"regex: max_size is 1 to {MAX_PEEK} bytes, not {max_size!r}")
    return Regex(automaton(pattern), max_size)
