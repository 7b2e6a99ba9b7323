"""One verifier for every matcher: the same first bytes, however they are cut, must give the same decision.

::

    def test_my_matcher():
        verify_matcher(MyMatcher(), [b"HELLO 1"], [b"hello", b"", bytes(64)])
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ..matching import MAX_PEEK, ConnectionFacts, Matcher, Verdict

__all__ = ["MatcherVerificationError", "verify_decision", "verify_matcher"]

_MADE_UP = 40  # inputs of random bytes, and as many of the given ones damaged
_NOBODY = ConnectionFacts(peer=None)


class MatcherVerificationError(AssertionError):
    """A matcher does not keep the contract of :class:`~aionet.routing.Matcher`."""


def verify_matcher(
    matcher: Matcher,
    matching: Sequence[bytes],
    others: Sequence[bytes] = (),
    *,
    facts: ConnectionFacts = _NOBODY,
    seed: int = 0,
) -> None:
    """Check that a matcher keeps its contract, whatever the network does to the bytes.

    * ``matching``, and its own ``samples``, match; ``others`` do not. What comes behind them changes nothing.
    * A decision, once made, stays; there is one at ``max_size`` bytes. Nothing raises: also for random bytes, and for
      the given ones damaged.

    Args:
        matcher: The one to be checked.
        matching: First bytes of connections that are its own.
        others: First bytes of connections that are not; maybe none, or too few for a decision.
        facts: What else is known of these connections.
        seed: Of everything random: the same seed tries the same.

    Raises:
        MatcherVerificationError: with the bytes and what came.
        ValueError: nothing was given.
    """
    if not matching and not others:
        raise ValueError("verify_matcher needs some first bytes")
    if not 0 <= matcher.max_size <= MAX_PEEK:
        raise MatcherVerificationError(f"{matcher!r} asks for {matcher.max_size} bytes; {MAX_PEEK} is the most")
    generator = random.Random(seed)
    for data in (*matching, *matcher.samples):
        for tail in (b"", b"\0", generator.randbytes(64)):
            if verify_decision(matcher, data + tail, facts) is not Verdict.MATCH:
                raise MatcherVerificationError(f"{matcher!r} does not match {data + tail!r}")
    for data in others:
        if verify_decision(matcher, data, facts) is Verdict.MATCH:
            raise MatcherVerificationError(f"{matcher!r} matches {data!r}")
    for _ in range(_MADE_UP):
        damaged = bytearray(generator.choice([*matching, *others]))
        if damaged:
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        for data in (bytes(damaged), generator.randbytes(generator.randrange(80))):
            verify_decision(matcher, data, facts)


def verify_decision(
    matcher: Matcher, data: bytes, facts: ConnectionFacts = _NOBODY, sizes: Iterable[int] | None = None
) -> Verdict:
    """The decision on ``data``, having asked at each of these sizes, in rising order, and at the end.

    Without ``sizes`` after each byte: so any other cut gives the same decision.

    Raises:
        MatcherVerificationError: a decision was changed, is no verdict, or was due and not made; or the matcher raised.
    """
    decision = Verdict.NEED_MORE
    for size in (*(range(len(data)) if sizes is None else sizes), len(data)):
        try:
            verdict = matcher.verdict(data[:size], facts)
        except Exception as exc:
            raise MatcherVerificationError(f"{matcher!r} raised {exc!r} for {data[:size]!r}") from exc
        if not isinstance(verdict, Verdict):
            raise MatcherVerificationError(f"{matcher!r} gave {verdict!r} for {data[:size]!r}, which is no Verdict")
        if decision not in (Verdict.NEED_MORE, verdict):
            raise MatcherVerificationError(f"{matcher!r}: {decision.value} became {verdict.value} at {data[:size]!r}")
        if verdict is Verdict.NEED_MORE and size >= matcher.max_size:
            raise MatcherVerificationError(f"{matcher!r} needs more than its {matcher.max_size} bytes: {data[:size]!r}")
        decision = verdict
    return decision
