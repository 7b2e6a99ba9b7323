"""Writing whole blocks past the page cache (O_DIRECT). Blocks; for threads.

A large upload is seldom read soon, and pushes what is read often out of memory. Through the page cache a GiB takes 0.4
to 2 s of CPU, for pages that are found, filled and thrown out again; past it, 0.2 s. What is no whole block, and what a
file system does not take so, is left to the caller, who is told how much went.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

__all__ = ["BLOCK", "Buffers", "write_directly"]

BLOCK: Final = 4096
"""Bytes of which offset and size have to be multiples; disks with larger blocks refuse, and are written as usual."""

_LEAST: Final = 64 * 1024
"""Bytes below which waiting for the disk would cost more than copying."""

_BUFFER: Final = 2 * 1024 * 1024
"""Bytes of a thread's buffer, for the disk takes them from whole pages only."""

_O_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)  # Linux, FreeBSD

_of_thread = threading.local()


class Buffers:
    """Memory of whole pages, to receive into and to write from without a copy; what is given back is used again.

    Args:
        size: Bytes of each.
        kept: How many of those that are given back are kept.
        most: How many there may be of this size; whoever comes then gets a small one.
        small: Bytes of a small one.
    """

    def __init__(self, size: int, *, kept: int, most: int, small: int) -> None:
        self._size = size
        self._kept = kept
        self._most = most
        self._small = small
        self._free: list[memoryview] = []
        self._there: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()  # as long as anybody has a view of it

    def take(self) -> memoryview:
        """One that nobody else has, with anything in it. It need not be given back: then it is not used again."""
        if self._free:
            return self._free.pop()
        if len(self._there) >= self._most:
            return memoryview(mmap.mmap(-1, self._small))
        memory = mmap.mmap(-1, self._size)
        self._there.add(memory)
        return memoryview(memory)

    def give_back(self, buffer: memoryview) -> None:
        """No thread reads or writes it any more."""
        if len(self._free) < self._kept and len(buffer) == self._size:
            self._free.append(buffer)


def write_directly(descriptor: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
    """Write as much of the pieces, one behind the other, as goes this way; how many bytes that were, from the first on.

    Args:
        descriptor: Nobody else uses it, or what shares its flags, meanwhile.
        pieces: They are copied once, unless it is a single one of whole pages.
        offset: Where the first belongs.

    Raises:
        OSError: ENOSPC, EIO...
    """
    size = sum(map(len, pieces))
    whole = size - size % BLOCK
    if not _O_DIRECT or not _LEAST <= size <= _BUFFER or offset % BLOCK:
        return 0
    try:
        with _past_the_cache(descriptor):
            return os.pwrite(descriptor, _in_whole_pages(pieces)[:whole], offset)
    except OSError as exc:
        if exc.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return 0
        raise


@contextmanager
def _past_the_cache(descriptor: int) -> Iterator[None]:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


def _in_whole_pages(pieces: Sequence[bytes | memoryview]) -> memoryview:
    if len(pieces) == 1 and isinstance(pieces[0], memoryview):
        return pieces[0]  # of Buffers; were it another, the system would refuse it
    buffer, end = _buffer(), 0
    for piece in pieces:
        buffer[end : end + len(piece)] = piece
        end += len(piece)
    return buffer


def _buffer() -> memoryview:
    found: memoryview | None = getattr(_of_thread, "buffer", None)
    if found is None:
        found = _of_thread.buffer = memoryview(mmap.mmap(-1, _BUFFER))
    return found
