from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.web.conditions import Answer, choose, etag_matches, format_date, may_write

MTIME = 1_700_000_000
DATE, BEFORE, AFTER = (format_date(MTIME + seconds) for seconds in (0, -1, 1))
WHOLE = Answer(200, 0, 100)
PART = Answer(206, 10, 10)
SAME = Answer(304, 0, 0)
FAILED = Answer(412, 0, 0)
RANGE = {"range": "bytes=10-19"}


def chosen(fields: dict[str, str], now: float = MTIME + 100) -> Answer:
    return choose({name.replace("_", "-"): value for name, value in fields.items()}, '"t"', MTIME, 100, now)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({}, WHOLE),
        ({"if_none_match": '"t"'}, SAME),
        ({"if_none_match": 'W/"t"'}, SAME),
        ({"if_none_match": '"x", "t"'}, SAME),
        ({"if_none_match": "*"}, SAME),
        ({"if_none_match": '"x"'}, WHOLE),
        ({"if_none_match": '"x"', "if_modified_since": DATE}, WHOLE),  # the tag counts alone
        ({"if_modified_since": DATE}, SAME),
        ({"if_modified_since": AFTER}, SAME),
        ({"if_modified_since": BEFORE}, WHOLE),
        ({"if_modified_since": "yesterday"}, WHOLE),
        ({"if_modified_since": "Mon, 99 Nov 99999 99:99:99 GMT"}, WHOLE),
        ({"if_match": '"t"'}, WHOLE),
        ({"if_match": "*"}, WHOLE),
        ({"if_match": 'W/"t"'}, FAILED),  # a weak one never matches strongly
        ({"if_match": '"x"'}, FAILED),
        ({"if_unmodified_since": DATE}, WHOLE),
        ({"if_unmodified_since": BEFORE}, FAILED),
        ({"if_match": '"t"', "if_unmodified_since": BEFORE}, WHOLE),
        ({"if_match": '"t"', "if_none_match": '"t"'}, SAME),
        (RANGE, PART),
        (RANGE | {"if_range": '"t"'}, PART),
        (RANGE | {"if_range": '"x"'}, WHOLE),
        (RANGE | {"if_range": 'W/"t"'}, WHOLE),
        (RANGE | {"if_range": DATE}, PART),
        (RANGE | {"if_range": BEFORE}, WHOLE),
        (RANGE | {"if_range": AFTER}, WHOLE),
        (RANGE | {"if_none_match": '"t"'}, SAME),
        (RANGE | {"if_match": '"x"'}, FAILED),
    ],
)
def test_the_order_of_conditions(fields: dict[str, str], answer: Answer) -> None:
    assert chosen(fields) == answer


def test_a_date_of_just_now_is_no_strong_validator() -> None:
    assert chosen(RANGE | {"if_range": DATE}, MTIME + 1) == WHOLE


def test_head_knows_no_range() -> None:
    assert choose(RANGE, '"t"', MTIME, 100, MTIME, ranges=False) == WHOLE


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("bytes=0-0", Answer(206, 0, 1)),
        ("bytes=0-", Answer(206, 0, 100)),
        ("bytes=99-", Answer(206, 99, 1)),
        ("bytes=50-1000", Answer(206, 50, 50)),
        ("bytes=-1", Answer(206, 99, 1)),
        ("bytes=-1000", Answer(206, 0, 100)),
        ("Bytes = 1-2", Answer(206, 1, 2)),
        ("bytes=100-", Answer(416, 0, 0)),
        ("bytes=100-200", Answer(416, 0, 0)),
        ("bytes=9999999999999999999-", Answer(416, 0, 0)),
        ("bytes=99999999999999999999-", Answer(416, 0, 0)),
        ("bytes=-0", Answer(416, 0, 0)),
        ("bytes=0-0,2-3", WHOLE),
        ("bytes=2-1", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=1-2-3", WHOLE),
        ("bytes=0x1-2", WHOLE),
        ("bytes=\u0661-2", WHOLE),
        ("lines=1-2", WHOLE),
        ("bytes", WHOLE),
        ("", WHOLE),
    ],
)
def test_ranges(text: str, answer: Answer) -> None:
    assert chosen({"range": text}) == answer


def test_of_an_empty_file_there_is_no_part() -> None:
    assert choose({"range": "bytes=0-"}, '"t"', MTIME, 0, MTIME) == Answer(416, 0, 0)
    assert choose({"range": "bytes=-5"}, '"t"', MTIME, 0, MTIME) == Answer(416, 0, 0)


@given(st.text(max_size=30), st.integers(0, 50))
def test_a_range_is_never_outside_of_the_file(text: str, size: int) -> None:
    for spelled in (text, f"bytes={text}", f"bytes={text[:3]}-{text[3:]}"):
        answer = choose({"range": spelled}, '"t"', MTIME, size, MTIME)
        assert answer.status in (200, 206, 416)
        assert 0 <= answer.offset <= answer.offset + answer.count <= size


@pytest.mark.parametrize(
    ("fields", "etag", "allowed"),
    [
        ({}, None, True),
        ({}, '"t"', True),
        ({"if-match": "*"}, None, False),
        ({"if-match": "*"}, '"t"', True),
        ({"if-match": '"t"'}, '"t"', True),
        ({"if-match": '"t"'}, '"u"', False),
        ({"if-unmodified-since": DATE}, None, False),
        ({"if-unmodified-since": DATE}, '"t"', True),
    ],
)
def test_writing(fields: dict[str, str], etag: str | None, allowed: bool) -> None:
    assert may_write(fields, etag, MTIME) is allowed


def test_tags_are_found_in_lists() -> None:
    assert etag_matches('"a" ,W/"b","t"', '"t"')
    assert not etag_matches('"at"', '"t"')
    assert not etag_matches("t", '"t"')
    assert not etag_matches('W/"t"', '"t"')
    assert etag_matches('W/"t"', '"t"', weakly=True)


def test_dates() -> None:
    assert format_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_date(10**15) == format_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
