"""Calls of Linux that the ``os`` module lacks. Where they are missing, what is next best."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any, Final

__all__ = ["rename_new", "start_writing", "sync_file_system"]

_RENAME_NOREPLACE: Final = 1
_SYNC_FILE_RANGE_WRITE: Final = 2
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


def _load(name: str, *arguments: Any) -> Callable[..., int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)  # glibc 2.28, musl 1.2
    if function is not None:
        function.argtypes = arguments
        function.restype = ctypes.c_int
    return function


_renameat2: Final = _load("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_syncfs: Final = _load("syncfs", ctypes.c_int)
_sync_file_range: Final = _load("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def rename_new(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """Rename, unless there is something of the new name.

    In one step by renameat2(2); where the file system or the system has none, another program could put something there
    in between.

    Raises:
        FileExistsError: there is.
        OSError: what the system said.
    """
    if _renameat2 is not None:
        done = _renameat2(src_dir_fd, os.fsencode(old), dst_dir_fd, os.fsencode(new), _RENAME_NOREPLACE)
        code = ctypes.get_errno() if done < 0 else 0
        if not code:
            return
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), new)
    try:
        os.stat(new, dir_fd=dst_dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)


def start_writing(descriptor: int, offset: int, count: int) -> None:
    """Ask the system to begin bringing these bytes of a file to the disk (sync_file_range(2)); 0: all from there on.

    It only saves time: an fsync that follows finds less to do. Nothing is promised, and nothing raised.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, count, _SYNC_FILE_RANGE_WRITE)


def sync_file_system(descriptor: int) -> bool:
    """Bring all of the file system that this file is on to the disk, by syncfs(2); ``False``: there is no such call.

    Raises:
        OSError: some of it could not be written (Linux 5.8; before, nobody is told).
    """
    if _syncfs is None:
        return False
    if _syncfs(descriptor) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return True
