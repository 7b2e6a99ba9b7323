"""A file for an answer: opened, looked at, and if it is small read, in one go.

In the common case that go is on the event loop and no thread is woken: what is opened by
:meth:`~aionet.services.files.paths.Directory.open_cached` and read with RWF_NOWAIT is in memory, and the kernel refuses
where it would have to wait for a disk. Then, and wherever the kernel cannot tell, a thread does the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..disk import Disk, Lease
from ..entries import is_same_version, tag_of
from ..errors import Changed, from_os_error, shown
from ..paths import Directory
from .conditions import Answer

__all__ = ["SMALL", "Outgoing", "changed_since", "open_outgoing"]

SMALL: Final = 64 * 1024
"""Bytes up to which a body is read and leaves together with its head; a longer one the kernel sends."""


@dataclass(slots=True)
class Outgoing:
    """A file that is to be sent.

    Attributes:
        answer: Which part of it, or why none.
        info: What it was when it was opened.
        tag: Its version.
        body: The bytes, where they are few.
        lease: Holds the descriptor, from which more are sent; ``None`` where nothing is open any more.
    """

    answer: Answer
    info: os.stat_result
    tag: str
    body: bytes | bytearray
    lease: Lease[int] | None = None


Choose = Callable[[os.stat_result, str], Answer]
"""The answer, by what the file is and its tag."""


async def open_outgoing(directory: Directory, disk: Disk, name: str, choose: Choose, *, body: bool = True) -> Outgoing:
    """Open a file, choose the answer, and read what is small.

    Args:
        directory: Where it is.
        disk: The threads for what is not in memory.
        name: As the client gave it.
        choose: Pure; may be called in a thread, and twice.
        body: Whether the bytes are wanted at all.

    Raises:
        TransferError: as :meth:`Directory.open_file`; CHANGED if it was written to while it was read.
    """
    opened = directory.open_cached(name)
    if opened is not None:
        outgoing = _prepare(*opened, name, choose, body, directory.nowait_flags or 0)
        if outgoing is not None:
            return outgoing
    lease = Lease(os.close)
    try:
        return await disk.run(_open_and_prepare, directory, name, choose, body, lease)
    except BaseException:  # cancelled: the thread goes on
        lease.release()
        raise


def changed_since(descriptor: int, info: os.stat_result) -> bool:
    """Whether the open file is another version than it was."""
    return not is_same_version(os.fstat(descriptor), info)


def _open_and_prepare(directory: Directory, name: str, choose: Choose, wanted: bool, lease: Lease[int]) -> Outgoing:
    outgoing = _prepare(*directory.open_file(name), name, choose, wanted, 0, lease)
    assert outgoing is not None  # without flags it is read, however long that takes
    return outgoing


def _prepare(
    descriptor: int,
    info: os.stat_result,
    name: str,
    choose: Choose,
    wanted: bool,
    flags: int,
    lease: Lease[int] | None = None,
) -> Outgoing | None:
    """``None``: with these flags it cannot be read just now. The descriptor is closed, or in a lease."""
    keep = False
    try:
        tag = tag_of(info)
        answer = choose(info, tag)
        count = answer.count
        if not wanted or not count:
            return Outgoing(answer, info, tag, b"")
        if count > SMALL:
            keep = True
            lease = lease or Lease(os.close)
            lease.put(descriptor)
            return Outgoing(answer, info, tag, b"", lease)
        body = bytearray(count)
        if os.preadv(descriptor, [body], answer.offset, flags) < count and flags:
            return None
        if changed_since(descriptor, info):
            raise Changed(f"{shown(name)} was changed while it was read")
        return Outgoing(answer, info, tag, body)
    except OSError as exc:
        if flags:
            return None
        raise from_os_error(exc, name) from None
    finally:
        if not keep:
            os.close(descriptor)
