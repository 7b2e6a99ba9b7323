"""Position automata: the language of re, decided at the earliest byte, and compared exactly."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.routing import prefix, regex
from aionet.routing.regular import MAX_EXPLORED, Automaton, automaton

LETTERS = b"ab"
WORDS = [bytes(word) for size in range(7) for word in itertools.product(LETTERS, repeat=size)]

PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", ".", "[^a]"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=5,
)


def made(pattern: str) -> Automaton | None:
    try:
        return Automaton(pattern.encode())
    except ConfigError:
        assert re.match(pattern, "")  # the only thing that is wrong with them
        return None


@given(PATTERNS)
def test_it_matches_what_re_matches_and_knows_what_no_longer_can(pattern: str) -> None:
    built = made(pattern)
    if built is None:
        return
    matching = {word for word in WORDS if re.match(pattern.encode(), word)}
    for word in WORDS:
        found = built.run(word)
        assert (found is True) == (word in matching)
        if found is False:
            assert not any(other.startswith(word) for other in matching)
        for size in range(len(word)):
            assert built.run(word[:size]) in (None, found)


@given(PATTERNS, PATTERNS)
def test_to_cover_is_to_match_all_that_the_other_matches(one: str, other: str) -> None:
    a, b = made(one), made(other)
    if a is None or b is None:
        return
    missed = [word for word in WORDS if b.run(word) and not a.run(word)]
    longest = [word for word in missed if len(word) < 6]  # a longer word may still come to match
    if longest and any(a.run(word) is False for word in longest):
        assert not a.covers(b)
    if a.covers(b):
        assert not [word for word in missed if a.run(word) is False]


@given(PATTERNS)
def test_samples_match(pattern: str) -> None:
    built = made(pattern)
    assert built is None or built.samples()
    assert built is None or all(built.run(sample) for sample in built.samples())


@pytest.mark.parametrize(
    ("pattern", "samples"),
    [
        (rb"(?:GET|LIST)[ ;]", (b"GET;", b"LIST;")),
        (rb"[ab]x", (b"ax", b"bx")),
        (rb"a+b", (b"ab",)),
        (rb"[^\x00-\xff]", ()),
    ],
)
def test_samples_are_short_and_of_each_kind(pattern: bytes, samples: tuple[bytes, ...]) -> None:
    found = Automaton(pattern).samples()
    assert {sample[:1] for sample in found} == {sample[:1] for sample in samples}
    assert {len(sample) for sample in found} == {len(sample) for sample in samples}


def test_nothing_backtracks() -> None:
    assert Automaton(rb"(?:a+)+b").run(b"a" * 8192) is None
    assert Automaton(rb"(?:a|a)*(?:a|aa)+$".removesuffix(b"$") + b"b").run(b"a" * 8192 + b"c") is False


def test_languages_too_large_to_compare_count_as_different() -> None:
    # The classic: a subset automaton of 2 ** 14 states.
    hard = rb"(?s)[ab]*a[ab]{14}c"
    assert MAX_EXPLORED < 2**14
    assert not Automaton(hard).covers(Automaton(rb"[ab]*a[ab]{13}[ab]c"))


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (b"(", "does not parse"),
        (b"a**", "does not parse"),
        (b"(" * 5000, "does not parse"),
        (b"a{99999999999}", "does not parse"),
        (b"", "matches the empty string"),
        (b"a*", "matches the empty string"),
        (b"^", "matches the empty string"),
        (b"a$", "first bytes alone"),
        (rb"a\b", "first bytes alone"),
        (b"a^b", "first bytes alone"),
        (b"(?=a)a", "first bytes alone"),
        (b"(?<!a)a", "first bytes alone"),
        (rb"(a)\1", "first bytes alone"),
        (b"(?>a)b", "first bytes alone"),
        (b"a++b", "first bytes alone"),
        (b"(a)(?(1)b|c)", "first bytes alone"),
        (b"a{1025}", "longer than 1024 bytes"),
        (b"(?:a{1000}){1000}", "longer than 1024 bytes"),
    ],
)
def test_what_is_refused(pattern: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Automaton(pattern)


@pytest.mark.parametrize(
    ("pattern", "data", "found"),
    [
        (rb"(?i)get ", b"GeT ", True),
        (rb"(?i:get) x", b"GET X", False),
        (rb"(?-i:g)et", b"get", True),
        (rb"(?s).\n", b"\n\n", True),
        (rb".\n", b"\n", False),
        (rb"^\Wa", b"!a", True),
        (rb"\Aab", b"ab", True),
        (rb"(?:){1000000000}a", b"a", True),
        (rb"(?m)^a", b"a", True),
    ],
)
def test_flags_and_classes(pattern: bytes, data: bytes, found: bool) -> None:
    assert Automaton(pattern).run(data) is found


def test_prefixes_and_patterns_compare() -> None:
    assert prefix(b"G").covers(regex(rb"GET|GO"))
    assert regex(rb"G.").covers(prefix(b"GE", b"GO"))
    assert not regex(rb"GE").covers(prefix(b"G"))
    assert not prefix(b"GET").covers(prefix(b"G"))


def test_automata_are_made_once() -> None:
    assert automaton(b"abc") is automaton(b"abc")
