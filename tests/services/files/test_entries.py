from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.entries import Entry, format_entries, format_time, parse_entries, parse_time

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1).filter(
    lambda name: name not in (".", "..")
)
ENTRIES = st.builds(
    Entry,
    name=NAMES,
    size=st.integers(0, 2**63),
    mtime_ns=st.integers(-(2**62), 2**62),
    is_directory=st.booleans(),
)


@given(st.lists(ENTRIES))
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    assert parse_entries(format_entries(entries)) == entries


def test_as_documented() -> None:
    entry = Entry("my file.txt", 11, 1_763_827_980_123_456_789)
    assert format_entries([entry]) == b"file 11;mtime=1763827980.123456789 my file.txt\n"


def test_unknown_facts_and_kinds_are_passed_over() -> None:
    body = b"file 1;hash=abc;mtime=1.5;x=y name\npipe 0 other\n"
    assert parse_entries(body) == [Entry("name", 1, 1_500_000_000)]


@pytest.mark.parametrize(
    "body",
    [
        *[b"file 1 a", b"\n", b"file\n", b"file 1\n", b"file 1 \n", b"file -1 a\n", b"file x a\n", b"file 1 ..\n"],
        *[b"file 1 a/b\n", b"file 1 a\x1b[2J\n", b"file 1 a\rb\n", b"file 1 \xff\n", b"file 1;mtime=x a\n"],
        *[b"file 99999999999999999999 a\n", "file \u0661 a\n".encode()],
    ],
)
def test_a_hostile_listing_is_not_believed(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_entries(body)


@given(st.integers(-(2**70), 2**70).filter(lambda value: abs(value) < 10**27))
def test_times_lose_nothing(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds)) == nanoseconds
