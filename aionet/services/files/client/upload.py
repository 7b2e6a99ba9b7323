"""One large file, sent: in pieces that the server acknowledges, then given its name by the hash of all of it.

The server keeps what it received under the name of the file and of its version, so that nothing has to be remembered
here. What it has from an earlier call is proven against its manifest first; if the whole does not have the right hash
in the end, its manifest tells which chunks to send again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from aionet.errors import ConnectError

from ..disk import Disk, Lease, heard, leased
from ..entries import format_time
from ..errors import Changed, Interrupted, Mismatch, TransferError
from ..hashing import Algorithm, Digest
from ..wire import Request
from .channel import Channel, number_of
from .download import fetch_manifest
from .manifest import Manifest, Range
from .original import Original
from .progress import FileProgress, Progress
from .remote import Remote

__all__ = ["PIECE", "commit_request", "put_request", "send_file"]

PIECE: Final = 1024 * 1024
"""Bytes read and sent at once; and at first acknowledged at once: a server reads past so many, and refuses in words."""

_MOST_PIECES: Final = 16
"""Pieces in one ``PUT``, if they are acknowledged quickly: a server writes some of a body while the rest comes in."""

_QUICK: Final = 0.25
_SLOW: Final = 1.0
"""Seconds between two acknowledgements, below and above which the next ``PUT`` has twice, or half, as many pieces."""

_AHEAD: Final = 4
"""Requests sent and not acknowledged."""

_ROUNDS: Final = 3
"""How often damaged chunks are sent again, and how often a file may change, before that is an error."""


def put_request(name: str, upload: str, offset: int, size: int, total: int, algorithm: Algorithm) -> Request:
    """``PUT``, to be followed by ``size`` bytes; ``algorithm``: of the digest that ``COMMIT`` is going to name."""
    options = {"upload": upload, "offset": str(offset), "total": str(total)}
    return Request("PUT", name, options | algorithm.option, size)


def commit_request(name: str, upload: str, total: int, digest: Digest, mtime_ns: int) -> Request:
    """``COMMIT``: the file gets its name if this is what was received."""
    options = {"upload": upload, "total": str(total), "digest": digest.value, "mtime": format_time(mtime_ns)}
    return Request("COMMIT", name, options | digest.algorithm.option)


async def send_file(
    remote: Remote,
    path: str,
    name: str,
    *,
    progress: Progress | None = None,
    disk: Disk | None = None,
    wanted: Algorithm | None = None,
) -> tuple[int, int, Digest]:
    """Send one file; return its size, its mtime (nanoseconds) and its digest as both sides have reckoned it.

    A file that changes meanwhile is started anew.

    Args:
        remote: Where to.
        path: Where it is.
        name: The server's name for it.
        progress: Told how far it is; the file is not ``expect``-ed here.
        disk: Threads to work in.
        wanted: The algorithm of the digests; ``None``: the preferred one that both sides have.

    Raises:
        TransferError, ConnectError, EncodeError: the server keeps what it received, for the next attempt.
    """
    disk = disk or Disk(threads=2)  # one works; the other cleans up, should that one hang
    progress = progress or Progress()
    async with leased(disk, _close) as lease:
        original = await disk.run(_open, path, lease)
        await remote.require_writable(patience=remote.patience(original.size))
        for attempt in range(_ROUNDS):
            file = progress.begin(name, original.size)
            whole = False
            try:
                digest = await _Upload(remote, original, name, lease, disk, progress, file, wanted).run()
                whole = True
                return original.size, original.mtime_ns, digest
            except Changed:
                await remote.ask(Request("CANCEL", name, {"upload": original.upload}))
                if attempt + 1 == _ROUNDS:
                    raise
                await lease.run(disk, _restart)
            finally:
                progress.leave(file, whole=whole)
        raise AssertionError


class _Upload:
    """One attempt at one version."""

    def __init__(
        self,
        remote: Remote,
        original: Original,
        name: str,
        lease: Lease[Original],
        disk: Disk,
        progress: Progress,
        file: FileProgress,
        wanted: Algorithm | None,
    ) -> None:
        self._remote = remote
        self._original = original  # read in threads only, by the lease
        self._name = name
        self._lease = lease
        self._disk = disk
        self._progress = progress
        self._file = file
        self._wanted = wanted
        self._repairs: deque[Range] = deque()  # chunks that the server has, and has wrong
        self._patience = remote.patience(original.size)
        self._together = 1  # pieces in the next PUT
        self._acknowledged_at = 0.0

    async def run(self) -> Digest:
        algorithm = await self._remote.agree(self._wanted, patience=self._patience)
        await self._lease.run(self._disk, Original.hash_with, algorithm)
        received = await self._remote.call(self._ask_received, patience=self._patience)
        if received:
            await self._prove()
        for round_ in range(_ROUNDS):
            await self._send()
            try:
                return await self._commit()
            except Mismatch as exc:
                numbers = await self._prove()
                if not numbers:
                    raise
                if round_ + 1 == _ROUNDS:
                    raise Mismatch(f"{exc}; after {_ROUNDS} attempts", remote=True) from exc
        raise AssertionError

    async def _ask_received(self, channel: Channel) -> int:
        reply = await channel.ask(Request("STAT", self._name, {"upload": self._original.upload}))
        received = number_of(reply, "received")
        if received <= self._original.size:
            return received
        await channel.ask(Request("CANCEL", self._name, {"upload": self._original.upload}))  # it is another file
        return 0

    async def _prove(self) -> list[int]:
        """Find out which chunks of what the server has are to be sent again."""
        original = self._original
        manifest, _ = await fetch_manifest(
            self._remote, self._name, original.size, upload=original.upload, wanted=self._wanted
        )
        numbers = await self._lease.run(self._disk, _unproven, manifest)
        self._repairs = deque(_units(manifest.ranges(numbers)))
        return numbers

    async def _commit(self) -> Digest:
        original = self._original
        algorithm = await self._remote.agree(self._wanted, patience=self._patience)
        await self._lease.run(self._disk, _whole_digest, algorithm)  # not while a connection is held that may be idle

        async def once(channel: Channel) -> Digest:
            digest = await self._lease.run(self._disk, _whole_digest, channel.algorithm(self._wanted))
            await channel.ask(commit_request(self._name, original.upload, original.size, digest, original.mtime_ns))
            return digest

        return await self._remote.call(once, patience=self._patience)

    # ---- sending -------------------------------------------------------------------------------

    async def _send(self) -> None:
        """Send what is to be repaired, and everything behind what the server has."""
        backoff = self._remote.backoff()
        most = -1
        while True:
            try:
                async with self._remote.channel(self._patience) as channel:
                    received = await self._ask_received(channel)
                    if received > most:
                        most = received
                        backoff.progressed()
                    lacking = sum(end - start for start, end in self._repairs)
                    there = received - lacking
                    self._progress.advance(self._file, there - self._file.done, skipped=not self._file.done)
                    await self._send_pieces(channel, received)
                    return
            except (ConnectError, TransferError) as exc:
                await self._remote.pause(backoff, exc)

    async def _send_pieces(self, channel: Channel, received: int) -> None:
        asked: deque[Range] = deque()
        size, algorithm = self._original.size, channel.algorithm(self._wanted)
        pieces = [*self._repairs, *_units([(received, size)])] or [(0, 0)]  # of an empty file, one empty piece
        repairs, begins = len(self._repairs), 0
        self._together, self._acknowledged_at = 1, time.monotonic()
        try:
            async for number, data in self._read(pieces):
                if number == begins:
                    if len(asked) == _AHEAD:
                        await self._acknowledged(channel, asked)
                    begins += 1 if number < repairs else self._together
                    start, end = pieces[number][0], pieces[min(begins, len(pieces)) - 1][1]
                    channel.post(put_request(self._name, self._original.upload, start, end - start, size, algorithm))
                    asked.append((start, end))
                await self._send_body(channel, data)
            while asked:
                await self._acknowledged(channel, asked)
        except Interrupted:
            with suppress(Interrupted):  # the server may have said why, before it closed
                while asked:
                    await self._acknowledged(channel, asked)
            raise

    async def _read(self, pieces: Sequence[Range]) -> AsyncIterator[tuple[int, bytes]]:
        """Each piece's number and bytes: the next is read, and hashed, while one is sent."""
        coming = [self._begin_to_read(piece) for piece in pieces[:1]]
        for number, next_piece in enumerate([*pieces[1:], None]):
            data = await coming.pop()
            if next_piece is not None:
                coming.append(self._begin_to_read(next_piece))
            yield number, data

    def _begin_to_read(self, piece: Range) -> asyncio.Task[bytes]:
        start, end = piece
        task = asyncio.create_task(self._lease.run(self._disk, _read, start, end - start))
        task.add_done_callback(heard)
        return task

    async def _send_body(self, channel: Channel, data: bytes) -> None:
        step = len(data) if self._remote.rate is None else max(4096, int(self._remote.rate / 20))
        for start in range(0, len(data), step or 1):
            await channel.send_body(data[start : start + step])

    async def _acknowledged(self, channel: Channel, asked: deque[Range]) -> None:
        await channel.reply()
        start, end = asked.popleft()
        now = time.monotonic()
        if now - self._acknowledged_at < _QUICK:
            self._together = min(2 * self._together, _MOST_PIECES)
        elif now - self._acknowledged_at > _SLOW:
            self._together = max(self._together // 2, 1)
        self._acknowledged_at = now
        if self._repairs and self._repairs[0] == (start, end):
            self._repairs.popleft()
        self._progress.advance(self._file, end - start)


def _units(ranges: Iterable[Range]) -> Iterator[Range]:
    for first, end in ranges:
        for start in range(first, end, PIECE):
            yield start, min(start + PIECE, end)


# ---- in threads --------------------------------------------------------------------------------


def _open(path: str, lease: Lease[Original]) -> Original:
    original = Original(path)
    lease.put(original)
    return original


def _close(original: Original) -> None:
    original.close()


def _restart(original: Original) -> None:
    original.restart()


def _read(original: Original, offset: int, size: int) -> bytes:
    data = original.read(offset, size)
    if len(data) < size:
        original.check_unchanged()
        raise Changed(f"{original.label} became smaller while it was sent")
    return data


def _unproven(original: Original, manifest: Manifest) -> list[int]:
    return manifest.unproven(original.read)


def _whole_digest(original: Original, algorithm: Algorithm) -> Digest:
    """That of the version that was sent: read once more if not all of it was read in order, or hashed by another."""
    original.hash_with(algorithm)
    original.hash_up_to(original.size)
    original.check_unchanged()
    return original.digest()
