"""Two trees compared by their hashes; nothing is transferred."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import closing
from typing import Final

from ..disk import Disk
from ..errors import Mismatch, TransferError, shown
from ..hashing import Algorithm, Digest
from ..wire import Request
from .channel import Channel
from .concurrently import Pipeline
from .original import Original
from .progress import Progress
from .remote import Remote
from .results import Item, Results

__all__ = ["verify"]

_AHEAD: Final = 32
"""Files that the server hashes ahead of us."""


async def verify(
    remote: Remote,
    items: Iterable[Item],
    disk: Disk,
    progress: Progress,
    results: Results,
    wanted: Algorithm | None = None,
) -> None:
    """Compare each file with its counterpart; those that are not the same are failures.

    Args:
        remote: Where the counterparts are.
        items: The files.
        disk: Threads to hash in.
        progress, results: Told of each file.
        wanted: By which algorithm; ``None``: the preferred one that both sides have.

    Raises:
        ConnectError, TransferError: the server is gone for good.
    """
    waiting = deque(items)

    async def post(channel: Channel, item: Item) -> None:
        channel.post(Request("HASH", item.name, {"chunks": "0"} | channel.algorithm(wanted).option))

    async def take(channel: Channel, item: Item) -> None:
        reply = await channel.last()
        try:
            digest, size, mtime_ns = await disk.run(_digest, item.path, channel.algorithm(wanted))
            if digest.value != reply.facts.get("digest"):
                raise Mismatch(f"{shown(item.path)} differs from {shown(item.name)} of the server")
        except TransferError as exc:
            results.failed(item.name, item.path, exc)
        else:
            results.done(item, digest, size=size, mtime_ns=mtime_ns)
        progress.finish(1, item.size)

    def refused(item: Item, exc: TransferError) -> None:
        results.failed(item.name, item.path, exc)
        progress.finish(1, item.size)

    largest = max((item.size for item in waiting), default=0)
    await Pipeline(remote, post, take, refused, ahead=_AHEAD, patience=remote.patience(_AHEAD * largest)).run(waiting)


def _digest(path: str, algorithm: Algorithm) -> tuple[Digest, int, int]:
    with closing(Original(path)) as original:
        original.hash_with(algorithm)
        original.hash_up_to(original.size)
        original.check_unchanged()
        return original.digest(), original.size, original.mtime_ns
