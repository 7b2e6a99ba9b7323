"""Verdicts, their bound, and how matchers combine."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.matching import AllOf, AnyOf, ConnectionFacts, Matcher, Not, Verdict
from aionet.routing import http, peer, prefix, silence
from aionet.testing import verify_decision, verify_matcher

from .routing.strategies import COMBINED

NOBODY = ConnectionFacts(peer=None)
YES, NO, MORE = Verdict.MATCH, Verdict.NO_MATCH, Verdict.NEED_MORE


class Always(Matcher):
    """Says the same whatever comes."""

    def __init__(self, verdict: Verdict) -> None:
        self.said = verdict

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return self.said


class Hungry(Matcher):
    """A user's own: needs three bytes and remembers the most it was given."""

    max_size = 3

    def __init__(self) -> None:
        self.given = 0

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        self.given = max(self.given, len(data))
        return MORE


def test_a_matcher_is_never_shown_more_than_it_asked_for_and_has_to_decide_there() -> None:
    hungry = Hungry()
    assert [hungry.verdict(bytes(size), NOBODY) for size in range(5)] == [MORE, MORE, MORE, NO, NO]
    assert hungry.given == 3


def test_the_defaults_of_a_matcher() -> None:
    matcher = Always(YES)
    assert (matcher.max_size, matcher.silence, matcher.samples, matcher.alternatives) == (64, None, (), (matcher,))
    assert matcher.covers(matcher)
    assert not matcher.covers(Always(YES))


@pytest.mark.parametrize(("one", "two"), list(itertools.product(Verdict, repeat=2)))
def test_both_either_and_not_are_those_of_three_valued_logic(one: Verdict, two: Verdict) -> None:
    order = [NO, MORE, YES]
    a, b = Always(one), Always(two)
    assert (a & b).match(b"", NOBODY) is min(one, two, key=order.index)
    assert (a | b).match(b"", NOBODY) is max(one, two, key=order.index)
    assert (~a).match(b"", NOBODY) is order[2 - order.index(one)]


def test_a_part_is_held_to_its_own_bound() -> None:
    assert (Hungry() | prefix(b"12345")).verdict(b"1234", NOBODY) is MORE
    assert (Hungry() & prefix(b"12345")).verdict(b"1234", NOBODY) is NO
    assert (~Hungry()).verdict(b"1234", NOBODY) is YES


def test_what_a_combination_asks_for() -> None:
    both = prefix(b"abc") & http()
    either = prefix(b"abc", b"d") | silence(2) | prefix(b"e")
    assert (both.max_size, either.max_size, (~both).max_size) == (8192, 3, 8192)
    assert (both.silence, either.silence, (~silence(3)).silence) == (None, 2, 3)
    assert either.samples == (b"abc", b"d", b"e")
    assert [repr(part) for part in either.alternatives] == [
        "prefix(b'abc')",
        "prefix(b'd')",
        "silence(2)",
        "prefix(b'e')",
    ]
    assert (prefix(b"a", b"x") & ~prefix(b"ab")).samples == (b"x",)
    assert (~prefix(b"a")).samples == ()


def test_combinations_read_as_they_were_written() -> None:
    a, b = prefix(b"a"), prefix(b"b")
    assert repr((a | b) & ~(a & b)) == "(prefix(b'a') | prefix(b'b')) & ~(prefix(b'a') & prefix(b'b'))"
    assert repr(~a) == "~prefix(b'a')"
    assert a | b == AnyOf((a, b))
    assert a & b == AllOf((a, b))
    assert hash(~a) == hash(Not(a))


@pytest.mark.parametrize("operation", ["__and__", "__or__"])
def test_only_matchers_combine(operation: str) -> None:
    assert getattr(prefix(b"a"), operation)(b"a") is NotImplemented


def test_facts_take_part() -> None:
    near = ConnectionFacts(peer=("127.0.0.1", 5))
    matcher = peer("127.0.0.0/8") & prefix(b"x")
    verify_matcher(matcher, [b"x"], [b"y", b""], facts=near)
    assert matcher.verdict(b"", NOBODY) is NO


@given(COMBINED, st.binary(max_size=8))
def test_combinations_decide_the_same_for_every_split(matcher: Matcher, data: bytes) -> None:
    verify_decision(matcher, data)
