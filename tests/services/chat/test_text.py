"""Nothing that a terminal would obey survives visible(), and nothing is lost in it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.chat.text import MAX_LENGTH, MAX_MARKS, decode, escape, hidden, strip_telnet, visible

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = "\u00ad\u034f\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff"
BLANK_LETTERS = "\u115f\u1160\u17b4\u17b5\u3164\uffa0"
TAGS = "\U000e0001\U000e0041\U000e007f\U000e0100"


def is_safe(character: str) -> bool:
    if character == "\t":
        return True
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} and (
        character not in BIDI + ZERO_WIDTH + BLANK_LETTERS + TAGS
    )


def longest_run_of_marks(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if unicodedata.category(character).startswith("M") else 0
        longest = max(longest, run)
    return longest


nasty = st.text(
    st.one_of(
        st.characters(),
        st.characters(max_codepoint=0xA0),
        st.sampled_from("\u0301\u0489\u0903\ufe0f\U000e0100" + BIDI + ZERO_WIDTH),
        st.characters(categories=["Cs", "Cf", "Cc", "Mn", "Me", "Zl", "Zp"]),
    )
)


def test_every_character_of_a_dangerous_category_is_hidden() -> None:
    wrong = [
        f"U+{number:04X}"
        for number in range(sys.maxunicode + 1)
        if not is_safe(chr(number)) and not hidden(chr(number))
    ]
    assert wrong == []


def test_ordinary_characters_are_not_hidden() -> None:
    letters = (chr(number) for number in range(0x20, 0x3000))
    ordinary = [character for character in letters if unicodedata.category(character)[0] in "LNPS"]
    assert len(ordinary) > 8000
    assert [character for character in ordinary if hidden(character) and character not in BLANK_LETTERS] == []


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"tab\there", "tab\there"),
        ("Grüße, привет, 你好, ❤️".encode(), "Grüße, привет, 你好, ❤️"),
        (b"\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),
        (b"\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        (
            b"\x1b]8;;http://example.com\x1b\\click\x1b]8;;\x1b\\",
            r"\x1b]8;;http://example.com\x1b\click\x1b]8;;\x1b" + "\\",
        ),
        ("\x9b31mred".encode(), r"\x9b31mred"),
        (b"\x9b31mred", r"\x9b31mred"),
        (b"real\rfake", r"real\rfake"),
        (b"one\ntwo", r"one\ntwo"),
        (b"\x00\x08\x7f", r"\x00\x08\x7f"),
        ("one\u2028two\u2029\u0085".encode(), r"one\u2028two\u2029\x85"),
        ("\u202eevil\u2066".encode(), r"\u202eevil\u2066"),
        ("a\u200bb\ufeff".encode(), r"a\u200bb\ufeff"),
        ("\U000e0041".encode(), r"\U000e0041"),
        (b"\xff\xfe\xc3(", r"\xff\xfe\xc3("),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (b"a\\b", "a\\b"),
        (b"", ""),
    ],
)
def test_what_is_shown(raw: bytes, shown: str) -> None:
    assert visible(decode(raw)) == shown


def test_lone_surrogates_are_written_out() -> None:
    assert visible("a\ud800\udcff") == r"a\ud800\udcff"


@given(nasty)
def test_only_harmless_characters_come_out(text: str) -> None:
    shown = visible(text)
    assert all(map(is_safe, shown))
    assert longest_run_of_marks(shown) <= MAX_MARKS
    shown.encode()


@given(st.binary())
def test_any_bytes_come_out_harmless(data: bytes) -> None:
    shown = visible(decode(data))
    assert all(map(is_safe, shown))
    assert len(shown) <= 4 * len(data)


@given(nasty, st.integers(40, 60))
def test_a_second_pass_changes_nothing(text: str, max_length: int) -> None:
    once = visible(text, max_length)
    assert visible(once, max_length) == once
    assert visible(once) == once


@given(nasty)
def test_nothing_is_dropped(text: str) -> None:
    shown = visible(text)
    position = 0
    for character in text:
        assert shown.startswith((character, escape(character)), position)
        position += 1 if shown[position] == character and not hidden(character) else len(escape(character))
    assert position == len(shown)


def test_a_tower_of_marks_is_cut_and_shown() -> None:
    shown = visible("e" + "\u0301" * 10_000)
    assert shown.startswith("e" + "\u0301" * MAX_MARKS + r"\u0301\u0301")
    assert longest_run_of_marks(shown) == MAX_MARKS


def test_a_mark_has_something_to_stand_on() -> None:
    assert visible("\u0301e\u0301") == "\\u0301e\u0301"


def test_burmese_hebrew_and_thai_stay_whole() -> None:
    for text in ("ကြောင်းကျောင်း", "בְּרֵאשִׁ֖ית", "ที่นี่", "Việt Nam"):
        assert visible(text) == text


@given(st.text(min_size=200), st.integers(40, 200))
def test_length_is_bounded_and_the_rest_is_counted(text: str, max_length: int) -> None:
    shown = visible(text, max_length)
    assert len(shown) <= max_length
    assert len(visible(text, 10**6)) <= max_length or shown.endswith(" characters more)")


def test_the_note_counts_what_is_missing() -> None:
    shown = visible("x" * (MAX_LENGTH + 1))
    assert shown == "x" * (MAX_LENGTH - 40) + "... (41 characters more)"


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (b"alice", b"alice"),
        (b"\xff\xfd\x03\xff\xfb\x18alice", b"alice"),
        (b"\xff\xfa\x18\x00xterm\xff\xf0alice", b"alice"),
        (b"\xff\xf4\xff\xfd\x06alice", b"alice"),
        (b"al\xff\xfd\x03ice", b"al\xff\xfd\x03ice"),
        (b"\xff", b"\xff"),
        (b"\xff\xfd", b"\xff\xfd"),
        (b"\xff\xfa\x18 no end", b"\xff\xfa\x18 no end"),
        (b"\xff\xff", b"\xff\xff"),
        (b"", b""),
    ],
)
def test_telnet_commands_before_the_text_are_no_text(line: bytes, rest: bytes) -> None:
    assert strip_telnet(line) == rest


@given(st.text())
def test_text_is_never_taken_for_telnet(text: str) -> None:
    assert strip_telnet(text.encode("utf-8", "ignore")) == text.encode("utf-8", "ignore")
