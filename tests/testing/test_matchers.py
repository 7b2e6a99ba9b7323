"""The verifier of matchers finds what it is there for, and lets right matchers be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aionet.routing import ConnectionFacts, Matcher, Verdict, prefix
from aionet.testing import MatcherVerificationError, verify_decision, verify_matcher


class Made(Matcher):
    """A matcher of any behaviour."""

    def __init__(self, decide: Callable[[bytes], object], size: int = 4, samples: tuple[bytes, ...] = ()) -> None:
        self.decide = decide
        self.size = size
        self.known = samples

    @property
    def max_size(self) -> int:
        return self.size

    @property
    def samples(self) -> tuple[bytes, ...]:
        return self.known

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return self.decide(data)  # type: ignore[return-value]  # whatever it is: that is what is tested


def fickle(data: bytes) -> Verdict:
    return Verdict.MATCH if len(data) == 2 else Verdict.NO_MATCH


def a_only(data: bytes) -> Verdict:
    return Verdict.MATCH if data[:1] == b"a" else Verdict.NO_MATCH if data else Verdict.NEED_MORE


def test_a_right_matcher_passes() -> None:
    verify_matcher(prefix(b"HELLO", b"HI"), [b"HELLO", b"HIT"], [b"HELL", b"", b"hello"])
    assert verify_decision(prefix(b"ab"), b"abc") is Verdict.MATCH


@pytest.mark.parametrize(
    ("matcher", "says"),
    [
        (Made(fickle), "no match became match"),
        (Made(lambda data: data[3]), "raised IndexError"),
        (Made(lambda data: True), "which is no Verdict"),
        (Made(a_only, size=9000), "asks for 9000 bytes; 8192 is the most"),
        (Made(lambda data: Verdict.NO_MATCH), "does not match b'ab'"),
        (Made(a_only, samples=(b"b",)), r"does not match b'b'"),
        (Made(lambda data: Verdict.MATCH), "matches b'x'"),
    ],
)
def test_what_is_wrong_is_found(matcher: Matcher, says: str) -> None:
    with pytest.raises(MatcherVerificationError, match=says):
        verify_matcher(matcher, [b"ab"], [b"x"])


def test_a_matcher_whose_bound_was_taken_away_is_found() -> None:
    class Unbound(Made):
        def verdict(self, data: bytes, facts: ConnectionFacts) -> Verdict:
            return self.match(data, facts)

    with pytest.raises(MatcherVerificationError, match="needs more than its 4 bytes"):
        verify_decision(Unbound(lambda data: Verdict.NEED_MORE), b"abcde")


def test_nothing_to_verify_with() -> None:
    with pytest.raises(ValueError, match="needs some first bytes"):
        verify_matcher(prefix(b"a"), [])
