"""Many small files, sent: ``PUT`` and ``COMMIT`` of each, ahead of the answers, over one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from ..disk import Disk
from ..errors import Mismatch, TransferError
from ..hashing import Algorithm, Digest
from .channel import Channel
from .concurrently import Pipeline
from .original import Original
from .progress import Progress
from .remote import Remote
from .results import Item, Results
from .small_downloads import AHEAD, SMALL
from .upload import commit_request, put_request

__all__ = ["send_small"]

_GROUP: Final = 64
_GROUP_BYTES: Final = 4 * 1024 * 1024
"""Files, and their bytes, that are read together: a few milliseconds of a thread."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A file in memory."""

    data: bytes
    digest: Digest
    mtime_ns: int
    upload: str


async def send_small(
    remote: Remote,
    items: Iterable[Item],
    disk: Disk,
    progress: Progress,
    results: Results,
    wanted: Algorithm | None = None,
) -> list[Item]:
    """Send files that were small when they were listed; return those that have to be sent as large ones are.

    That is: what has grown, what changed while it was read, what did not arrive as it was sent.

    Args:
        remote: Where to.
        items: The files.
        disk: Threads to read in.
        progress, results: Told of each file.
        wanted: The algorithm of the digests; ``None``: the preferred one that both sides have.

    Raises:
        TransferError, ConnectError: the server is gone for good.
    """
    return await _SmallUpload(remote, disk, progress, results, wanted).run(items)


class _SmallUpload:
    def __init__(
        self, remote: Remote, disk: Disk, progress: Progress, results: Results, wanted: Algorithm | None
    ) -> None:
        self._disk = disk
        self._progress = progress
        self._results = results
        self._wanted = wanted
        self._unread: deque[Item] = deque()
        self._read: dict[str, _Read | TransferError | None] = {}
        self._later: list[Item] = []
        self._pipeline = Pipeline(
            remote, self._post, self._take, self._refused, ahead=AHEAD, weight=lambda item: item.size
        )

    async def run(self, items: Iterable[Item]) -> list[Item]:
        self._unread.extend(items)
        await self._pipeline.run(self._unread.copy())
        return self._later

    async def _post(self, channel: Channel, item: Item) -> None:
        algorithm = channel.algorithm(self._wanted)
        while item.name not in self._read:
            await self._read_group(algorithm)
        found = self._read[item.name]
        if isinstance(found, _Read):
            if found.digest.algorithm is not algorithm:  # the connection broke, and the server has been replaced
                found = replace(found, digest=Digest(algorithm, algorithm.hexdigest(found.data)))
                self._read[item.name] = found
            size = len(found.data)
            channel.post(put_request(item.name, found.upload, 0, size, size, algorithm))
            if found.data:
                await channel.send_body(found.data)
            channel.post(commit_request(item.name, found.upload, size, found.digest, found.mtime_ns))

    async def _take(self, channel: Channel, item: Item) -> None:
        found = self._read[item.name]
        if isinstance(found, _Read):
            await self._take_answers(channel, item, found)
        elif found is None:
            self._later.append(item)
        else:
            self._results.failed(item.name, item.path, found)
        del self._read[item.name]

    async def _take_answers(self, channel: Channel, item: Item, found: _Read) -> None:
        outcomes = [await channel.settle(), await channel.settle()]
        # The first of them: the COMMIT of what was not taken cannot succeed.
        refusal = next((outcome for outcome in outcomes if isinstance(outcome, TransferError)), None)
        if isinstance(refusal, Mismatch):
            self._later.append(item)
        elif refusal is not None:
            raise refusal
        else:
            self._results.done(item, found.digest, size=len(found.data), mtime_ns=found.mtime_ns)
            self._progress.finish(1, len(found.data))

    def _refused(self, item: Item, exc: TransferError) -> None:
        self._read.pop(item.name, None)
        self._results.failed(item.name, item.path, exc)

    async def _read_group(self, algorithm: Algorithm) -> None:
        group: list[Item] = []
        size = 0
        while self._unread and len(group) < _GROUP and size < _GROUP_BYTES:
            group.append(self._unread.popleft())
            size += group[-1].size
        self._read |= await self._disk.run(_read_files, group, algorithm)


def _read_files(group: list[Item], algorithm: Algorithm) -> dict[str, _Read | TransferError | None]:
    """In a thread: each file, or why it cannot be read, or ``None`` where it has to be sent as a large one."""
    found: dict[str, _Read | TransferError | None] = {}
    for item in group:
        try:
            found[item.name] = _read_file(item.path, algorithm)
        except TransferError as exc:
            found[item.name] = exc
    return found


def _read_file(path: str, algorithm: Algorithm) -> _Read | None:
    with closing(Original(path)) as original:
        if original.size > SMALL:
            return None
        data = original.read(0, SMALL + 1)
        if len(data) != original.size:
            return None
        return _Read(data, Digest(algorithm, algorithm.hexdigest(data)), original.mtime_ns, original.upload)
