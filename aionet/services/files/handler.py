"""The server's side of the file service: a directory, read-only, over the grammar of ``wire.py``.

One request at a time for each connection, in order. All disk work is done in threads; what is being read waits in at
most two blocks for each download: one in the transport, one on its way there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from aionet import Connection, Limits, StreamHandler, Timeouts
from aionet.errors import ProtocolError
from aionet.routing import regex

from .disk import BLOCK, THREADS, Disk, Lease
from .entries import format_entries, format_time
from .errors import Code, TransferError, make_error, shown
from .paths import Directory, Scan
from .wire import VERSION, ErrorReply, Message, Reply, Request, RequestCodec, Unreadable, explain

__all__ = ["ENTRIES_PER_PART", "Files"]

ENTRIES_PER_PART: Final = 1000
"""Entries of a listing that are read, sorted and sent together: some ten milliseconds of a thread, under 100 KiB."""

_COMMANDS: Final[Mapping[str, str]] = {
    "HELLO": "HELLO",
    "LIST": "LIST [name]",
    "GET": "GET name",
    "QUIT": "QUIT",
}

_MATCH: Final = regex(rb"(?:%b)[ ;\r\n]" % "|".join(_COMMANDS).encode()) & ~regex(rb"[A-Z]+ (?:/|https?://)")
"""A verb in capitals, for "hello" is said to others too; and no request of HTTP: no name begins with a slash, or has
two in a row."""


class Files(StreamHandler[Message]):
    """Serve a directory: ``HELLO``, ``LIST [name]``, ``GET name``, ``QUIT``.

    While the server drains, a download that runs goes on until the drain deadline; nothing new is taken.

    Args:
        directory: Its path, or a :class:`~aionet.services.files.paths.Directory` (which stays the caller's to close).
        hidden: Whether names that begin with a dot are served; not for a ``Directory``, which has its own setting.
        threads: How many disk operations may run at once.

    Raises:
        ConfigError: the directory is absent, no directory, or may not be read.
    """

    codec = RequestCodec()
    match = _MATCH

    limits = Limits(
        # A download holds two descriptors and up to two blocks (512 KiB): so 512 MiB and 2,000 descriptors at most.
        max_connections=1_000,
        # One block waits in the transport while the next is read: the disk and the network work at the same time.
        high_water=BLOCK,
        low_water=BLOCK // 4,
    )

    timeouts = Timeouts(
        first_message=60.0,  # a person who connects by hand types the first line
        message=10.0,  # ... but a line leaves a terminal whole; only the trickling of bytes takes longer
        idle=300.0,  # between two requests; while a file is being sent there are bytes
        send=60.0,  # a laptop that changes its network, a disk that spins up under the receiver
    )

    def __init__(
        self, directory: str | os.PathLike[str] | Directory, *, hidden: bool = False, threads: int = THREADS
    ) -> None:
        self.directory = directory if isinstance(directory, Directory) else Directory(directory, hidden=hidden)
        self._disk = Disk(threads)

    async def on_message(self, conn: Connection[Message], message: Message) -> None:
        """Answer one request. A body is read past: no command of this version takes one."""
        if isinstance(message, bytes):
            return
        if isinstance(message, Request):
            await self._answer(conn, message)
        elif isinstance(message, Unreadable):
            await conn.send(ErrorReply(Code.BAD_REQUEST, message.reason))

    def on_fault(self, conn: Connection[Message], fault: ProtocolError) -> None:
        """Say why, before the core closes."""
        conn.write(explain(fault))

    async def _answer(self, conn: Connection[Message], request: Request) -> None:
        wrong = _why_not(request)
        if wrong is not None:
            await conn.send(ErrorReply(Code.BAD_REQUEST, wrong))
        elif request.verb == "GET":
            await self._get(conn, request.name)
        elif request.verb == "LIST":
            await self._list(conn, request.name)
        elif request.verb == "HELLO":
            body = "".join(f"{line}\n" for line in _COMMANDS.values()).encode()
            conn.write(Reply(len(body), {"protocol": "aionet-files", "version": VERSION}))
            await conn.send(body)
        else:  # QUIT
            conn.write(Reply(0))
            conn.close()

    async def _get(self, conn: Connection[Message], name: str) -> None:
        lease = Lease(os.close)
        try:
            try:
                info, block = await self._disk.run(_open_and_read, self.directory, name, lease)
            except TransferError as exc:
                await conn.send(_refusal(exc))
                return
            conn.write(Reply(info.st_size, {"mtime": format_time(info.st_mtime_ns)}))
            sent = 0
            while block:
                await conn.send(block)
                sent += len(block)
                if sent == info.st_size:
                    return
                # Only up to the size announced: what was appended since is not part of this answer.
                block = await self._disk.run(_read, lease, name, sent, min(BLOCK, info.st_size - sent))
            if sent < info.st_size:
                conn.close()  # it shrank: the client sees too few bytes, never made-up ones
        finally:
            lease.release()

    async def _list(self, conn: Connection[Message], name: str) -> None:
        lease = Lease(Scan.close)
        try:
            more = True
            while more:
                try:
                    count, body, left_out = await self._disk.run(_read_part, self.directory, name, lease)
                except TransferError as exc:
                    await conn.send(_refusal(exc))
                    return
                more = count == ENTRIES_PER_PART
                facts = {"entries": str(count)} | ({"more": "1"} if more else {"left-out": str(left_out)})
                conn.write(Reply(len(body), facts))
                await conn.send(body)  # also if it is empty: a header at least has been written
        finally:
            lease.release()


def _why_not(request: Request) -> str | None:
    usage = _COMMANDS.get(request.verb)
    if usage is None:
        return f"there is no command {request.verb}; known: {', '.join(_COMMANDS)}"
    if request.options:  # an option could change what is meant: refused, never passed over
        return f"{request.verb} has no option {min(request.options)}"
    if request.size:
        return f"{request.verb} takes no body"
    if request.name and " " not in usage:
        return f"{request.verb} takes no name"
    return None


def _refusal(exc: TransferError) -> ErrorReply:
    return ErrorReply(exc.code, exc.message)


def _open_and_read(directory: Directory, name: str, lease: Lease[int]) -> tuple[os.stat_result, bytes]:
    """In a thread: one hop for a small file, which is open for no longer than that."""
    descriptor, info = directory.open_file(name)
    lease.put(descriptor)
    block = _read(lease, name, 0, min(BLOCK, info.st_size)) if info.st_size else b""
    if len(block) < min(1, info.st_size):
        raise make_error(Code.CHANGED, f"{shown(name)} became smaller while it was read")
    if len(block) == info.st_size:
        lease.release()
    return info, block


def _read(lease: Lease[int], name: str, offset: int, size: int) -> bytes:
    with lease.use() as descriptor:
        try:
            return os.pread(descriptor, size, offset)
        except OSError as exc:
            raise make_error(Code.IO_ERROR, f"{shown(name)} could not be read: {exc.strerror}") from exc


def _read_part(directory: Directory, name: str, lease: Lease[Scan]) -> tuple[int, bytes, int]:
    """In a thread: the next entries, how many of them, and how many were left out up to here."""
    if not lease.filled:
        lease.put(directory.scan(name))
    with lease.use() as scan:
        entries = scan.read(ENTRIES_PER_PART)
        entries.sort(key=lambda entry: entry.name)
        return len(entries), format_entries(entries), scan.left_out
