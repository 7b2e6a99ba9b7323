"""Unix sockets live in the file system: taking over a dead one's file, permissions, and cleaning up.

``bind(2)`` leaves a file behind that outlives its process, and refuses to bind where a file is. So a file whose
socket nobody listens on any more is replaced here; one that answers is left alone, and so is everything that is
not a socket. Looking and replacing happen under a lock of the directory, so that of two servers starting at the
same moment exactly one wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["UnixFile", "bind_unix"]

MAX_PATH: Final = 107 if sys.platform == "linux" else 103
"""Bytes of ``sockaddr_un.sun_path`` less its final NUL: 108 on Linux (unix(7)), 104 on the BSDs and macOS."""

_LOCK_TRIES: Final = 50
_LOCK_PAUSE: Final = 0.02
"""Another server holds the lock for microseconds while it binds; after a second something else is wrong."""


@dataclass(frozen=True, slots=True)
class UnixFile:
    """The file of a bound Unix socket, known by its inode, so that only this very file is removed."""

    path: str
    device: int
    inode: int

    @classmethod
    def of(cls, sock: socket.socket) -> Self | None:
        """The file of this socket; ``None`` if it has none (another family, an abstract name, already removed)."""
        name = sock.getsockname() if sock.family == socket.AF_UNIX else b""
        if not name or isinstance(name, bytes):
            return None
        path = os.path.abspath(name)  # the working directory may change before the file is removed
        try:
            found = os.lstat(path)
        except OSError:
            return None
        return cls(path, found.st_dev, found.st_ino)

    def remove(self) -> bool:
        """Delete the file if it is still this one; whether it was deleted. Never raises.

        Call it before the socket is closed: while it is open the kernel gives its inode number to nobody else.
        """
        try:
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) != (self.device, self.inode):
                return False  # another server has taken the place over: its file is not ours to delete
            os.unlink(self.path)
        except OSError:
            return False
        return True


async def bind_unix(sock: socket.socket, path: str, *, mode: int | None, backlog: int) -> None:
    """Bind an unbound ``AF_UNIX`` stream socket to ``path`` and listen. The caller closes it if this raises.

    Raises:
        OSError: ``EADDRINUSE`` (somebody listens there, or no socket is there), ``ENAMETOOLONG``, ``ENOENT``...
    """
    size = len(os.fsencode(path))
    if size > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, f"the path has {size} bytes, a Unix socket's may have {MAX_PATH}")
    async with _locked(os.path.dirname(path) or "."):
        if mode is not None and sys.platform == "linux":
            os.fchmod(sock.fileno(), mode)  # Linux creates the file with these bits less the umask: never wider
        try:
            sock.bind(path)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            sock.bind(path)
        try:
            if mode is not None:
                os.chmod(path, mode)  # gives back what the umask took; nobody can connect before listen()
            sock.listen(backlog)
        except OSError:
            _remove_own(sock)
            raise


def _remove_own(sock: socket.socket) -> None:
    file = UnixFile.of(sock)
    if file is not None:
        file.remove()


def _remove_stale(path: str) -> None:
    """Delete the socket file at ``path`` if nobody listens on it; raise ``OSError`` if it must stay."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.EADDRINUSE, "a file that is not a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a live server with a full queue would otherwise hold us here
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except FileNotFoundError:
            pass  # its owner has just removed it
        except PermissionError:
            raise OSError(errno.EADDRINUSE, "a socket of another user is there") from None
        except OSError as exc:  # EAGAIN: it lives, its queue is full; EPROTOTYPE: a datagram socket lives there
            raise OSError(errno.EADDRINUSE, "another process is listening there") from exc
        else:
            raise OSError(errno.EADDRINUSE, "another process is listening there")


@contextlib.asynccontextmanager
async def _locked(directory: str) -> AsyncIterator[None]:
    """Hold flock(2) on the directory itself: no lock file, and it ends with the process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_PAUSE)
            except OSError:
                break  # a file system without flock: then without the lock
        else:
            raise OSError(errno.EADDRINUSE, f"another process holds a lock on the directory {directory}")
        yield
    finally:
        os.close(descriptor)
