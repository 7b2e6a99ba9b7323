"""Names: what is refused, why, and which two are one."""
# ruff: noqa: RUF001 - letters that look alike are what this file is about

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.chat.names import MAX_NAME, RESERVED, NameRefused, name_keys, parse_name
from aionet.services.chat.text import hidden, visible


@pytest.mark.parametrize(
    "name",
    ["alice", "Bob", "x", "7of9", "first.last", "a_b-c", "Renée", "Иван", "李小龍", "さくら", "김철수", "محمد", "דוד",
     "Nguyễn", "อภิสิทธิ์", "李Bruce", "हिन्दी", "x" * MAX_NAME, "observer", "rooty"],
)  # fmt: skip
def test_names_people_have(name: str) -> None:
    assert parse_name(name.encode()) == unicodedata.normalize("NFKC", name)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("  alice\t", "alice"),
        ("\uff41\uff4c\uff49\uff43\uff45", "alice"),
        ("\U0001d41alice", "alice"),
        ("Rene\u0301e", "Ren\u00e9e"),
    ],
)
def test_names_are_normalised(given: str, name: str) -> None:
    assert parse_name(given.encode()) == name


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "must not be empty"),
        (b"   \t", "must not be empty"),
        (b"x" * (MAX_NAME + 1), "at most 24 characters, not 25"),
        ("\ufdfa\ufdfa".encode(), "at most 24 characters, not 36"),
        (b"\xff\xfe", r"must be UTF-8, and \xff is not"),
        (b"a\x1b[31m", "not U+001B"),
        (b"a\x00b", "not U+0000"),
        (b"a\rb", "not U+000D"),
        (b"a\tb", "not U+0009"),
        ("a\u0085b".encode(), "not U+0085"),
        ("a\u2028b".encode(), "not U+2028"),
        ("a\u202eb".encode(), "not U+202E"),
        ("a\u2066b".encode(), "not U+2066"),
        ("a\u200bb".encode(), "not U+200B"),
        ("a\u200db".encode(), "not U+200D"),
        ("\ufeffadmin".encode(), "not U+FEFF"),
        ("\u3164".encode(), "not U+1160"),
        ("a\U000e0041".encode(), "not U+E0041"),
        (b"two words", "not a space"),
        ("two\u00a0words".encode(), "not a space"),
        (b"[SERVER]", "not ["),
        (b"bob]", "not ]"),
        ("bob\uff3d".encode(), "not ]"),
        (b"a/b", "not /"),
        (b"/who", "not /"),
        (b"back\\slash", "not \\"),
        ("\u2800".encode(), "not U+2800"),
        ("\U0001f600".encode(), "not U+1F600"),
        (b"__proto__", "starts with a letter or a digit, not with _"),
        (b"-x", "starts with a letter or a digit, not with -"),
        ("\u0301x".encode(), "not U+0301"),
        ("e\u0323\u0302\u0301\u0300\u0300\u0300".encode(), "at most 2 combining marks"),
        ("\u0430lice".encode(), "must not mix letters of Cyrillic and Latin"),
        ("alic\u03b5".encode(), "must not mix letters of Greek and Latin"),
        ("김и".encode(), "must not mix letters of Cyrillic and East Asian"),
    ],
)
def test_each_refusal_has_its_reason(line: bytes, reason: str) -> None:
    with pytest.raises(NameRefused) as refusal:
        parse_name(line)
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [*RESERVED, "SERVER", "Server1", "S.E.R.V.E.R", "system_", "adm1n", "adrnin", "Admin2024", "r00t", "sérver",
     "\uff33\uff25\uff32\uff36\uff25\uff32", "\U0001d5e6erver", "ѕуѕтем", "ꜱᴇʀᴠᴇʀ", "admın"],
)  # fmt: skip
def test_nobody_is_the_server(name: str) -> None:
    with pytest.raises(NameRefused, match="is reserved"):
        parse_name(name.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "ALICE"),
        ("alice", "a1ice"),
        ("Bill", "BiII"),
        ("Bob", "B0b"),
        ("Straße", "STRASSE"),
        ("сосо", "coco"),
        ("ΝΙΚΟΣ", "νικος"),
        ("ΑΝΝΑ", "ANNA"),
        ("bernd", "bemd"),
        ("vvill", "will"),
        ("rider7", "rider٧"),
        ("bᴏʙ", "bob"),
        ("Diyarbakır", "diyarbakir"),
    ],
)
def test_names_that_look_alike_share_a_key(one: str, other: str) -> None:
    assert not name_keys(one).isdisjoint(name_keys(other))


@pytest.mark.parametrize(("one", "other"), [("alice", "bob"), ("anna", "hanna"), ("a_b", "a-b"), ("rene", "rené")])
def test_names_that_differ_do_not(one: str, other: str) -> None:
    assert name_keys(one).isdisjoint(name_keys(other))


@given(st.one_of(st.binary(max_size=40), st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_line_is_a_harmless_name_or_a_refusal(line: bytes) -> None:
    refused: NameRefused | None = None
    try:
        name = parse_name(line)
    except NameRefused as refusal:
        refused = refusal
    if refused is not None:
        assert visible(str(refused)) == str(refused)
        return
    assert 0 < len(name) <= MAX_NAME
    assert not any(hidden(character) or character.isspace() or character in "[]/" for character in name)
    assert visible(f"[{name}]") == f"[{name}]"
    assert parse_name(name.encode()) == name
    assert name_keys(name)
