"""Many small files, fetched: asked for ahead over one connection, and stored in groups.

The dear things are paid for once a group: the hop to a thread, and bringing files to the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ..disk import Disk
from ..errors import Code, Mismatch, TransferError
from ..hashing import Algorithm, Digest
from ..wire import Reply, Request
from .channel import Channel, time_of
from .concurrently import Background, Pipeline
from .landing import Landing
from .part import PartFile, finish_all
from .progress import Progress
from .remote import Remote
from .results import Item, Results

__all__ = ["AHEAD", "SMALL", "fetch_small"]

SMALL: Final = 1024 * 1024
"""Bytes up to which a file is handled as a whole, in memory."""

AHEAD: Final = 128
"""Files under way, not answered. The server takes as many as it has room for."""

_GROUP: Final = 128
_GROUP_BYTES: Final = 4 * 1024 * 1024
"""Files, and their bytes, that are stored together: some ten milliseconds of a thread, two descriptors for each."""

_WITH_DIGEST: Final = 64 * 1024
"""Bytes up to which our server says the digest with the content; of larger ones it is asked for beside it."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A file in memory, and what the server said of it."""

    item: Item
    data: bytes
    digest: Digest
    mtime_ns: int


async def fetch_small(
    remote: Remote,
    items: Iterable[Item],
    landing: Landing,
    disk: Disk,
    progress: Progress,
    results: Results,
    wanted: Algorithm | None = None,
) -> list[Item]:
    """Fetch files that were small when they were listed; return those that have to be fetched as large ones are.

    That is: what has grown, what the server could not read in one piece, what did not arrive as it was sent.

    Args:
        remote: Where from.
        items: The files.
        landing: Where to.
        disk: Threads to write in.
        progress, results: Told of each file.
        wanted: The algorithm of the digests; ``None``: the preferred one that both sides have.

    Raises:
        TransferError: there is no space left, or the server is gone for good.
    """
    return await _SmallFetch(remote, landing, disk, progress, results, wanted).run(items)


class _SmallFetch:
    def __init__(
        self,
        remote: Remote,
        landing: Landing,
        disk: Disk,
        progress: Progress,
        results: Results,
        wanted: Algorithm | None,
    ) -> None:
        self._landing = landing
        self._disk = disk
        self._progress = progress
        self._results = results
        self._wanted = wanted
        self._later: list[Item] = []
        self._group: list[_Arrived] = []
        self._gathered = 0
        self._storing = Background()
        self._pipeline = Pipeline(
            remote, self._post, self._take, self._refused, ahead=AHEAD, weight=lambda item: item.size
        )

    async def run(self, items: Iterable[Item]) -> list[Item]:
        try:
            await self._pipeline.run(deque(items))
            await self._store()
        finally:
            await self._storing.finish()
        return self._later

    async def _post(self, channel: Channel, item: Item) -> None:
        option = channel.algorithm(self._wanted).option
        channel.post(Request("GET", item.name, option))
        if item.size > _WITH_DIGEST:
            channel.post(Request("HASH", item.name, {"chunks": "0"} | option))

    async def _take(self, channel: Channel, item: Item) -> None:
        reply = await channel.outcome()
        data = b""
        if isinstance(reply, Reply):
            if reply.size <= SMALL:
                data = await channel.body(reply.size)
            await channel.skip(reply.size - len(data))
        told = reply if item.size <= _WITH_DIGEST else await channel.settle()
        for refusal in (reply, told):
            if isinstance(refusal, TransferError):
                raise refusal
        assert isinstance(reply, Reply)
        assert isinstance(told, Reply)
        digest = told.facts.get("digest")
        if digest is None or len(data) != reply.size or told.facts.get("tag") != reply.facts.get("tag"):
            self._later.append(item)
            return
        self._group.append(_Arrived(item, data, Digest(channel.algorithm(self._wanted), digest), time_of(reply)))
        self._gathered += len(data)
        if len(self._group) >= _GROUP or self._gathered >= _GROUP_BYTES:
            await self._store()

    def _refused(self, item: Item, exc: TransferError) -> None:
        self._results.failed(item.name, item.path, exc)

    async def _store(self) -> None:
        group, self._group, self._gathered = self._group, [], 0
        if group:
            await self._storing.start(partial(self._store_group, group))

    async def _store_group(self, group: list[_Arrived]) -> None:
        failures = await self._disk.run(_store, self._landing, group)
        stored = size = 0
        for arrived, failure in zip(group, failures, strict=True):
            item = arrived.item
            if failure is None:
                self._results.done(item, arrived.digest, size=len(arrived.data), mtime_ns=arrived.mtime_ns)
                stored += 1
                size += len(arrived.data)
            elif isinstance(failure, Mismatch):
                self._later.append(item)
            else:
                self._results.failed(item.name, item.path, failure)
        self._progress.finish(stored, size)


def _store(landing: Landing, group: list[_Arrived]) -> list[TransferError | None]:
    """In a thread: give each its name, all or none of them; say what could not be, or did not arrive as it was sent.

    Raises:
        TransferError: there is no space left.
    """
    failures: list[TransferError | None] = []
    parts: list[PartFile] = []
    whole: list[PartFile] = []
    try:
        for arrived in group:
            try:
                if arrived.digest.algorithm.hexdigest(arrived.data) != arrived.digest.value:
                    raise Mismatch(f"{arrived.item.name} did not arrive as it was sent")
                parts.append(part := landing.part(arrived.item.relative))
                part.fill(arrived.data)
                part.set_time(arrived.mtime_ns)
                whole.append(part)
                failures.append(None)
            except TransferError as exc:
                if exc.code == Code.NO_SPACE:
                    raise
                failures.append(exc)
        finish_all(whole)
    finally:
        for part in parts:
            part.close()
    return failures
