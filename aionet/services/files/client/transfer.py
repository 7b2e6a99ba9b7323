"""What users call: one file or whole trees, fetched, sent, or compared."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from aionet.errors import AionetError

from ..disk import Disk, Lease, leased
from ..errors import Code, TransferError
from ..hashing import find as find_algorithm
from ..wire import Request
from .channel import Channel
from .concurrently import Pipeline
from .download import download
from .landing import Landing, choose_target
from .listing import Listing, Tree, find, has_just_a_directory, list_many, list_one, walk
from .plan import plan_fetch, plan_upload
from .progress import OnProgress, Progress
from .remote import Remote, Source, as_remote
from .results import Item, OnFile, Results, Transferred, TreeResult
from .small_downloads import SMALL, fetch_small
from .small_uploads import send_small
from .upload import send_file
from .verify import verify as verify_items

__all__ = ["fetch", "fetch_tree", "list_directory", "list_tree", "upload", "upload_tree"]

StrPath = str | os.PathLike[str]

_MKDIR_AHEAD = 32


async def list_directory(source: Source, name: str = "") -> Listing:
    """List a directory of the server; ``""`` is the one served.

    Raises:
        TransferError: with a code; ``remote`` if the server refused.
        ConnectError: the server could not be reached.
        EncodeError: a name that no request can carry, such as one with a line feed.
    """

    async def once(channel: Channel) -> Listing:
        channel.post(Request("LIST", name))
        return await list_one(channel)

    async with as_remote(source) as remote:
        return await remote.call(once)


async def list_tree(source: Source, name: str = "", *, recursive: bool = False) -> Listing:
    """What a name means on the server: what is in a directory, the one file, or what a pattern matches.

    Entries of a directory bear their own names; others, and with ``recursive`` all, their whole ones.

    Args:
        source: The server: a :class:`Remote`, or where to connect to.
        name: A name, or a pattern as of :func:`fetch_tree`.
        recursive: Whether what is in directories is listed as well.

    Raises:
        TransferError, ConnectError, EncodeError: as :func:`list_directory`.
    """
    async with as_remote(source) as remote:
        found = await find(remote, name.rstrip("/"))
        directory = found[0].name if has_just_a_directory(found, name.rstrip("/")) else None
        if directory is not None and not recursive:
            return await list_directory(remote, directory)
        tree = Tree([], [])
        if recursive:
            tree = await walk(remote, [each.name for each in found if each.entry.is_directory])
            for _, exc in tree.refused:
                raise exc
        listed = [*([] if directory is not None else found), *tree.found]
        entries = sorted((replace(each.entry, name=each.name) for each in listed), key=lambda entry: entry.name)
        return Listing(tuple(entries), tree.left_out)


async def fetch(
    source: Source,
    name: str,
    destination: StrPath | None = None,
    *,
    parallel: int = 1,
    hash: str | None = None,
    progress: OnProgress | None = None,
) -> Transferred:
    """Fetch one file. Under its final name stands the whole file, proven by its digest, or what stood there before.

    A broken connection is made again, and goes on where it stopped. What a transfer leaves that fails or is cancelled
    (``.NAME.aionet-part``, beside the destination) is taken up by the next one, as far as the server's hashes prove it.

    Args:
        source: The server: a :class:`Remote`, or where to connect to.
        name: The server's name for the file, such as ``"music/song.ogg"``.
        destination: A file, which is replaced if it is there, or a directory. ``None``: the last component of
            ``name``, in the present directory.
        parallel: Connections.
        hash: The algorithm of the digest: ``"sha256"``, ``"blake3"``. ``None``: the preferred one that both sides have.
        progress: Told how far it is.

    Raises:
        ConfigError: this machine does not have the algorithm.
        TransferError: with a code; ``remote`` if the server refused.
        ConnectError: the server could not be reached.
        EncodeError: a name that no request can carry, such as one with a line feed.
    """
    wanted = None if hash is None else find_algorithm(hash)
    disk = Disk(threads=2)  # one works; the other cleans up, should that one hang
    target = await disk.run(choose_target, name, destination)
    async with as_remote(source) as remote, leased(disk, Landing.close) as lease:
        landing = await disk.run(_land, lease, target.parent, False)
        entry, digest = await download(
            remote,
            name,
            partial(landing.part, target.name),
            parallel=parallel,
            progress=Progress(progress),
            disk=disk,
            wanted=wanted,
        )
    return Transferred(name, target, entry.size, digest.value, digest.algorithm.name, entry.mtime_ns)


async def upload(
    source: Source,
    path: StrPath,
    name: str | None = None,
    *,
    hash: str | None = None,
    progress: OnProgress | None = None,
) -> Transferred:
    """Send one file. On the server, too, the whole file stands under its name, or what stood there before.

    A broken connection is made again, and goes on where it stopped; so does the next call, after one that failed.

    Args:
        source: The server: a :class:`Remote`, or where to connect to.
        path: The file.
        name: What it is called on the server, in a directory that is there. ``None``: as here.
        hash: As of :func:`fetch`.
        progress: Told how far it is.

    Raises:
        ConfigError, TransferError, ConnectError, EncodeError: as :func:`fetch`.
    """
    wanted = None if hash is None else find_algorithm(hash)
    path = Path(path)
    name = path.name if name is None else name
    async with as_remote(source) as remote:
        size, mtime_ns, digest = await send_file(remote, str(path), name, progress=Progress(progress), wanted=wanted)
    return Transferred(name, path, size, digest.value, digest.algorithm.name, mtime_ns)


async def fetch_tree(
    source: Source,
    names: str | Sequence[str],
    destination: StrPath = os.curdir,
    *,
    recursive: bool = False,
    parallel: int = 1,
    again: bool = False,
    verify: bool = False,
    hash: str | None = None,
    progress: OnProgress | None = None,
    on_file: OnFile | None = None,
) -> TreeResult:
    """Fetch files, directories with all that is in them, and what patterns match.

    As with ``cp``: what goes to a directory keeps its own name there; one file, or one directory, that goes where there
    is none gets that name. Files that are there with the same size and time are left alone. Small files are brought to
    the disk in groups: none of them has its name before all of the group are on the disk.

    Args:
        source: The server: a :class:`Remote`, or where to connect to.
        names: Names or patterns (``*``, ``?``, ``[...]``, ``**``), such as ``"music/*.ogg"``; ``"music/."`` is what is
            in a directory, ``"."`` all that is served.
        destination: A directory; or, for one file, a file.
        recursive: Whether directories that a pattern matches are fetched too.
        parallel: Connections for one large file.
        again: Whether files that are there with the same size and time are fetched all the same.
        verify: Transfer nothing; compare by hash what is there. What differs, or lacks, is a failure.
        hash: As of :func:`fetch`.
        progress: Told how far it is.
        on_file: Told of each file when it is done with.

    Returns:
        What is there, and what is not, with the reason.

    Raises:
        ConfigError: this machine does not have the algorithm.
        TransferError: nothing could be begun, or there is no space left here.
        ConnectError: the server could not be reached, or is gone for good.
    """
    wanted = None if hash is None else find_algorithm(hash)
    names = [names] if isinstance(names, str) else list(names)
    tracked, results, disk = Progress(progress), Results(on_file), Disk(threads=3)
    async with as_remote(source) as remote:
        plan = await plan_fetch(remote, names, os.fspath(destination), recursive=recursive, disk=disk, results=results)
        await remote.agree(wanted)
        tracked.expect(len(plan.items), sum(item.size for item in plan.items))
        if verify:
            await verify_items(remote, plan.items, disk, tracked, results, wanted)
            return results.result()
        async with leased(disk, Landing.close) as lease:
            landing = await disk.run(_land, lease, Path(plan.root), plan.make)
            failed = await disk.run(_make_directories, landing, plan.directories)
            for relative, error in failed:
                results.failed(relative, landing.path(relative), error)
            lacking = plan.items
            if not again:
                lacking = await disk.run(_not_there, landing, plan.items)
                _skip(plan.items, lacking, tracked, results)
            large = [item for item in lacking if item.size > SMALL]
            small = [item for item in lacking if item.size <= SMALL]
            large += await fetch_small(remote, small, landing, disk, tracked, results, wanted)
            for item in large:
                try:
                    entry, digest = await download(
                        remote,
                        item.name,
                        partial(landing.part, item.relative),
                        parallel=parallel,
                        progress=tracked,
                        disk=disk,
                        wanted=wanted,
                    )
                except TransferError as exc:
                    _bear(exc, item, results)
                else:
                    results.done(item, digest, size=entry.size, mtime_ns=entry.mtime_ns)
    return results.result()


async def upload_tree(
    source: Source,
    paths: StrPath | Sequence[StrPath],
    name: str = "",
    *,
    again: bool = False,
    verify: bool = False,
    hash: str | None = None,
    progress: OnProgress | None = None,
    on_file: OnFile | None = None,
) -> TreeResult:
    """Send files, and directories with all that is in them. Links and special files in them are left out.

    Args:
        source: The server: a :class:`Remote`, or where to connect to.
        paths: Files and directories; ``"music/."`` is what is in a directory.
        name: Where on the server: a directory, ended by a slash, which is made if it is not there; or, for one file
            or directory, what it is to be called.
        again: Whether files that are there with the same size and time are sent all the same.
        verify: Transfer nothing; compare by hash what is there. What differs, or lacks, is a failure.
        hash: As of :func:`fetch`.
        progress: Told how far it is.
        on_file: Told of each file when it is done with.

    Returns:
        What is there, and what is not, with the reason.

    Raises:
        ConfigError: this machine does not have the algorithm.
        TransferError: nothing could be begun.
        ConnectError: the server could not be reached, or is gone for good.
    """
    wanted = None if hash is None else find_algorithm(hash)
    named = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    tracked, results, disk = Progress(progress), Results(on_file), Disk(threads=3)
    async with as_remote(source) as remote:
        tree = await plan_upload(remote, [os.fspath(path) for path in named], name, disk=disk, results=results)
        await remote.agree(wanted)
        tracked.expect(len(tree.items), sum(item.size for item in tree.items))
        if verify:
            await verify_items(remote, tree.items, disk, tracked, results, wanted)
            return results.result()
        await remote.require_writable()
        refused = await _make_remote_directories(remote, tree.directories, results)
        items = [item for item in tree.items if not any(item.name.startswith(f"{above}/") for above in refused)]
        unsent = items if again else await _not_on_server(remote, items)
        _skip(items, unsent, tracked, results)
        large = [item for item in unsent if item.size > SMALL]
        small = [item for item in unsent if item.size <= SMALL]
        large += await send_small(remote, small, disk, tracked, results, wanted)
        for item in large:
            try:
                size, mtime_ns, digest = await send_file(
                    remote, item.path, item.name, progress=tracked, disk=disk, wanted=wanted
                )
            except TransferError as exc:
                _bear(exc, item, results)
            else:
                results.done(item, digest, size=size, mtime_ns=mtime_ns)
    return results.result()


def _bear(exc: TransferError, item: Item, results: Results) -> None:
    """One file of many failed; the others go on, unless the same would happen to them.

    Raises:
        TransferError: it would.
    """
    if exc.code in (Code.INTERRUPTED, Code.BAD_REPLY, Code.NO_SPACE, Code.UNAUTHORIZED):
        raise exc
    results.failed(item.name, item.path, exc)


def _skip(items: list[Item], wanted: list[Item], progress: Progress, results: Results) -> None:
    """Those that are not wanted any more are there."""
    left = {item.name for item in wanted}
    there = [item for item in items if item.name not in left]
    for item in there:
        results.unchanged(item)
    progress.finish(len(there), sum(item.size for item in there), skipped=True)


async def _make_remote_directories(remote: Remote, names: list[str], results: Results) -> list[str]:
    """Make directories of the server, each before what is in it; return those that are not there now."""
    failed: list[str] = []

    async def post(channel: Channel, name: str) -> None:
        channel.post(Request("MKDIR", name))

    async def take(channel: Channel, name: str) -> None:
        await channel.reply()

    def refused(name: str, exc: TransferError) -> None:
        if exc.code != Code.EXISTS and not any(name.startswith(f"{above}/") for above in failed):
            failed.append(name)
            results.failed(name, name, exc)

    await Pipeline(remote, post, take, refused, ahead=_MKDIR_AHEAD).run(deque(dict.fromkeys(names)))
    return failed


async def _not_on_server(remote: Remote, items: list[Item]) -> list[Item]:
    """Those that are not there with the same size and time."""
    listings = await list_many(remote, sorted({item.name.rpartition("/")[0] for item in items}))
    there = {
        (f"{above}/{entry.name}" if above else entry.name, entry.size, entry.mtime_ns)
        for above, listing in listings.items()
        for entry in listing.entries
        if not entry.is_directory
    }
    return [item for item in items if (item.name, item.size, item.mtime_ns) not in there]


# ---- in threads --------------------------------------------------------------------------------


def _land(lease: Lease[Landing], root: Path, make: bool) -> Landing:
    landing = Landing(root, make=make)
    lease.put(landing)
    return landing


def _make_directories(landing: Landing, names: list[str]) -> list[tuple[str, AionetError]]:
    failed: list[tuple[str, AionetError]] = []
    for name in names:
        try:
            landing.make_directory(name)
        except TransferError as exc:
            failed.append((name, exc))
    return failed


def _not_there(landing: Landing, items: list[Item]) -> list[Item]:
    """Those that are not there with the same size and time."""
    return [item for item in items if not landing.has(item.relative, item.size, item.mtime_ns)]
