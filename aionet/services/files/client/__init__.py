"""The client's side of the file service: fetch a file, list a directory.

A file that stands under its final name is whole: it is written under another name beside it, counted, brought to the
disk (fsync), and only then renamed; what is broken off is removed. Where it lands is for the caller to say, never for
the server. All disk work, hashing among it, is done in threads.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from aionet import Connection, Endpoint, connect
from aionet.errors import ConfigError, EncodeError, IncompleteFrame, ProtocolError

from .disk import Disk, Lease
from .entries import Entry, parse_entries, parse_time
from .errors import Code, Interrupted, TransferError, make_error
from .part import PartFile, choose_target
from .wire import ErrorReply, Message, Reply, ReplyCodec, Request

__all__ = ["Fetched", "Listing", "Progress", "fetch", "list_directory"]

Source = Connection[Message] | Endpoint | str
"""A connection with a :class:`~aionet.services.files.wire.ReplyCodec`, or where to connect to."""

Progress = Callable[[int, int], object]
"""``progress(received, total)``, bytes: once at the start, and after each chunk. Called on the event loop."""

_BATCH: Final = 1024 * 1024
"""Bytes that are gathered before a thread writes and hashes them: a few milliseconds of work for one hop."""

_MAX_PART: Final = 16 * 1024 * 1024
"""Bytes of one part of a listing that are believed. Our server sends 1000 entries, of at most 300 bytes each."""

_MAX_ENTRIES: Final = 1_000_000
"""Entries of one listing that are kept: about 200 MB. A hostile server could go on for ever."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that arrived.

    Attributes:
        path: Where it stands now.
        size: Bytes.
        sha256: Of what was received and written, in hexadecimal.
        mtime_ns: When the server's file was last changed, nanoseconds since the epoch; 0 if it did not say.
    """

    path: Path
    size: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a directory of the server.

    Attributes:
        entries: By name.
        left_out: How many more there are that cannot be asked for (special files, names that are no text).
    """

    entries: tuple[Entry, ...]
    left_out: int


async def fetch(
    source: Source,
    name: str,
    destination: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    connect_timeout: float = 10.0,
    ssl_context: Any = None,
) -> Fetched:
    """Fetch one file.

    Args:
        source: Where from. A connection is used for this one request, and goes on living if it succeeds or if the
            server refuses; when a transfer breaks off, it is aborted, as the rest of the file would follow.
        name: The server's name for it, such as ``"music/song.ogg"``.
        destination: A file, which is replaced if it is there, or a directory. ``None``: the last component of
            ``name``, in the present directory.
        progress: Told how far it is.
        connect_timeout: Seconds to connect.
        ssl_context: An ``ssl.SSLContext`` for a ``tls://`` endpoint, instead of one made from its options.

    Raises:
        TransferError: with a code; ``remote`` if the server refused. Nothing is left of a broken transfer.
        ConnectError: the server could not be reached.
        ConfigError: a connection that does not speak this protocol.
        EncodeError: a name that no request can carry, such as one with a line feed.
    """
    disk = Disk(threads=2)  # one works; the other cleans up, should that one hang
    target = await disk.run(choose_target, name, destination)
    lease: Lease[PartFile] = Lease(PartFile.close)
    try:
        await disk.run(_create, target, lease)
        async with _opened(source, connect_timeout, ssl_context) as conn:
            reply = await _ask(conn, Request("GET", name))
            mtime_ns = _time_of(reply)
            await _receive_file(conn, reply.size, disk, lease, progress)
        digest = await disk.run(_finish, lease)
        return Fetched(target, reply.size, digest, mtime_ns)
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await disk.run(lease.release)
        finally:
            lease.release()  # nothing is left to do, unless a second cancellation came before the thread


async def list_directory(
    source: Source, name: str = "", *, connect_timeout: float = 10.0, ssl_context: Any = None
) -> Listing:
    """List a directory of the server; ``""`` is the one served.

    Raises:
        TransferError, ConnectError, ConfigError, EncodeError: as :func:`fetch`.
    """
    disk = Disk(threads=1)
    entries: list[Entry] = []
    async with _opened(source, connect_timeout, ssl_context) as conn:
        reply = await _ask(conn, Request("LIST", name))
        while True:
            body = await _receive_body(conn, reply.size)
            try:
                entries += await disk.run(parse_entries, body)
            except ValueError as exc:
                raise make_error(Code.BAD_REPLY, f"the server's listing makes no sense: {exc}") from exc
            if not reply.more:
                break
            if len(entries) > _MAX_ENTRIES:
                raise make_error(Code.TOO_LARGE, f"the listing has more than {_MAX_ENTRIES} entries")
            reply = await _reply(conn)
    left_out = reply.facts.get("left-out", "0")
    entries.sort(key=lambda entry: entry.name)
    return Listing(tuple(entries), int(left_out) if left_out.isdigit() else 0)


@asynccontextmanager
async def _opened(source: Source, connect_timeout: float, ssl_context: Any) -> AsyncIterator[Connection[Message]]:
    """The caller's connection, or a new one."""
    if isinstance(source, Connection):
        if not isinstance(source.codec, ReplyCodec):
            raise ConfigError(
                "this connection does not speak the file protocol", hint="connect(..., codec=ReplyCodec())"
            )
        with _aborted_if_broken_off(source):
            yield source
    else:
        async with connect(source, codec=ReplyCodec(), timeout=connect_timeout, ssl_context=ssl_context) as conn:
            with _aborted_if_broken_off(conn):
                yield conn


@contextmanager
def _aborted_if_broken_off(conn: Connection[Message]) -> Iterator[None]:
    """In the middle of an answer nothing else can be asked, and waiting for the rest of it helps nobody."""
    try:
        yield
    except EncodeError:
        raise  # nothing has been sent
    except BaseException as exc:
        if not isinstance(exc, TransferError) or not exc.remote:
            conn.abort()
        raise


async def _ask(conn: Connection[Message], request: Request) -> Reply:
    try:
        await conn.send(request)
    except anyio.BrokenResourceError as exc:
        raise _interrupted(exc) from exc
    return await _reply(conn)


async def _reply(conn: Connection[Message]) -> Reply:
    message = await _receive(conn)
    if isinstance(message, ErrorReply):
        raise make_error(message.code, _plain(message), remote=True)
    if not isinstance(message, Reply):
        raise make_error(Code.BAD_REPLY, "the server sent a body that no reply announced")
    return message


def _plain(message: ErrorReply) -> str:
    """The server's words are shown on terminals: escaped where they are not plain text."""
    words = message.reason or message.code
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in words[:500])


def _time_of(reply: Reply) -> int:
    try:
        return parse_time(reply.facts.get("mtime", "0"))
    except ValueError:
        return 0


async def _receive(conn: Connection[Message]) -> Message:
    try:
        return await conn.receive()
    except anyio.EndOfStream as exc:
        raise Interrupted(
            "the server closed the connection before it had answered", hint="a server that speaks TLS is tls://..."
        ) from exc
    except anyio.BrokenResourceError as exc:
        raise _interrupted(exc) from exc


def _interrupted(exc: anyio.BrokenResourceError) -> TransferError:
    cause = exc.__cause__
    if isinstance(cause, IncompleteFrame):
        return Interrupted(
            "the connection ended in the middle of the answer", hint="the file may have become smaller; try again"
        )
    if isinstance(cause, ProtocolError):
        return make_error(Code.BAD_REPLY, f"this is no file service, or a broken one: {cause}")
    return Interrupted(f"the connection broke: {cause or exc}")


async def _receive_body(conn: Connection[Message], size: int) -> bytes:
    if size > _MAX_PART:
        raise make_error(Code.TOO_LARGE, f"the server announced {size} bytes of listing; at most {_MAX_PART} are taken")
    chunks: list[bytes] = []
    received = 0
    while received < size:
        chunk = await _receive(conn)
        assert isinstance(chunk, bytes)  # the codec gives nothing else until the body is complete
        chunks.append(chunk)
        received += len(chunk)
    return b"".join(chunks)


async def _receive_file(
    conn: Connection[Message], size: int, disk: Disk, lease: Lease[PartFile], progress: Progress | None
) -> None:
    batch: list[bytes] = []
    received = gathered = 0
    if progress is not None:
        progress(0, size)
    while received < size:
        chunk = await _receive(conn)
        assert isinstance(chunk, bytes)  # the codec gives nothing else until the body is complete
        batch.append(chunk)
        gathered += len(chunk)
        received += len(chunk)
        if progress is not None:
            progress(received, size)
        if gathered >= _BATCH or received == size:
            await disk.run(_write, lease, batch)
            batch, gathered = [], 0


def _create(target: Path, lease: Lease[PartFile]) -> None:
    lease.put(PartFile(target))


def _write(lease: Lease[PartFile], chunks: list[bytes]) -> None:
    with lease.use() as part:
        part.write(chunks)


def _finish(lease: Lease[PartFile]) -> str:
    with lease.use() as part:
        return part.finish()
