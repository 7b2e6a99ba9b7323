"""The matcher by a pattern."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.routing import ConnectionFacts, Verdict, regex
from aionet.testing import verify_decision, verify_matcher


def test_it_decides_both_ways_as_early_as_can_be() -> None:
    matcher = regex(rb"(?i)(?:get|list)[ ;\n]")
    verify_matcher(matcher, [b"GET name", b"list\n"], [b"", b"LIST", b"gets", b"PUT x"])
    facts = ConnectionFacts(peer=None)
    assert matcher.verdict(b"g", facts) is Verdict.NEED_MORE
    assert matcher.verdict(b"gx", facts) is Verdict.NO_MATCH


def test_it_has_to_match_within_its_size() -> None:
    matcher = regex(rb"a+b", max_size=4)
    verify_matcher(matcher, [b"ab", b"aaab"], [b"aaaab", b"aaaa"])
    assert repr(matcher) == "regex(b'a+b', max_size=4)"
    assert repr(regex(b"ab")) == "regex(b'ab')"


def test_a_shorter_look_covers_less() -> None:
    assert regex(b"a+b").covers(regex(b"aa+b"))
    assert not regex(b"a+b", max_size=4).covers(regex(b"aa+b"))
    assert regex(b"a+b", max_size=4).covers(regex(b"aa+b", max_size=4))
    assert regex(b"[a-z]{9}x", max_size=4).samples == ()


@given(st.binary(max_size=80))
def test_the_same_for_every_split(data: bytes) -> None:
    verify_decision(regex(rb"(?s).{3}(?:\x00|[^\x01])+z"), data)


@pytest.mark.parametrize(
    ("arguments", "says"), [(("text",), "is bytes"), ((b"a", 0), "1 to 8192"), ((b"a", 9000), "1 to 8192")]
)
def test_what_is_refused(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        regex(*arguments)
