"""A file that is being received: ``.NAME.aionet-part`` beside its final name, until it is whole and proven.

It stays where a transfer breaks off, and the next one takes from it whatever its hashes prove. So it needs no journal:
what is believed of it is what the server's manifest says of the bytes that are there now.

Everything here blocks: it is called in threads, one at a time for each file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from ..errors import Busy, NotAFile, from_os_error, shown
from ..syscalls import start_writing, sync_file_system
from .hashed import HashedFile

__all__ = ["PartFile", "finish_all", "is_part_name", "part_name"]

_SUFFIX: Final = ".aionet-part"

_MANY: Final = 16
"""Files that one syncfs brings to the disk faster than an fsync each does (20 against 200 us a file, measured)."""

_WRITE_BEHIND: Final = 32 * 1024 * 1024
"""Bytes after which the system is asked to begin bringing them to the disk: little is left for the fsync in the end."""

_BLOCK: Final = 4096
"""Bytes in which file systems have holes; of those with larger blocks some holes are filled, and nothing else."""

_SEEK_DATA: Final[int | None] = getattr(os, "SEEK_DATA", None)

_LONGEST: Final = 255
"""Bytes of a name (NAME_MAX)."""


def part_name(name: str) -> str:
    """What the file is called until it is whole. A dot file: our own server does not serve it."""
    whole = f".{name}{_SUFFIX}"
    if len(os.fsencode(whole)) <= _LONGEST:
        return whole
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{digest}{_SUFFIX}"


def is_part_name(name: str) -> bool:
    """Whether a file of this name may be one that is being received: such are neither sent nor fetched."""
    return name.startswith(".") and name.endswith(_SUFFIX)


class PartFile(HashedFile):
    """The file to write to, locked against other processes; its final name is untouched until :func:`finish_all`.

    Args:
        directory: A descriptor of the directory it lands in; stays the caller's.
        name: Its final name there. What stands there must be a regular file, if anything; it is replaced at the end.
        label: Its path, for error messages.

    Attributes:
        resumed: Whether an earlier transfer has left something.

    Raises:
        TransferError: PERMISSION, NOT_A_FILE (a directory, a device, a link), NO_SPACE; BUSY where another process
            is receiving the same file.
    """

    def __init__(self, directory: int, name: str, label: str) -> None:
        super().__init__(label)
        self.name = name
        self._part = part_name(name)
        self._size = 0
        self._written = 0  # since the system was last asked to begin with it
        self.directory = os.dup(directory)
        try:
            with self._errors():
                mode = self._refuse_what_is_there()
                self._fd = self._open_locked()
                found = os.fstat(self._fd)
                self.resumed = found.st_size > 0
                if mode is not None and mode != stat.S_IMODE(found.st_mode):
                    os.fchmod(self._fd, mode)
        except BaseException:
            self.close()
            raise

    def _refuse_what_is_there(self) -> int | None:
        """The permissions of the file that will be replaced: the new one gets them, as with ``cp``."""
        try:
            found = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):  # /dev/stdout is a link: renaming over it would replace it for everybody
            raise NotAFile(f"{shown(self.label)} is there, and is no regular file", hint="name another destination")
        return stat.S_IMODE(found.st_mode) & 0o777

    def _open_locked(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        while True:
            descriptor = os.open(self._part, flags, 0o666, dir_fd=self.directory)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_still(descriptor):
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise Busy(f"{shown(self.label)} is being received by another process") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # whoever had it locked has finished it meanwhile: it bears its final name

    def _is_still(self, descriptor: int) -> bool:
        ours = os.fstat(descriptor)
        if not stat.S_ISREG(ours.st_mode):
            raise NotAFile(f"{shown(self._part)} is no regular file", hint="remove it")
        try:
            there = os.stat(self._part, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def resize(self, size: int) -> None:
        """Make it ``size`` bytes long: what is not written is a hole.

        Raises:
            TransferError: TOO_LARGE for this file system, NO_SPACE.
        """
        with self._errors():
            try:
                os.ftruncate(self._fd, size)
            except OverflowError:  # a server may say anything
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG)) from None
            self._size = size

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        """Write there; what continues the bytes hashed so far is hashed in passing.

        Raises:
            TransferError: NO_SPACE, TOO_LARGE, IO_ERROR.
        """
        with self._errors():
            for chunk in chunks:
                self._write_all(offset, chunk if chunk[0] or chunk[-1] else self._without_hole(offset, chunk))
                self.take_in(offset, chunk)
                offset += len(chunk)
        self._written += sum(map(len, chunks))
        if self._written >= _WRITE_BEHIND:
            start_writing(self._fd, 0, 0)
            self._written = 0

    def fill(self, data: bytes) -> None:
        """All of it at once, unhashed; whatever was there before is gone.

        Raises:
            TransferError: as :meth:`write`.
        """
        if self.resumed:
            self.resize(0)
        with self._errors():
            self._write_all(0, data)

    def _write_all(self, offset: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self._fd, rest, offset)
            offset += count
            rest = rest[count:]

    def _without_hole(self, offset: int, chunk: bytes) -> bytes:
        """As much of a chunk as has to be written: zeros in a hole need not, so that a sparse file stays one.

        A chunk may begin inside a block that is no hole.
        """
        if chunk != bytes(len(chunk)):
            return chunk
        end = offset + len(chunk)
        for start in (offset, min(offset + -offset % _BLOCK, end)):
            if self.next_data(start) >= end:
                return chunk[: start - offset]
        return chunk

    def next_data(self, offset: int) -> int:
        """Where the first bytes from ``offset`` on are that are no hole; the size of the file if there are none."""
        if _SEEK_DATA is None:
            return offset
        try:
            return os.lseek(self._fd, offset, _SEEK_DATA)
        except OSError as exc:
            return self._size if exc.errno == errno.ENXIO else offset  # EINVAL: all of it counts as data

    def set_time(self, mtime_ns: int) -> None:
        """Give it the time of the file it is a copy of."""
        if mtime_ns:
            with self._errors():
                try:
                    os.utime(self._fd, ns=(mtime_ns, mtime_ns))
                except OverflowError:  # a server may say anything
                    return

    def rename(self) -> None:
        """Give it its final name.

        Raises:
            OSError: what the system said.
        """
        os.replace(self._part, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        self._part = ""

    def close(self) -> None:
        """Let go. What holds anything stays, for the next attempt; an empty one is removed. Idempotent."""
        if self._fd >= 0:
            with suppress(OSError):  # somebody tidied up, or the directory cannot be written to any more
                if self._part and not os.fstat(self._fd).st_blocks:
                    os.unlink(self._part, dir_fd=self.directory)
        super().close()
        if self.directory >= 0:
            os.close(self.directory)
            self.directory = -1


def finish_all(parts: Sequence[PartFile]) -> None:
    """Bring them to the disk, then give them their final names, then bring these to the disk.

    After a power cut each final name is either as it was before, or the whole new file: none of them is renamed before
    all of them are on the disk. Many files of one file system are synced together.

    Raises:
        TransferError: the system refused; those not yet renamed are as they were.
    """
    with _said_of(parts):
        _sync_all(parts)
        directories: dict[tuple[int, int], int] = {}
        for part in parts:
            part.rename()
            found = os.fstat(part.directory)
            directories.setdefault((found.st_dev, found.st_ino), part.directory)
        for directory in directories.values():
            os.fsync(directory)


@contextmanager
def _said_of(parts: Sequence[PartFile]) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise from_os_error(exc, parts[0].label) from exc


def _sync_all(parts: Sequence[PartFile]) -> None:
    same = len({os.fstat(part.fileno()).st_dev for part in parts}) == 1
    if not (same and len(parts) >= _MANY and sync_file_system(parts[0].fileno())):
        for part in parts:
            os.fsync(part.fileno())
