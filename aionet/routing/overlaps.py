"""Routes that can never be reached, found before they are served: each is an error that names both sides."""

from __future__ import annotations

from typing import Final

from ..matching import AllOf, AnyOf, ConnectionFacts, Matcher, Not, Verdict
from .regular import Regular

__all__ = ["covers", "shadowed_part"]

_NOBODY: Final = ConnectionFacts(peer=None)


def shadowed_part(earlier: Matcher, later: Matcher) -> Matcher | None:
    """The part of ``later`` that can never match, because ``earlier`` takes all of it; ``None``: there is none.

    A part is one alternative: one of several prefixes, names, networks, or sides of ``|``.
    """
    if covers(earlier, later):
        return later
    return next((part for part in later.alternatives if covers(earlier, part)), None)


def covers(one: Matcher, other: Matcher) -> bool:
    """Whether ``one`` matches all that ``other`` matches, as far as can be told.

    Told by structure: the same matcher, and what a kind of matcher knows of its own kind, through ``&``, ``|`` and
    ``~``; across kinds by the samples of ``other``.
    """
    match one, other:
        case _ if one == other:
            return True
        case _, Matcher(alternatives=parts) if len(parts) > 1:
            return all(covers(one, part) for part in parts)
        case AnyOf(parts), _:
            return any(covers(part, other) for part in parts)
        case AllOf(parts), _:
            return all(covers(part, other) for part in parts)
        case _, AllOf(parts) if any(covers(one, part) for part in parts):
            return True
        case Not(inner), Not(other_inner):
            return covers(other_inner, inner)
        case Not(), _:
            return False  # samples say what is matched, not what is not
    if one.covers(other):
        return True
    kind = Regular if isinstance(one, Regular) else type(one)
    if isinstance(other, kind) and kind.covers is not Matcher.covers:
        return False  # a kind knows its own kind
    samples = other.samples
    return bool(samples) and all(one.verdict(sample, _NOBODY) is Verdict.MATCH for sample in samples)
