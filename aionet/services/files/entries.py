"""One line of a listing: what it says, written and read.

::

    file 11;mtime=1763827980.123456789;tag=c0e8b5e5d40c4d5bb0b4e1b0 my file.txt
    dir 0;mtime=1763827980.000000000 music

The kind, the size in bytes, facts, and to the end of the line the name. Facts that a reader does not know are
passed over, so that later versions may add some.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

__all__ = [
    "CONTROL",
    "Entry",
    "Version",
    "format_entries",
    "format_time",
    "is_same_version",
    "parse_entries",
    "parse_time",
    "tag_of",
]

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters of Unicode's category Cc: C0, DEL and C1. No name with one of them is served, listed or believed."""

_NANOSECONDS: Final = 1_000_000_000
_TIME: Final = re.compile(r"(-?)(\d{1,19})(?:\.(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or directory of a listing.

    Attributes:
        name: Its name within the directory listed; one component.
        size: Bytes; 0 for a directory.
        mtime_ns: When its content was last changed, nanoseconds since the epoch; 0 if unknown.
        is_directory: Whether it can be listed, instead of fetched.
        tag: Of a file: which version of it this is; ``""`` if unknown.
    """

    name: str
    size: int
    mtime_ns: int
    is_directory: bool = False
    tag: str = ""


class Version(Protocol):
    """What tells one version of a file from another, of :class:`os.stat_result` and of what holds a part of it."""

    @property
    def st_ino(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


def is_same_version(one: Version, other: Version) -> bool:
    """Whether nothing was written to an open file between two looks at it."""
    return (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (other.st_size, other.st_mtime_ns, other.st_ctime_ns)


def tag_of(found: Version) -> str:
    """What names this version of this file: another as soon as it is written to, or another file has its place.

    The system's clock decides how soon: two changes in one tick (4 ms; none since Linux 6.13) count as one.
    """
    version = b"%d %d %d %d" % (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return blake2b(version, digest_size=12).hexdigest()


def format_time(nanoseconds: int) -> str:
    """Nanoseconds as decimal seconds with nine places: nothing is rounded away."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, rest = divmod(abs(nanoseconds), _NANOSECONDS)
    return f"{sign}{seconds}.{rest:09d}"


def parse_time(text: str) -> int:
    """Decimal seconds as nanoseconds.

    Raises:
        ValueError: it is no decimal number.
    """
    match = _TIME.fullmatch(text)
    if match is None or not text.isascii():
        raise ValueError(f"not a time: {text[:40]!a}")
    sign, seconds, fraction = match.groups()
    value = int(seconds) * _NANOSECONDS + int((fraction or "0").ljust(9, "0"))
    return -value if sign else value


def format_entries(entries: Iterable[Entry]) -> bytes:
    """The lines of a listing, each ended by LF."""
    return "".join(map(_format_entry, entries)).encode()


def _format_entry(entry: Entry) -> str:
    kind, tag = ("dir", "") if entry.is_directory else ("file", f";tag={entry.tag}" if entry.tag else "")
    return f"{kind} {entry.size};mtime={format_time(entry.mtime_ns)}{tag} {entry.name}\n"


def parse_entries(body: bytes) -> list[Entry]:
    """The entries of a listing. The server is not trusted: a name is one plain component, or nothing is returned.

    Raises:
        ValueError: a line that is no entry, or a name that leads anywhere but into the directory listed.
    """
    text = body.decode()  # UnicodeDecodeError is a ValueError
    if text and not text.endswith("\n"):
        raise ValueError("the listing does not end with a line feed")
    return [entry for line in text.split("\n")[:-1] if (entry := _parse_entry(line)) is not None]


def _parse_entry(line: str) -> Entry | None:
    kind, first, rest = line.partition(" ")
    facts, second, name = rest.partition(" ")
    size, *pairs = facts.split(";")
    if not first or not second or not size.isascii() or not size.isdigit() or len(size) > 19:
        raise ValueError(f"not an entry: {line[:100]!a}")
    if not name or name in (".", "..") or "/" in name or CONTROL.search(name):
        raise ValueError(f"not a name of an entry: {name[:100]!a}")
    if kind not in ("file", "dir"):
        return None  # a kind that only a newer server knows: the line is read past
    known = dict(pair.partition("=")[::2] for pair in pairs)
    return Entry(name, int(size), parse_time(known.get("mtime", "0")), kind == "dir", known.get("tag", ""))
