"""The commands that read: ``STAT``, ``LIST``, ``GET``, ``HASH``. Each blocks, and is a generator of what goes out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .commands import Options
from .entries import Entry, Version, format_entries, format_time, is_same_version, tag_of
from .errors import Changed, Code, from_os_error, make_error, shown
from .hashing import SHA256
from .manifest import CHUNK, Hashes
from .paths import Directory
from .wire import Reply

__all__ = [
    "ENTRIES_PER_PART",
    "SMALL",
    "Answer",
    "Answers",
    "Sending",
    "facts_of",
    "get_facts",
    "get_file",
    "get_listing",
    "get_manifest",
    "get_small_file_at_once",
]

ENTRIES_PER_PART: Final = 1000
"""Entries of a listing that are read, sorted and sent together: some ten milliseconds of a thread, under 150 KiB."""

SMALL: Final = 64 * 1024
"""Bytes that are read, and sent with their header: to read more would cost more than ``send_file`` does."""


@dataclass(frozen=True, slots=True)
class Sending:
    """Bytes of a file are to be sent now, by the event loop.

    Attributes:
        file: Its descriptor, open until the generator goes on.
        offset: Where to begin.
        count: How many.
        name: What the client calls it.
    """

    file: int
    offset: int
    count: int
    name: str


Answer = Reply | bytes | Sending
Answers = Iterator[Answer]


def facts_of(found: os.stat_result) -> dict[str, str]:
    """What is told of every file, or directory."""
    facts = {"mtime": format_time(found.st_mtime_ns)}
    if stat.S_ISREG(found.st_mode):
        facts["tag"] = tag_of(found)
    return facts


def get_facts(directory: Directory, name: str) -> Reply:
    """``STAT [name]``.

    Raises:
        TransferError: there is nothing of that name that could be asked for.
    """
    found = directory.stat(name)
    is_directory = stat.S_ISDIR(found.st_mode)
    if not is_directory and not stat.S_ISREG(found.st_mode):
        raise make_error(Code.NOT_A_FILE, f"{shown(name)} is neither a file nor a directory")
    size = 0 if is_directory else found.st_size
    return Reply(0, {"kind": "dir" if is_directory else "file", "size": str(size)} | facts_of(found))


def get_listing(directory: Directory, name: str, options: Options) -> Answers:
    """``LIST [name]``, all of it in parts; or one page of it.

    Raises:
        TransferError: there is no such directory, or it cannot be read.
    """
    with directory.scan(name) as scan:
        if options:
            count = min(options.get("limit", ENTRIES_PER_PART), ENTRIES_PER_PART)
            entries, left = scan.page(options.get("after", ""), count)
            yield from _part(entries, {"left": str(left)})
            return
        more = True
        while more:
            entries = scan.read(ENTRIES_PER_PART)
            more = len(entries) == ENTRIES_PER_PART
            entries.sort(key=lambda entry: entry.name)
            yield from _part(entries, {"more": "1"} if more else {"left-out": str(scan.left_out)})


def _part(entries: list[Entry], facts: dict[str, str]) -> Answers:
    body = format_entries(entries)
    yield Reply(len(body), {"entries": str(len(entries))} | facts)
    yield body


def get_file(directory: Directory, name: str, options: Options) -> Answers:
    """``GET name``: the bytes of a file, or of a part of it.

    A file that shrinks meanwhile ends the answer early: whoever sees that closes.

    Raises:
        TransferError: there is no such file, or not that part, or not that version.
    """
    descriptor, found = directory.open_file(name)
    try:
        reply = _reply_of(name, found, options)
        offset = options.get("offset", 0)
        if reply.size > SMALL:
            yield reply
            yield Sending(descriptor, offset, reply.size, name)
        else:
            content = _read(descriptor, name, offset, reply.size)
            _check_unchanged(descriptor, name, found)
            yield _proven(reply.facts, found, content, options)
            yield content
    finally:
        os.close(descriptor)


def get_small_file_at_once(directory: Directory, name: str, options: Options) -> tuple[Reply, bytes] | None:
    """As :func:`get_file`, for a small file that is in memory: it never waits for a disk, and may run on an event loop.

    ``None`` where that cannot be promised, and where :func:`get_file` would raise: ask that, in a thread.
    """
    offset = options.get("offset", 0)
    file = directory.read_cached(name, SMALL, offset=offset, length=options.get("length", -1))
    if file is None:
        return None
    facts = _facts_of_part(file, offset)
    if options.get("tag", facts["tag"]) != facts["tag"]:
        return None
    return _proven(facts, file, file.content, options), file.content


def _reply_of(name: str, found: os.stat_result, options: Options) -> Reply:
    size, offset = found.st_size, options.get("offset", 0)
    facts = _facts_of_part(found, offset)
    if options.get("tag", facts["tag"]) != facts["tag"]:
        raise Changed(f"{shown(name)} is another version now: {facts['tag']}")
    _check_offset(name, offset, size)
    return Reply(min(options.get("length", size), size - offset), facts)


def _facts_of_part(file: Version, offset: int) -> dict[str, str]:
    return {
        "offset": str(offset),
        "total": str(file.st_size),
        "mtime": format_time(file.st_mtime_ns),
        "tag": tag_of(file),
    }


def _proven(facts: Mapping[str, str], file: Version, content: bytes, options: Options) -> Reply:
    """The reply that these bytes follow, which were read from that version; of a whole file with its digest."""
    digest = {"digest": options.get("hash", SHA256).hexdigest(content)} if len(content) == file.st_size else {}
    return Reply(len(content), {**facts, **digest, "checked": "1"})


def _check_unchanged(descriptor: int, name: str, found: os.stat_result) -> None:
    if not is_same_version(os.fstat(descriptor), found):
        raise Changed(f"{shown(name)} was changed while it was read")


def get_manifest(hashes: Hashes, descriptor: int, name: str, options: Options, facts: dict[str, str]) -> Answers:
    """``HASH name``: the digests of a file, as they are ready.

    Raises:
        TransferError: there is not that part, or it is changed or cannot be read meanwhile.
    """
    offset, size = options.get("offset", 0), os.fstat(descriptor).st_size
    _check_offset(name, offset, size)
    if offset % CHUNK:
        raise make_error(Code.BAD_RANGE, f"offset {offset} begins no chunk: they have {CHUNK} bytes")
    algorithm, length, chunks = options.get("hash", SHA256), options.get("length"), options.get("chunks", True)
    for part in hashes.manifest(descriptor, name, algorithm, offset=offset, length=length, chunks=chunks):
        body = b"".join(b"%s\n" % digest.hex().encode() for digest in part.digests)
        last = {"digest": part.whole} if part.whole else {}
        yield Reply(
            len(body), {"offset": str(part.offset), "total": str(size)} | facts | (last if part.last else {"more": "1"})
        )
        yield body


def _check_offset(name: str, offset: int, size: int) -> None:
    if offset > size:
        raise make_error(Code.BAD_RANGE, f"offset {offset} is behind the end of {shown(name)}, which has {size} bytes")


def _read(descriptor: int, name: str, offset: int, count: int) -> bytes:
    try:
        content = os.pread(descriptor, count, offset) if count else b""
    except OSError as exc:
        raise from_os_error(exc, name) from None
    if len(content) < count:
        raise Changed(f"{shown(name)} became smaller while it was read")
    return content
