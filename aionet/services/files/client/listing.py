"""What is on the server: one directory, a whole tree, what a pattern matches."""

from __future__ import annotations

import fnmatch
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from anyio import to_thread

from ..entries import Entry, parse_entries
from ..errors import Code, NotFound, TransferError, make_error, shown
from ..wire import Request
from .channel import Channel, number_of, time_of
from .concurrently import Pipeline
from .remote import Remote

__all__ = [
    "MAX_ENTRIES",
    "Found",
    "Listing",
    "Tree",
    "find",
    "find_exactly",
    "has_just_a_directory",
    "has_wildcards",
    "list_many",
    "list_one",
    "walk",
]

MAX_ENTRIES: Final = 1_000_000
"""Entries of one directory or tree that are kept: about 300 MB. A hostile server could go on for ever."""

_AHEAD: Final = 32
"""Directories asked for and not answered."""

_WILDCARDS: Final = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a directory of the server.

    Attributes:
        entries: By name.
        left_out: How many more there are that cannot be asked for (special files, names that are no text).
    """

    entries: tuple[Entry, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Found:
    """Something on the server.

    Attributes:
        name: Its whole name.
        entry: What the server says of it.
    """

    name: str
    entry: Entry


async def list_one(channel: Channel) -> Listing:
    """The answer to a ``LIST`` that has been posted.

    Raises:
        TransferError: the server refused, or what it says makes no sense.
    """
    entries: list[Entry] = []
    left_out = "0"
    async for reply, body in channel.parts():
        try:
            entries += await to_thread.run_sync(parse_entries, body)  # ten milliseconds for 1000 of them
        except ValueError as exc:
            raise make_error(Code.BAD_REPLY, f"the server's listing makes no sense: {exc}") from exc
        if len(entries) > MAX_ENTRIES:
            raise make_error(Code.TOO_LARGE, f"the listing has more than {MAX_ENTRIES} entries")
        left_out = reply.facts.get("left-out", "0")
    entries.sort(key=lambda entry: entry.name)
    return Listing(tuple(entries), int(left_out) if left_out.isdigit() and left_out.isascii() else 0)


async def list_many(remote: Remote, names: Iterable[str]) -> dict[str, Listing]:
    """What is in these directories; those that cannot be listed are left out.

    Raises:
        ConnectError, TransferError: the server is gone for good, or what it says makes no sense.
    """
    listings: dict[str, Listing] = {}

    async def post(channel: Channel, name: str) -> None:
        channel.post(Request("LIST", name))

    async def take(channel: Channel, name: str) -> None:
        listings[name] = await list_one(channel)

    def refused(name: str, exc: TransferError) -> None:
        return

    await Pipeline(remote, post, take, refused, ahead=_AHEAD).run(deque(names))
    return listings


@dataclass(slots=True)
class Tree:
    """Everything below some directories.

    Attributes:
        found: Files and directories; each directory before what is in it.
        refused: Directories that could not be listed, and why.
        left_out: As of :class:`Listing`, of all of them together.
    """

    found: list[Found]
    refused: list[tuple[str, TransferError]]
    left_out: int = 0


async def walk(remote: Remote, names: list[str], *, pattern: list[str] | None = None) -> Tree:
    """Everything below these directories, or what of it matches a pattern.

    Args:
        remote: The server.
        names: Directories; ``""`` is the one served.
        pattern: What matches each component of a name below them, in turn; ``**`` matches any number of directories.

    Raises:
        ConnectError, TransferError: the server is gone for good, or what it says makes no sense.
    """
    tree = Tree([], [])
    waiting: deque[tuple[str, tuple[str, ...] | None]] = deque(
        (name, None if pattern is None else tuple(pattern)) for name in names
    )
    seen = 0

    async def post(channel: Channel, key: tuple[str, tuple[str, ...] | None]) -> None:
        channel.post(Request("LIST", key[0]))

    async def take(channel: Channel, key: tuple[str, tuple[str, ...] | None]) -> None:
        nonlocal seen
        above, wanted = key
        listing = await list_one(channel)
        seen += len(listing.entries)
        if seen > MAX_ENTRIES:
            raise make_error(Code.TOO_LARGE, f"the tree has more than {MAX_ENTRIES} entries")
        if wanted is None:
            tree.left_out += listing.left_out
        for entry in listing.entries:
            name = f"{above}/{entry.name}" if above else entry.name
            matches, deeper = (True, [None]) if wanted is None else _match(entry, wanted)
            if matches:
                tree.found.append(Found(name, entry))
            if entry.is_directory:
                waiting.extend((name, rest) for rest in deeper)

    def refused(key: tuple[str, tuple[str, ...] | None], exc: TransferError) -> None:
        if key[1] is None:
            tree.refused.append((key[0], exc))

    await Pipeline(remote, post, take, refused, ahead=_AHEAD).run(waiting)
    return tree


def _match(entry: Entry, wanted: tuple[str, ...]) -> tuple[bool, list[tuple[str, ...] | None]]:
    """Whether an entry is what the whole pattern means, and which patterns are left for what is below it."""
    first, *rest = wanted
    if first == "**":
        matches, deeper = _match(entry, tuple(rest)) if rest else (True, [])
        hidden = entry.name.startswith(".")
        return matches and not hidden, deeper if hidden else [*deeper, wanted]
    if not fnmatch.fnmatchcase(entry.name, first) or (entry.name.startswith(".") and not first.startswith(".")):
        return False, []
    if not rest:
        return True, []
    # "a/**" means everything below a, and not a itself; "**/b" also the b right here.
    return False, [tuple(rest)]


def has_wildcards(name: str) -> bool:
    """Whether it may be meant as a pattern."""
    return _WILDCARDS.search(name) is not None


def has_just_a_directory(found: list[Found], name: str) -> bool:
    """Whether what was found is the directory of that very name, rather than what a pattern matches."""
    return len(found) == 1 and found[0].name == name and found[0].entry.is_directory


async def find_exactly(remote: Remote, name: str) -> Found:
    """The file or directory of this name; ``""`` is the one served.

    Raises:
        ConnectError, TransferError: as :meth:`Remote.call`.
    """
    reply = await remote.ask(Request("STAT", name))
    kind, size = reply.facts.get("kind"), number_of(reply, "size")
    if kind not in ("file", "dir"):
        raise make_error(Code.BAD_REPLY, f"the server says that {shown(name)} is neither a file nor a directory")
    entry = Entry(name.rpartition("/")[2], size, time_of(reply), kind == "dir", reply.facts.get("tag", ""))
    return Found(name, entry)


async def find(remote: Remote, name: str) -> list[Found]:
    """What a name means: the file or directory of that very name, or else what it matches as a pattern.

    Raises:
        NotFound: nothing.
        ConnectError, TransferError: as :meth:`Remote.call`.
    """
    try:
        return [await find_exactly(remote, name)]
    except NotFound:
        if not has_wildcards(name):
            raise
    # Down to the first wildcard nothing has to be listed.
    components = name.split("/")
    plain = next(number for number, component in enumerate(components) if has_wildcards(component))
    above = "/".join(components[:plain])
    tree = await walk(remote, [above], pattern=components[plain:])
    unique = {found.name: found for found in tree.found}
    if not unique:
        raise NotFound(f"nothing on the server matches {shown(name)}")
    return sorted(unique.values(), key=lambda found: found.name)
