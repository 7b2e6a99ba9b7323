"""Many small files, fetched: asked for ahead over one connection, and stored in groups.

The dear things are paid for once a group: the hop to a thread, and bringing files to the disk.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final

from aionet.errors import AionetError

from ..disk import Disk
from ..errors import Code, TransferError
from ..wire import Reply, Request
from .concurrently import Background, Pipeline
from .landing import Landing
from .part import PartFile, finish_all
from .progress import Progress
from .remote import Channel, Remote, time_of
from .results import Item, Results

__all__ = ["AHEAD", "SMALL", "fetch_small"]

SMALL: Final = 1024 * 1024
"""Bytes up to which a file is handled as a whole, in memory."""

AHEAD: Final = 128
"""Files under way, not answered. The server takes as many as it has room for."""

_GROUP: Final = 128
_GROUP_BYTES: Final = 4 * 1024 * 1024
"""Files, and their bytes, that are stored together: some ten milliseconds of a thread, two descriptors for each."""

_Arrived = tuple[Item, Reply, bytes]


async def fetch_small(
    remote: Remote, items: Iterable[Item], landing: Landing, disk: Disk, progress: Progress, results: Results
) -> list[Item]:
    """Fetch files that were small when they were listed; return those that have to be fetched as large ones are.

    That is: what has grown, what the server could not read in one piece, what did not arrive as it was sent.

    Raises:
        TransferError: there is no space left, or the server is gone for good.
    """
    return await _SmallFetch(remote, landing, disk, progress, results).run(items)


class _SmallFetch:
    def __init__(self, remote: Remote, landing: Landing, disk: Disk, progress: Progress, results: Results) -> None:
        self._landing = landing
        self._disk = disk
        self._progress = progress
        self._results = results
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
        channel.post(Request("GET", item.name))

    async def _take(self, channel: Channel, item: Item) -> None:
        reply = await channel.reply()
        if reply.size > SMALL or "digest" not in reply.facts:
            await channel.skip(reply.size)
            self._later.append(item)
            return
        data = await channel.body(reply.size)
        self._group.append((item, reply, data))
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
        failures, damaged = await self._disk.run(_store, self._landing, group)
        stored = size = 0
        for item, reply, data in group:
            if item.relative in failures:
                self._results.failed(item.name, item.path, failures[item.relative])
            elif item.relative in damaged:
                self._later.append(item)
            else:
                self._results.done(item, reply.facts["digest"], size=len(data), mtime_ns=time_of(reply))
                stored += 1
                size += len(data)
        self._progress.finish(stored, size)


def _store(landing: Landing, group: list[_Arrived]) -> tuple[dict[str, AionetError], set[str]]:
    """In a thread: give each its name, all or none of them; what could not be, and what did not arrive as it was sent.

    Raises:
        TransferError: there is no space left.
    """
    failures: dict[str, AionetError] = {}
    damaged: set[str] = set()
    parts: list[PartFile] = []
    whole: list[PartFile] = []
    try:
        for item, reply, data in group:
            if hashlib.sha256(data).hexdigest() != reply.facts["digest"]:
                damaged.add(item.relative)
                continue
            try:
                parts.append(part := landing.part(item.relative))
                part.fill(data)
                part.set_time(time_of(reply))
                whole.append(part)
            except TransferError as exc:
                if exc.code == Code.NO_SPACE:
                    raise
                failures[item.relative] = exc
        finish_all(whole)
    finally:
        for part in parts:
            part.close()
    return failures, damaged
