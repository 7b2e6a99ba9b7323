"""Opening what a name leads to, below a directory and nowhere else: by the kernel's word, or step by step."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

from .errors import RefusedName, shown

__all__ = [
    "LOOK",
    "O_PATH",
    "READ",
    "RESOLVE_FROM_MEMORY",
    "SYS_OPENAT2",
    "Opener",
    "flags_without_waiting",
    "has_openat2",
    "open_by_kernel",
    "open_by_steps",
    "open_from_memory",
]

O_PATH: Final[int] = getattr(os, "O_PATH", 0)
"""A descriptor to look at, and to go on from, that wakes and touches nothing. 0 where the system has none."""

LOOK: Final = O_PATH | os.O_CLOEXEC
"""Flags for what is looked at only."""

READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""Flags for a file that is read. Opening a FIFO does not wait for who writes to it."""

_STEP: Final = (O_PATH or os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

SYS_OPENAT2: Final = 437  # the same on every architecture of Linux
_RESOLVE_NO_MAGICLINKS: Final = 0x02  # such as /proc/self/fd/3 and /proc/self/root
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_SAFELY: Final = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_CACHED: Final = 0x20  # Linux 5.12
RESOLVE_FROM_MEMORY: Final = _RESOLVE_SAFELY | _RESOLVE_CACHED | _RESOLVE_NO_XDEV
_RENAME_RETRIES: Final = 32  # a ".." inside a link's target gives EAGAIN while anything on the system is renamed

Opener = Callable[[int, str, int], int]
"""``opener(directory descriptor, checked name, flags)``: a descriptor; raises OSError."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _load_syscall() -> Callable[[int, bytes, int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    size = ctypes.sizeof(_OpenHow)

    @cache
    def how(flags: int, resolve: int) -> tuple[_OpenHow, int]:
        made = _OpenHow(flags, 0, resolve)
        return made, ctypes.addressof(made)

    def openat2(directory: int, name: bytes, flags: int, resolve: int) -> int:
        return int(syscall(SYS_OPENAT2, directory, name, how(flags, resolve)[1], size))

    return openat2


def _load_quick_syscall() -> Callable[[int, bytes, int], int]:
    """openat2 for what never waits. It keeps the interpreter's lock, takes arguments that are C's already, and leaves
    errno alone: 3.0 us where the other takes 4.4, of which 2 are the kernel's."""
    if not sys.platform.startswith("linux"):
        return lambda directory, name, flags: -1
    syscall = ctypes.PyDLL(None).syscall
    syscall.restype = ctypes.c_long
    number, size = ctypes.c_long(SYS_OPENAT2), ctypes.c_size_t(ctypes.sizeof(_OpenHow))

    @cache
    def how(flags: int) -> Any:
        return ctypes.byref(_OpenHow(flags, 0, RESOLVE_FROM_MEMORY))

    def openat2(directory: int, name: bytes, flags: int) -> int:
        return cast(int, syscall(number, directory, name, how(flags), size))

    return openat2


_openat2: Final = _load_syscall()


def open_by_kernel(directory: int, name: str, flags: int) -> int:
    """One openat2: the kernel refuses, in the one step that opens, whatever would leave the directory."""
    assert _openat2 is not None
    encoded = os.fsencode(name)
    for _ in range(_RENAME_RETRIES):
        descriptor = _openat2(directory, encoded, flags, _RESOLVE_SAFELY)
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code in (errno.EXDEV, errno.ELOOP):
            raise RefusedName(f"the name {shown(name)} leads out of the directory, or in a circle")
        if code not in (errno.EINTR, errno.EAGAIN):
            break
    raise OSError(code, os.strerror(code))


open_from_memory: Final[Callable[[int, bytes, int], int]] = _load_quick_syscall()
"""As :func:`open_by_kernel`, where no step has to be looked up on a disk and the file system stays the same.

Negative where one has to, or what is asked for is refused, or is not there: :func:`open_by_kernel` says which.
"""

_NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)  # Linux
_TMPFS: Final = 0x01021994
_ON_DISKS: Final = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0xF2F52010,  # f2fs
        0xCA451A4E,  # bcachefs
        0x794C7630,  # overlayfs
    }
)
"""File systems (statfs(2)) where what is in memory is opened without asking another machine or another program."""


def flags_without_waiting(directory: int) -> int | None:
    """The flags by which preadv2(2) reads here without waiting for a disk; ``None`` where nothing promises that, nor
    that :func:`open_from_memory` never waits: an older kernel, or a file system that is no local one.
    """
    if not has_openat2():
        return None
    facts = (ctypes.c_long * 64)()
    if ctypes.CDLL(None).fstatfs(directory, ctypes.byref(facts)) or facts[0] not in (*_ON_DISKS, _TMPFS):
        return None
    assert _openat2 is not None
    descriptor = _openat2(directory, b".", LOOK | os.O_DIRECTORY, RESOLVE_FROM_MEMORY)
    if descriptor >= 0:
        os.close(descriptor)
    elif ctypes.get_errno() != errno.EAGAIN:
        return None
    return 0 if facts[0] == _TMPFS else _NOWAIT  # tmpfs is memory, and does not know that flag


def open_by_steps(directory: int, name: str, flags: int) -> int:
    """One component at a time, following no link. For systems without openat2."""
    *above, last = name.split("/")
    here = directory
    try:
        for component in above:
            try:
                below = os.open(component, _STEP, dir_fd=here)
            except NotADirectoryError:
                _refuse_link(here, component, name)
                raise
            if here != directory:
                os.close(here)
            here = below
        try:
            descriptor = os.open(last, flags | os.O_NOFOLLOW, dir_fd=here)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR):
                _refuse_link(here, last, name)
            raise
        if flags & O_PATH and stat.S_ISLNK(os.fstat(descriptor).st_mode):  # O_PATH opens the link itself
            os.close(descriptor)
            raise RefusedName(f"there is a symbolic link in the name {shown(name)}")
        return descriptor
    finally:
        if here != directory:
            os.close(here)


def _refuse_link(directory: int, component: str, name: str) -> None:
    try:
        found = os.stat(component, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise RefusedName(f"there is a symbolic link in the name {shown(name)}")


def has_openat2() -> bool:
    """Whether this kernel has openat2, and lets us call it (some sandboxes answer EPERM)."""
    if _openat2 is None:
        return False
    descriptor = os.open("/", LOOK | os.O_DIRECTORY)
    try:
        probe = _openat2(descriptor, b".", LOOK | os.O_DIRECTORY, _RESOLVE_SAFELY)
        if probe >= 0:
            os.close(probe)
        return probe >= 0
    finally:
        os.close(descriptor)
