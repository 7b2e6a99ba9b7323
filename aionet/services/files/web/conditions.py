"""Conditional and range requests, as RFC 9110 has them: which answer a request for a file gets. Pure.

The order is that of 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since; then Range,
if there is no If-Range or it holds. One range is answered as such; a request for several gets the whole file, as 14.2
allows: nobody who downloads asks for more than one, and a hundred of them would be a hundred answers (CVE-2011-3192).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Final

__all__ = ["Answer", "choose", "etag_matches", "format_date", "is_unconditional", "may_write"]

_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t,]*(?:(\d{1,99})-(\d{0,99})|-(\d{1,99}))[ \t,]*", re.ASCII | re.IGNORECASE)
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_WAIT: Final = 2
"""Seconds after which a date is a strong validator: nothing more can change within the same second (8.8.2.2)."""


@dataclass(slots=True)
class Answer:
    """What a request gets.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        offset: Where in the file the body begins, bytes.
        count: Bytes of the body.
    """

    status: int
    offset: int
    count: int


def choose(fields: Mapping[str, str], etag: str, mtime: int, size: int, now: float, *, ranges: bool = True) -> Answer:
    """The answer to a GET or HEAD for an existing file.

    Args:
        fields: Of the request, by name in lower case.
        etag: Of the file as it is, with its quotes; strong.
        mtime: When it was last changed, whole seconds since the epoch.
        size: Bytes.
        now: Seconds since the epoch.
        ranges: ``False`` for HEAD, where a Range has no meaning (14.2).
    """
    if is_unconditional(fields):
        return Answer(200, 0, size)
    if not may_write(fields, etag, mtime):
        return Answer(412, 0, 0)
    if_none_match = fields.get("if-none-match")
    if if_none_match is not None:
        if etag_matches(if_none_match, etag, weakly=True):
            return Answer(304, 0, 0)
    elif (since := _parse_date(fields.get("if-modified-since"))) is not None and mtime <= since:
        return Answer(304, 0, 0)
    wanted = fields.get("range")
    if ranges and wanted is not None and _same_version(fields.get("if-range"), etag, mtime, now):
        return _choose_range(wanted, size)
    return Answer(200, 0, size)


_CONDITIONS: Final = frozenset(
    {"if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "range", "if-range"}
)


def is_unconditional(fields: Mapping[str, str]) -> bool:
    """Whether a request, by its fields, wants the whole file as it is."""
    return _CONDITIONS.isdisjoint(fields)


def may_write(fields: Mapping[str, str], etag: str | None, mtime: int = 0) -> bool:
    """Whether If-Match, or else If-Unmodified-Since, lets the request go on; ``etag=None``: there is no file."""
    if_match = fields.get("if-match")
    if if_match is not None:
        return etag is not None and etag_matches(if_match, etag)
    limit = _parse_date(fields.get("if-unmodified-since"))
    return limit is None or (etag is not None and mtime <= limit)


def etag_matches(listed: str, etag: str, *, weakly: bool = False) -> bool:
    """Whether ``etag``, which is strong, is in a list of entity tags, or the list is ``*`` (8.8.3.2)."""
    if listed.strip() == "*":
        return True
    found = _ETAG.findall(listed)
    return etag in found or (weakly and f"W/{etag}" in found)


def _same_version(if_range: str | None, etag: str, mtime: int, now: float) -> bool:
    if if_range is None:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range == etag
    return _parse_date(if_range) == mtime and now - mtime >= _WAIT


def _choose_range(text: str, size: int) -> Answer:
    """A Range that is no single range of bytes is passed over; one that lies behind the end is 416."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return Answer(200, 0, size)
    first, last, suffix = match.groups()
    if suffix is not None:
        offset, end = max(size - int(suffix), 0), size
    else:
        offset, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < offset:
            return Answer(200, 0, size)  # not a range at all
    if offset >= size or offset >= end:
        return Answer(416, 0, 0)
    return Answer(206, offset, end - offset)


@lru_cache(maxsize=1024)
def format_date(seconds: int) -> str:
    """An IMF-fixdate; outside the years that it can say, the epoch."""
    try:
        return formatdate(seconds, usegmt=True)
    except (ValueError, OverflowError, OSError):
        return formatdate(0, usegmt=True)


def _parse_date(text: str | None) -> int | None:
    """Whole seconds since the epoch; ``None`` of what is no date in GMT, which is passed over (13.1.3)."""
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
