"""Small files that are in memory: looked at, opened, read and looked at again, without ever waiting for a disk.

So it may be done on an event loop, where a hop to a thread would cost more than all of it. ``_memory.pyx`` is the same,
compiled: this serves where there is no compiler.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from .entries import is_same_version
from .opening import LOOK, READ, open_from_memory

__all__ = ["SmallFile", "read_from_memory"]

_Found = tuple[int, int, int, int, bytes]


class SmallFile(NamedTuple):
    """Some bytes of a file, and which version of it they are of. The names are those of :class:`os.stat_result`.

    Attributes:
        st_ino: Its number.
        st_size: Bytes of the whole.
        st_mtime_ns, st_ctime_ns: When it was last changed, nanoseconds since the epoch.
        content: The bytes asked for.
    """

    st_ino: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    content: bytes


def read_from_memory(directory: int, name: bytes, offset: int, length: int, limit: int, flags: int) -> _Found | None:
    """The fields of a :class:`SmallFile`; ``None`` where it would have to be waited for, where there is no such file or
    part of one, and where it was changed meanwhile: ask somebody who may wait, and can say why.

    Args:
        directory: Descriptor of the directory that the name is relative to.
        name: Checked, encoded.
        offset: Of the first byte.
        length: Bytes wanted, as far as there are; negative: all.
        limit: Bytes that these may be at most.
        flags: Of preadv2(2): those of :func:`~aionet.services.files.opening.flags_without_waiting`.
    """
    looking = open_from_memory(directory, name, LOOK)  # neither wakes the writer of a FIFO nor touches a device
    if looking < 0:
        return None
    try:
        count = _count(os.fstat(looking), offset, length)
    finally:
        os.close(looking)
    if not 0 <= count <= limit:
        return None
    descriptor = open_from_memory(directory, name, READ)
    if descriptor < 0:
        return None
    try:
        found = os.fstat(descriptor)
        count = _count(found, offset, length)
        if not 0 <= count <= limit:
            return None
        content = bytearray(count)
        if count and os.preadv(descriptor, [content], offset, flags) < count:
            return None
        now = os.fstat(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if not is_same_version(now, found):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, bytes(content)


def _count(found: os.stat_result, offset: int, length: int) -> int:
    """Bytes that are asked for; negative where there are none to be had."""
    there = found.st_size - offset
    if not stat.S_ISREG(found.st_mode) or there < 0:
        return -1
    return there if length < 0 else min(length, there)
