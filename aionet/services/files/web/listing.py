"""What a directory's page, or its JSON, shows: read, sorted and cut into pages. Disk work: for a thread.

Memory is bounded by what is shown: of a directory of any size only the entries up to the end of the page are kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..entries import Entry
from ..paths import Directory, Scan

__all__ = ["MAX_PAGES", "PER_PAGE", "Listing", "View", "read_listing", "read_view"]

PER_PAGE: Final = 10_000
"""Entries of a page: some 3 MB, which a browser shows in well under a second."""

MAX_PAGES: Final = 20
"""Pages that are served; whoever has more than 200,000 entries in one directory asks ``LIST`` for them."""

_KEYS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "name": lambda entry: (not entry.is_directory, entry.name.casefold(), entry.name),
    "size": lambda entry: (entry.size, entry.name),
    "time": lambda entry: (entry.mtime_ns, entry.name),
}


@dataclass(frozen=True, slots=True)
class View:
    """How a directory is to be shown.

    Attributes:
        sort: ``"name"`` (directories first), ``"size"`` or ``"time"``.
        descending: The largest first.
        page: From 1 on.
    """

    sort: str = "name"
    descending: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a directory.

    Attributes:
        name: Of the directory; ``""`` is the one served.
        entries: Of this page, sorted.
        count: Entries of the directory, all pages together.
        size: Bytes of all its files.
        left_out: Entries that cannot be asked for.
        view: What was asked for.
    """

    name: str
    entries: list[Entry]
    count: int
    size: int
    left_out: int
    view: View

    @property
    def pages(self) -> int:
        """How many pages there are to be asked for."""
        return min(max(-(-self.count // PER_PAGE), 1), MAX_PAGES)


def read_view(query: Mapping[str, str]) -> View:
    """The view that a query asks for.

    Raises:
        ValueError: there is no such order, or page.
    """
    sort, order, page = query.get("sort", "name"), query.get("order", "asc"), query.get("page", "1")
    if sort not in _KEYS or order not in ("asc", "desc"):
        raise ValueError(f"sort is one of {', '.join(_KEYS)}, and order asc or desc")
    if not page.isascii() or not page.isdigit() or len(page) > 3 or not 1 <= int(page) <= MAX_PAGES:
        raise ValueError(f"page is a number from 1 to {MAX_PAGES}")
    return View(sort, order == "desc", int(page))


def read_listing(directory: Directory, name: str, view: View) -> Listing:
    """In a thread: the page asked for.

    Raises:
        TransferError: as :meth:`Directory.scan`.
    """
    with directory.scan(name) as scan:
        counted = _Counted(scan)
        end = view.page * PER_PAGE
        choose = heapq.nlargest if view.descending else heapq.nsmallest
        entries = choose(end, counted, key=_KEYS[view.sort])[end - PER_PAGE :]
        return Listing(name, entries, counted.count, counted.size, scan.left_out, view)


class _Counted(Iterator[Entry]):
    """Entries on their way by, counted."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self.count = self.size = 0

    def __next__(self) -> Entry:
        entry = next(self._scan)
        self.count += 1
        self.size += entry.size
        return entry
