"""Files that are being received: where they are until they are whole, and what is known of them.

They lie in a hidden directory of the directory served, so on the same disk, and get their final name by renaming. What
is known of one stands in the file itself, and so outlives connection and process: its size is what was received, its
time when, and its name is a digest of whose upload it is. A lock (flock) is held on it by whoever is at it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from .direct import write_directly
from .errors import Busy, Code, Mismatch, TransferError, from_os_error, make_error, shown
from .hashing import SHA256, Algorithm
from .paths import PARTIAL_DIRECTORY, Directory
from .rules import ANYBODY, Rules
from .syscalls import start_writing
from .usage import Usage, owner_of, set_owner

__all__ = ["Partials", "Upload"]

_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX: Final = ".part"

_MAX_VECTORS: Final = 512
"""Pieces written by one call; the system takes 1024 (IOV_MAX)."""

_READ_BACK: Final = 1024 * 1024
"""Bytes read at once to be hashed, where the hash could not go along with the writing."""

_WRITE_BEHIND: Final = 64 * 1024 * 1024
"""Bytes after which the system is asked to begin with the disk: then the fsync at the end has little to wait for."""

_LARGE: Final = 16 * 1024 * 1024
"""Bytes of a file from which on it is written past the page cache. Smaller ones go to the disk many at once."""

_SILENCE: Final = 5.0
"""Seconds without a byte after which a connection at an upload gives way to another that goes on with it: after a cut
the client is back long before the server knows that it was gone."""

_EXPIRY_CHECK: Final = 600.0
"""Seconds between two looks for partial files that nobody goes on with."""


class Upload:
    """One partial file, while somebody is at it. Blocks; for threads, one at a time.

    Attributes:
        name: What it is to be called.
        user: Whose it is.
        key: What the partial file is called.
        received: Bytes there are.
    """

    def __init__(self, partials: Partials, descriptor: int, key: str, user: str, name: str) -> None:
        self.name = name
        self.user = user
        self.key = key
        self.received = os.fstat(descriptor).st_size
        self._partials = partials
        self._fd = descriptor
        self._lock = threading.Lock()
        self._used_at = time.monotonic()
        self._algorithm = SHA256
        self._hash = SHA256.new()
        self._hashed = 0  # bytes from the start that are in the hash
        self._started = self.received  # bytes that the system was asked to write
        self._is_large = False

    @contextmanager
    def held(self) -> Iterator[int]:
        """Its descriptor, which stays open and ours until the block is left.

        Raises:
            Busy: another connection has taken it over.
        """
        with self._lock:
            if self._fd < 0:
                raise Busy(f"another connection has gone on with this upload of {shown(self.name)}")
            try:
                yield self._fd
            finally:
                self._used_at = time.monotonic()

    @property
    def closed(self) -> bool:
        """Whether it was closed, by whomever."""
        return self._fd < 0

    def announce(self, offset: int, total: int) -> None:
        """Bytes are coming, from ``offset`` on, and it is going to have ``total``. Nothing is set aside: they come
        piece by piece. Refused, an upload of which nothing was received is removed, and closed: it would count as a
        file.

        Raises:
            TransferError: TOO_LARGE, QUOTA, BAD_RANGE (behind what was received).
        """
        self._is_large = total >= _LARGE
        with self._nothing_left_behind():
            self._partials.rules.check_writing(self.name, total)
            if total > self.received:
                self._partials.usage.reserve(self.user, total - self.received)
                self._partials.usage.release(self.user, total - self.received)
            self._check_offset(offset)

    def hash_with(self, algorithm: Algorithm) -> None:
        """By which algorithm what comes is hashed, from now on; what came before is read again once that is needed."""
        if algorithm is not self._algorithm:
            self._algorithm, self._hash, self._hashed = algorithm, algorithm.new(), 0

    def write(self, pieces: Sequence[bytes | memoryview], offset: int) -> None:
        """Put the pieces there, one behind the other, from ``offset`` on.

        Raises:
            TransferError: BAD_RANGE (behind what was received), TOO_LARGE, QUOTA, NO_SPACE, IO_ERROR; after the latter
                two, some of it may have been written: ``received`` tells. If there is nothing, as :meth:`announce`.
        """
        with self._nothing_left_behind():
            self._check_offset(offset)
            end = offset + sum(map(len, pieces))
            self._partials.rules.check_writing(self.name, end)
            with self.held() as descriptor:
                self._write(descriptor, pieces, offset, end)

    def _check_offset(self, offset: int) -> None:
        if offset > self.received:
            raise make_error(Code.BAD_RANGE, f"offset {offset}: {self.received} bytes of {shown(self.name)} are there")

    @contextmanager
    def _nothing_left_behind(self) -> Iterator[None]:
        try:
            yield
        except TransferError:
            with self._lock:
                if self._fd >= 0 and not self.received:
                    with suppress(OSError):  # then it expires
                        self._partials.remove(self)
                    self._close()
            raise

    def _write(self, descriptor: int, pieces: Sequence[bytes | memoryview], offset: int, end: int) -> None:
        usage, before = self._partials.usage, self.received
        usage.reserve(self.user, max(end - before, 0))
        try:
            done = write_directly(descriptor, pieces, offset) if self._is_large else 0
            if done < end - offset:
                _write_all(descriptor, _without(done, pieces), offset + done)
            self.received = max(before, end)
        except OSError as exc:
            self.received = os.fstat(descriptor).st_size
            usage.release(self.user, max(end - before, 0) - (self.received - before))
            self._forget_hash(offset)
            raise from_os_error(exc, self.name) from None
        if offset == self._hashed:
            for piece in pieces:
                self._hash.update(piece)
            self._hashed = end
        else:
            self._forget_hash(offset)
        if self.received - self._started >= _WRITE_BEHIND:
            start_writing(descriptor, self._started, self.received - self._started)
            self._started = self.received

    def verify(self, total: int, digest: str, algorithm: Algorithm) -> None:
        """Is it what was promised?

        Raises:
            Mismatch: another size, or another digest.
            TransferError: IO_ERROR.
        """
        if self.received != total:
            raise Mismatch(f"{self.received} bytes of {shown(self.name)} were received, not {total}")
        found = self.digest(algorithm)
        if found != digest:
            raise Mismatch(f"the {algorithm.title} of what was received for {shown(self.name)} is {found}")

    def digest(self, algorithm: Algorithm) -> str:
        """The digest of what was received, in hexadecimal. What was not hashed by this algorithm as it came is read.

        Raises:
            Busy: it is closed.
            TransferError: IO_ERROR.
        """
        self.hash_with(algorithm)
        with self.held() as descriptor:
            try:
                self._catch_up(descriptor)
            except OSError as exc:
                raise from_os_error(exc, self.name) from None
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let others be at it. Idempotent."""
        with self._lock:
            self._close()

    def heard(self) -> None:
        """More of it is on its way: whoever is at it is there. May be called while a thread is at it."""
        self._used_at = time.monotonic()

    def give_way(self) -> bool:
        """Close it, if nobody uses it just now, nor has for a while; whether it is closed."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if time.monotonic() - self._used_at < _SILENCE:
                return False
            self._close()
            return True
        finally:
            self._lock.release()

    def _close(self) -> None:
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _forget_hash(self, offset: int) -> None:
        if offset < self._hashed:
            self._hash, self._hashed = self._algorithm.new(), 0

    def _catch_up(self, descriptor: int) -> None:
        """Hash what was received in another connection, or not in order."""
        buffer = memoryview(bytearray(min(_READ_BACK, max(self.received - self._hashed, 1))))
        while self._hashed < self.received:
            count = os.preadv(descriptor, [buffer], self._hashed)
            if not count:
                raise OSError(errno.EIO, "a partial file became smaller")
            self._hash.update(buffer[:count])
            self._hashed += count


def _without(done: int, pieces: Sequence[bytes | memoryview]) -> Sequence[bytes | memoryview]:
    """What is left of them behind the first ``done`` bytes."""
    return [b"".join(pieces)[done:]] if done else pieces


def _write_all(descriptor: int, pieces: Sequence[bytes | memoryview], offset: int) -> None:
    for start in range(0, len(pieces), _MAX_VECTORS):
        some = pieces[start : start + _MAX_VECTORS]
        size, written = sum(map(len, some)), 0
        if size:
            written = os.pwritev(descriptor, some, offset)
        if written < size:  # a disk that has just become full says so at the next write
            rest = memoryview(b"".join(some))[written:]
            while rest:
                done = os.pwrite(descriptor, rest, offset + size - len(rest))
                rest = rest[done:]
        offset += size


class Partials:
    """The partial files of one directory, in a hidden one that is made when the first one comes. For threads."""

    def __init__(self, directory: Directory, rules: Rules, usage: Usage) -> None:
        self.rules = rules
        self.usage = usage
        self._directory = directory
        self._fd = -1
        self._held: weakref.WeakValueDictionary[str, Upload] = weakref.WeakValueDictionary()  # of this process
        self._lock_directory = threading.Lock()
        self._next_expiry = 0.0

    def open(self, user: str, name: str, upload: str, *, create: bool) -> Upload | None:
        """Be at this upload; ``None`` if there is none and none is to be made.

        Raises:
            Busy: somebody else is.
            TransferError: QUOTA (too many of them), or what the system said.
        """
        key = self._key(user, name, upload)
        try:
            with self._lock_directory:
                if not self._open_directory(create=create):
                    return None
            while True:
                descriptor = self._open_file(key, user, create=create)
                if descriptor is None:
                    return None
                if self._take(descriptor, key, name):
                    found = self._held[key] = Upload(self, descriptor, key, user, name)
                    return found
        except TransferError:
            raise
        except OSError as exc:
            raise from_os_error(exc, name) from None

    def remove(self, upload: Upload) -> None:
        """Remove it; what it held is free again.

        Raises:
            OSError: what the system said.
        """
        os.unlink(upload.key, dir_fd=self._fd)
        self.usage.release(upload.user, upload.received, files=1)

    @property
    def descriptor(self) -> int:
        """Of the hidden directory, for renaming out of it; it stays ours."""
        return self._fd

    def _key(self, user: str, name: str, upload: str) -> str:
        return hashlib.sha256("\0".join((user, name, upload)).encode()).hexdigest()[:40] + _SUFFIX

    def _open_directory(self, *, create: bool) -> bool:
        if self._fd >= 0:
            if create and time.monotonic() >= self._next_expiry:
                self._expire()
            return True
        root = self._directory.open_root()
        try:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(PARTIAL_DIRECTORY, 0o700, dir_fd=root)
            try:
                descriptor = os.open(PARTIAL_DIRECTORY, _OPEN_DIRECTORY, dir_fd=root)
            except FileNotFoundError:
                return False
        finally:
            os.close(root)
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:  # others could change what was verified
            os.close(descriptor)
            raise TransferError(f"{PARTIAL_DIRECTORY} belongs to somebody else, or others may write to it")
        self._fd = descriptor
        weakref.finalize(self, os.close, descriptor)
        self._expire()
        return True

    def _open_file(self, key: str, user: str, *, create: bool) -> int | None:
        try:
            return os.open(key, _OPEN, dir_fd=self._fd)
        except FileNotFoundError:
            if not create:
                return None
        if len(os.listdir(self._fd)) >= self.rules.max_partials:
            raise make_error(Code.QUOTA, f"there are {self.rules.max_partials} unfinished uploads already")
        self.usage.reserve(user, 0, files=1)
        try:
            descriptor = os.open(key, _OPEN | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._fd)
        except FileExistsError:  # another connection was faster
            self.usage.release(user, 0, files=1)
            return os.open(key, _OPEN, dir_fd=self._fd)
        except OSError:
            self.usage.release(user, 0, files=1)
            raise
        try:
            if self.rules.has_user_quota:
                set_owner(self._fd, key, user)
        except OSError:  # a full disk: a file that is nobody's would be charged to nobody
            os.close(descriptor)
            os.unlink(key, dir_fd=self._fd)
            self.usage.release(user, 0, files=1)
            raise
        return descriptor

    def _take(self, descriptor: int, key: str, name: str) -> bool:
        """Whether the file is ours now; if not, it is closed, and it may be tried again."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found, named = os.fstat(descriptor), os.stat(key, dir_fd=self._fd, follow_symlinks=False)
            if found.st_ino == named.st_ino:
                if found.st_nlink == 1:
                    return True
                os.unlink(key, dir_fd=self._fd)  # its final name is there: the power went between the two steps
        except BlockingIOError:
            os.close(descriptor)
            holder = self._held.get(key)
            if holder is not None and holder.give_way():
                return False
            raise Busy(f"somebody is at this upload of {shown(name)} already") from None
        except FileNotFoundError:
            pass  # committed or removed meanwhile
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return False

    def _expire(self) -> None:
        """Remove those that nothing has come for, for long."""
        self._next_expiry = time.monotonic() + _EXPIRY_CHECK
        edge = time.time() - self.rules.partial_age
        for key in os.listdir(self._fd):
            try:
                if os.stat(key, dir_fd=self._fd, follow_symlinks=False).st_mtime < edge:
                    self._expire_one(key)
            except OSError:
                continue  # gone meanwhile, or somebody is at it

    def _expire_one(self, key: str) -> None:
        descriptor = os.open(key, _OPEN, dir_fd=self._fd)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            owner = owner_of(self._fd, key) if self.rules.has_user_quota else ANYBODY
            os.unlink(key, dir_fd=self._fd)
            self.usage.release(owner, os.fstat(descriptor).st_size, files=1)
        finally:
            os.close(descriptor)
