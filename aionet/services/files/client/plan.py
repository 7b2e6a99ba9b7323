"""What is to be transferred, and where it goes: as ``cp`` would decide, of names on two sides."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..disk import Disk
from ..errors import Code, NotADirectory, RefusedName, TransferError, make_error, shown
from .landing import base_name
from .listing import Found, find, find_exactly, has_just_a_directory, walk
from .local import LocalTree, scan_local
from .part import is_part_name
from .remote import Remote
from .results import Item, Results

__all__ = ["FetchPlan", "plan_fetch", "plan_upload"]


@dataclass(slots=True)
class FetchPlan:
    """What is to land below one directory.

    Attributes:
        root: The directory.
        make: Whether it is made if it is not there.
        directories: To be made below it.
        items: Files.
    """

    root: str
    make: bool
    directories: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One thing that was asked for."""

    found: Found
    relative: str  # below the destination; "" for what is in a directory, and not the directory


async def plan_fetch(
    remote: Remote, names: Sequence[str], destination: str, *, recursive: bool, disk: Disk, results: Results
) -> FetchPlan:
    """What these names mean on the server, and where each file of it lands.

    Args:
        remote: The server.
        names: Files, directories, patterns; ``DIRECTORY/.`` is what is in a directory, ``.`` what is served.
        destination: One file may go to a file; everything else into a directory.
        recursive: Whether directories that a pattern matches are fetched too, with all that is in them.
        disk: Threads to look at the destination in.
        results: Told what cannot be had.

    Raises:
        TransferError: none of the names is there; the destination is not what is needed.
    """
    wanted: list[_Wanted] = []
    for name in names:
        try:
            wanted += await _want(remote, name, recursive=recursive)
        except TransferError as exc:
            if not exc.remote or len(names) == 1:
                raise
            results.failed(name, destination, exc)
    single = len(wanted) == 1 and len(names) == 1
    plan, rename = await disk.run(_choose_root, destination, wanted[0] if single else None)
    if rename is not None:
        wanted = [_Wanted(wanted[0].found, rename)]
    await _expand(remote, plan, wanted, results)
    return plan


async def _want(remote: Remote, name: str, *, recursive: bool) -> list[_Wanted]:
    plain = name.rstrip("/")
    inside = plain in ("", ".") or plain.endswith("/.")
    plain = "" if plain in ("", ".") else plain.removesuffix("/.").rstrip("/")
    found = await find(remote, plain)
    if has_just_a_directory(found, plain):
        return [_Wanted(found[0], "" if inside else base_name(plain))]
    if inside:
        raise NotADirectory(f"{shown(plain)} is no directory of the server")
    literal = [each.name for each in found] == [plain]
    # What a pattern matches bears the name that the server says: one component, as parse_entries has checked.
    wanted = [
        _Wanted(each, base_name(each.name) if literal else each.entry.name)
        for each in found
        if recursive or not each.entry.is_directory
    ]
    if not wanted:
        raise make_error(Code.NOT_FOUND, f"{shown(name)} matches only directories", hint="-r fetches them whole")
    return wanted


def _choose_root(destination: str, single: _Wanted | None) -> tuple[FetchPlan, str | None]:
    """The directory that everything lands below, and the new name of the only thing, if it gets one."""
    if "\0" in destination:
        raise RefusedName(f"there is a NUL in the destination {shown(destination)}")
    if os.path.isdir(destination):
        return FetchPlan(destination, make=False), None
    meant = destination.endswith(os.sep)
    if single is None:
        if not meant:
            raise NotADirectory(
                f"{shown(destination)} is no directory, and more than one file goes there",
                hint="end it with a slash, and it is made",
            )
        return FetchPlan(destination, make=True), None
    if single.found.entry.is_directory and not meant:
        return FetchPlan(destination, make=True), ""  # as "cp -r a b" where there is no b
    if meant:
        return FetchPlan(destination, make=True), None
    above, last = os.path.split(destination)
    return FetchPlan(above or os.curdir, make=False), last


async def _expand(remote: Remote, plan: FetchPlan, wanted: list[_Wanted], results: Results) -> None:
    taken: set[str] = set()
    below: dict[str, str] = {}  # where a directory of the server lands

    def add(found: Found, relative: str) -> None:
        path = os.path.join(plan.root, relative)
        if found.entry.is_directory:
            if relative:
                plan.directories.append(relative)
        elif is_part_name(os.path.basename(relative)):  # it would land where another is being received
            results.left_out += 1
        elif relative in taken:
            results.failed(found.name, path, RefusedName(f"something else lands at {shown(path)} already"))
        else:
            taken.add(relative)
            plan.items.append(Item(found.name, path, relative, found.entry.size, found.entry.mtime_ns))

    for each in wanted:
        add(each.found, each.relative)
        if each.found.entry.is_directory:
            below[each.found.name] = each.relative
    if below:
        tree = await walk(remote, list(below))
        results.left_out += tree.left_out
        for name, exc in tree.refused:
            results.failed(name, plan.root, exc)
        for found in tree.found:
            above, _, last = found.name.rpartition("/")
            parent = below[above]
            relative = f"{parent}/{last}" if parent else last
            if found.entry.is_directory:
                below[found.name] = relative
            add(found, relative)


async def plan_upload(remote: Remote, paths: Sequence[str], name: str, *, disk: Disk, results: Results) -> LocalTree:
    """What these paths mean on this side, and what each file of it is to be called on the server.

    Args:
        remote: The server.
        paths: Files and directories; ``DIRECTORY/.`` is what is in a directory.
        name: Of a directory of the server, ended by a slash; or of one file; ``""`` is the directory served.
        disk: Threads to look at them in.
        results: Told what cannot be sent.

    Raises:
        TransferError: a path is not there.
    """
    above = name.strip("/")
    if above and not name.endswith("/"):  # a file's name, unless it is a directory
        into = await _is_directory(remote, above)
        if not into and len(paths) > 1:
            raise NotADirectory(
                f"{shown(above)} is no directory of the server, and more than one file goes there",
                hint="end it with a slash, and it is made",
            )
    else:
        into = True
    named = [(path, _name_below(path, above) if into else above) for path in paths]
    tree = await disk.run(scan_local, named)
    if into and name.endswith("/") and above:
        components = above.split("/")
        parents = ["/".join(components[: depth + 1]) for depth in range(len(components))]
        tree.directories[:0] = parents
    for failed_name, path, error in tree.failures:
        results.failed(failed_name, path, error)
    results.left_out += tree.left_out
    seen: set[str] = set()
    for item in tree.items:
        if item.name in seen:
            error = RefusedName(f"something else is to be called {shown(item.name)} already")
            results.failed(item.name, item.path, error)
        seen.add(item.name)
    tree.items = list({item.name: item for item in reversed(tree.items)}.values())[::-1]
    return tree


def _name_below(path: str, above: str) -> str:
    if os.path.basename(path) == os.curdir:  # "." and "DIRECTORY/.": what is in it
        return above
    last = os.path.basename(os.path.abspath(path))
    return f"{above}/{last}" if above else last


async def _is_directory(remote: Remote, name: str) -> bool:
    try:
        found = await find_exactly(remote, name)
    except TransferError as exc:
        if exc.code != Code.NOT_FOUND:
            raise
        return False
    return found.entry.is_directory
