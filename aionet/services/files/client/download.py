"""One large file: ranges of one version of it, over one or several connections, into one part file.

What an earlier transfer left is proven against the server's manifest first, and only what it does not prove is
fetched. The file gets its name when the digest of all of it is the one the server says; if it is another, the
manifest tells which chunks are damaged, and only these are fetched again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Final

from aionet.errors import ConnectError

from ..disk import Disk, Lease, leased
from ..entries import Entry
from ..errors import Changed, Code, Mismatch, NotAFile, TransferError, make_error, shown
from ..hashing import SHA256, Algorithm, Digest
from ..wire import Reply, Request
from .channel import Channel, number_of
from .concurrently import Background, concurrently
from .listing import find_exactly
from .manifest import Manifest, Range
from .part import PartFile, finish_all
from .progress import FileProgress, Progress
from .remote import Remote

__all__ = ["download", "fetch_digest", "fetch_manifest"]

BATCH: Final = 1024 * 1024
"""Bytes that are gathered before a thread writes and hashes them: a few milliseconds of work for one hop. While it
works, the next ones gather: so 2 MiB are in memory for each connection, and as much in its inbox and its socket."""

_UNIT: Final = 64 * 1024 * 1024
_SMALLEST_UNIT: Final = 4 * 1024 * 1024
"""Bytes asked for at once: so many that asking costs nothing, so few that all connections have enough to do."""

_AHEAD: Final = 2
"""Requests under way on one connection, so that it never waits for the next."""

_CATCH_UP: Final = 8 * BATCH
"""Bytes that are hashed while one batch is written, where some were there before."""

_ROUNDS: Final = 3
"""How often damaged chunks are fetched again, and how often a file may change, before that is an error."""

_MAX_CHUNKS: Final = 1_000_000
"""Digests of one manifest that are kept: about 110 MB, for a file of 4 TB in chunks of 4 MiB."""


async def _find_file(remote: Remote, name: str) -> Entry:
    entry = (await find_exactly(remote, name)).entry
    if entry.is_directory:
        raise NotAFile(f"{shown(name)} is a directory", hint="fetch_tree() fetches it whole")
    if not entry.tag:
        raise make_error(Code.BAD_REPLY, f"the server's answer about {shown(name)} lacks its tag")
    return entry


async def fetch_manifest(
    remote: Remote, name: str, size: int, *, upload: str | None = None, wanted: Algorithm | None = None
) -> tuple[Manifest, str]:
    """The manifest of a file, or of what an upload has received, and the tag of the version it is of.

    It is by the algorithm ``wanted``; ``None``: by the preferred one of both sides.

    Raises:
        TransferError: the server refused, or what it says makes no sense.
    """
    of_upload = {} if upload is None else {"upload": upload}

    async def once(channel: Channel) -> tuple[Manifest, str]:
        algorithm = channel.algorithm(wanted)
        digests: list[str] = []
        channel.post(Request("HASH", name, of_upload | algorithm.option))
        reply = Reply(0)
        async for reply, body in channel.parts():  # noqa: B007 - the last one has what is said of the whole
            digests += body.decode("ascii", "replace").split()
            if len(digests) > _MAX_CHUNKS:
                raise make_error(Code.TOO_LARGE, f"the manifest of {shown(name)} has more than {_MAX_CHUNKS} digests")
        total = number_of(reply, "total")
        if len(digests) != -(-total // remote.chunk):
            raise make_error(
                Code.BAD_REPLY, f"the manifest of {shown(name)} has {len(digests)} digests for {total} bytes"
            )
        digest = Digest(algorithm, reply.facts.get("digest", ""))
        return Manifest(total, remote.chunk, tuple(digests), digest), reply.facts.get("tag", "")

    return await remote.call(once, patience=remote.patience(size))


async def fetch_digest(remote: Remote, name: str, size: int, *, wanted: Algorithm | None = None) -> tuple[Digest, str]:
    """The digest of a whole file as the server says it, and the tag of the version it is of.

    It is by the algorithm ``wanted``; ``None``: by the preferred one of both sides.
    """

    async def once(channel: Channel) -> tuple[Digest, str]:
        algorithm = channel.algorithm(wanted)
        reply = await channel.ask(Request("HASH", name, {"chunks": "0"} | algorithm.option))
        return Digest(algorithm, reply.facts.get("digest", "")), reply.facts.get("tag", "")

    return await remote.call(once, patience=remote.patience(size))


async def download(
    remote: Remote,
    name: str,
    open_part: Callable[[], PartFile],
    *,
    parallel: int = 1,
    progress: Progress | None = None,
    disk: Disk | None = None,
    wanted: Algorithm | None = None,
) -> tuple[Entry, Digest]:
    """Receive one file, prove it, and give it its name; return which version it is, and its digest.

    A file that changes meanwhile is started anew; of what was received, the chunks stay that the new version has too.

    Args:
        remote: Where from.
        name: The server's name for it.
        open_part: Makes the part file; called in a thread.
        parallel: Connections.
        progress: Told how far it is; the file is not ``expect``-ed here.
        disk: Threads to work in.
        wanted: The algorithm of the digests; ``None``: the preferred one that both sides have.

    Raises:
        TransferError, ConnectError, EncodeError: the part file stays, for the next attempt, if anything is in it.
    """
    disk = disk or Disk(threads=2)  # one works; the other cleans up, should that one hang
    progress = progress or Progress()
    version = await _find_file(remote, name)
    async with leased(disk, PartFile.close) as lease:
        await disk.run(_open, open_part, lease)
        for attempt in range(_ROUNDS):
            file = progress.begin(name, version.size)
            whole = False
            try:
                digest = await _Download(remote, name, version, lease, disk, parallel, progress, file, wanted).run()
                whole = True
                return version, digest
            except Changed:
                if attempt + 1 == _ROUNDS:
                    raise
                version = await _find_file(remote, name)
            finally:
                progress.leave(file, whole=whole)
        raise AssertionError


class _Missing:
    """The ranges that have not come: those nobody has asked for yet, and by connection those that are under way."""

    def __init__(self, ranges: Iterable[Range], unit: int) -> None:
        self._ranges = deque(ranges)
        self._unit = unit
        self._asked: list[deque[Range]] = []

    def __bool__(self) -> bool:
        return bool(self._ranges)

    @contextmanager
    def asking(self) -> Iterator[deque[Range]]:
        """What one connection has asked for. What is left in it in the end did not come, and is asked for again."""
        asked: deque[Range] = deque()
        self._asked.append(asked)
        try:
            yield asked
        finally:
            self._asked.remove(asked)
            self._ranges.extendleft(reversed([found for found in asked if found[0] < found[1]]))

    def take(self) -> Range:
        """The next one, or a unit of it."""
        start, end = self._ranges.popleft()
        if end - start > self._unit:
            self._ranges.appendleft((start + self._unit, end))
            end = start + self._unit
        return start, end

    def frontier(self, size: int) -> int:
        """All bytes before it are there."""
        return min((found[0] for found in chain(self._ranges, *self._asked)), default=size)


class _Download:
    """One attempt at one version."""

    def __init__(
        self,
        remote: Remote,
        name: str,
        version: Entry,
        lease: Lease[PartFile],
        disk: Disk,
        parallel: int,
        progress: Progress,
        file: FileProgress,
        wanted: Algorithm | None,
    ) -> None:
        self._remote = remote
        self._name = name
        self._version = version
        self._lease = lease
        self._disk = disk
        self._parallel = parallel
        self._progress = progress
        self._file = file
        self._wanted = wanted
        self._backoff = remote.backoff()  # of all connections: as long as one of them gets on, the others may fail
        self._writing = Background()
        self._digest = Digest(SHA256, "")  # as the server says it

    async def run(self) -> Digest:
        version = self._version
        algorithm = await self._remote.agree(self._wanted)
        resumed = await self._lease.run(self._disk, _prepare, version.size, algorithm)
        if resumed:
            manifest = await self._manifest()
            self._digest = manifest.digest
            missing = manifest.ranges(await self._prove(manifest))
            await self._fetch(missing)
        else:
            await concurrently(self._fetch([(0, version.size)]), self._ask_digest())
        for round_ in range(_ROUNDS):
            if await self._lease.run(self._disk, _hash_all, version.size, self._digest.algorithm) == self._digest:
                await self._lease.run(self._disk, _finish, version.mtime_ns)
                return self._digest
            await self._repair(last=round_ + 1 == _ROUNDS)
        raise AssertionError

    async def _repair(self, *, last: bool) -> None:
        """Fetch the damaged chunks again."""
        manifest = await self._manifest()
        name = shown(self._name)
        if manifest.digest.algorithm is not self._digest.algorithm:
            self._digest = manifest.digest  # the server was replaced by one that has others
        if manifest.digest != self._digest:
            raise make_error(Code.BAD_REPLY, f"the server says two different hashes of one version of {name}")
        self._progress.restart(self._file)
        numbers = await self._prove(manifest)
        if not numbers:
            raise Mismatch(f"the server's hash of {name} is not that of its chunks: it lies, or its disk does")
        if last:
            which = ", ".join(manifest.describe(number) for number in numbers[:3])
            more = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
            raise Mismatch(f"{name}: {which}{more} do not have the hash that the server says")
        await self._fetch(manifest.ranges(numbers))
        await self._lease.run(self._disk, PartFile.rehash)

    async def _manifest(self) -> Manifest:
        manifest, tag = await fetch_manifest(self._remote, self._name, self._version.size, wanted=self._wanted)
        self._check_tag(tag)
        if manifest.size != self._version.size:
            raise make_error(Code.BAD_REPLY, f"the server says two different sizes of {shown(self._name)}")
        return manifest

    async def _ask_digest(self) -> None:
        self._digest, tag = await fetch_digest(self._remote, self._name, self._version.size, wanted=self._wanted)
        self._check_tag(tag)

    def _check_tag(self, tag: str) -> None:
        if tag != self._version.tag:
            raise Changed(f"{shown(self._name)} was changed while it was received", hint="try again")

    async def _prove(self, manifest: Manifest) -> list[int]:
        numbers = await self._lease.run(self._disk, _unproven, manifest)
        lacking = sum(end - start for start, end in manifest.ranges(numbers))
        self._progress.advance(self._file, self._version.size - lacking, skipped=True)
        return numbers

    # ---- receiving -----------------------------------------------------------------------------

    async def _fetch(self, ranges: Sequence[Range]) -> None:
        size = sum(end - start for start, end in ranges)
        unit = max(_SMALLEST_UNIT, min(_UNIT, size // (self._parallel * 4)))
        missing = _Missing(ranges, unit)
        workers = min(self._parallel, -(-size // unit))
        try:
            await concurrently(*(self._work(missing) for _ in range(workers)))
        finally:
            await self._writing.finish()

    async def _work(self, missing: _Missing) -> None:
        while missing:
            try:
                async with self._remote.channel() as channel:
                    await self._receive_ranges(channel, missing)
            except (ConnectError, TransferError) as exc:
                await self._remote.pause(self._backoff, exc)

    async def _receive_ranges(self, channel: Channel, missing: _Missing) -> None:
        with missing.asking() as asked:
            while True:
                while missing and len(asked) < _AHEAD:
                    asked.append(missing.take())
                    channel.post(self._request(*asked[-1]))
                if not asked:
                    return
                self._check(await channel.reply(), *asked[0])
                await self._receive_range(channel, asked, missing)
                asked.popleft()

    def _request(self, start: int, end: int) -> Request:
        options = {"offset": str(start), "length": str(end - start), "tag": self._version.tag}
        return Request("GET", self._name, options)

    def _check(self, reply: Reply, start: int, end: int) -> None:
        if (
            reply.size != end - start
            or number_of(reply, "offset") != start
            or number_of(reply, "total") != self._version.size
        ):
            raise make_error(
                Code.BAD_REPLY,
                f"the server sends other bytes of {shown(self._name)} than bytes {start} to {end - 1}",
            )
        self._check_tag(reply.facts.get("tag", ""))

    async def _receive_range(self, channel: Channel, asked: deque[Range], missing: _Missing) -> None:
        """The body of one answer. However it ends, what came is written, and ``asked[0]`` is what did not come."""
        start, end = asked[0]
        batch: list[bytes] = []
        gathered = 0
        try:
            while start + gathered < end:
                chunk = await channel.piece()
                batch.append(chunk)
                gathered += len(chunk)
                self._backoff.progressed()
                if gathered >= BATCH:
                    await self._write(start, batch, missing)
                    start += gathered
                    asked[0] = start, end
                    batch, gathered = [], 0
                self._progress.advance(self._file, len(chunk))
        finally:
            if batch:
                await self._write(start, batch, missing)
                asked[0] = start + gathered, end

    async def _write(self, offset: int, batch: list[bytes], missing: _Missing) -> None:
        frontier = missing.frontier(self._version.size)  # without this batch, with all those before it
        await self._writing.start(partial(self._lease.run, self._disk, _write, offset, batch, frontier))


# ---- in threads --------------------------------------------------------------------------------


def _open(open_part: Callable[[], PartFile], lease: Lease[PartFile]) -> None:
    lease.put(open_part())


def _prepare(part: PartFile, size: int, algorithm: Algorithm) -> bool:
    """Whether something is there to go on with."""
    part.resize(size)
    part.hash_with(algorithm)
    part.rehash()
    return part.resumed and part.next_data(0) < size


def _unproven(part: PartFile, manifest: Manifest) -> list[int]:
    return manifest.unproven(part.read, part.next_data)


def _write(part: PartFile, offset: int, chunks: list[bytes], frontier: int) -> None:
    """What is there from the start on is hashed meanwhile; a large part that was proven, in steps."""
    part.write(offset, chunks)
    part.hash_up_to(min(frontier, part.hashed + _CATCH_UP))


def _hash_all(part: PartFile, size: int, algorithm: Algorithm) -> Digest:
    part.hash_with(algorithm)
    part.hash_up_to(size)
    return part.digest()


def _finish(part: PartFile, mtime_ns: int) -> None:
    part.set_time(mtime_ns)
    finish_all([part])
