"""A local file that is being sent. Blocks: used in threads."""

from __future__ import annotations

import hashlib
import os
import platform
import stat

from ..errors import Changed, NotAFile, shown
from .hashed import HashedFile

__all__ = ["Original", "upload_id"]

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # neither waits for the writer of a FIFO


class Original(HashedFile):
    """One version of a local file, open; what is read in order is hashed in passing.

    Args:
        path: Where it is.

    Attributes:
        size: Bytes it has, or had when it was opened.
        mtime_ns: When it was last changed, nanoseconds since the epoch.
        upload: What this version of it is called in uploads: the same next time, so that they can go on.

    Raises:
        TransferError: NOT_FOUND, NOT_A_FILE, PERMISSION...
    """

    size: int
    mtime_ns: int
    upload: str

    def __init__(self, path: str) -> None:
        super().__init__(path)
        with self._errors():
            self._fd = os.open(path, _OPEN)
        try:
            self.restart()
        except BaseException:
            self.close()
            raise

    def restart(self) -> None:
        """What it is now is the version to be sent.

        Raises:
            NotAFile: it is a directory, a device...
        """
        with self._errors():
            found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile(f"{shown(self.label)} is no regular file")
        self.size = found.st_size
        self.mtime_ns = found.st_mtime_ns
        self.upload = upload_id(found)
        self.rehash()

    def read(self, offset: int, size: int) -> bytes:
        data = super().read(offset, size)
        self.take_in(offset, data)
        return data

    def check_unchanged(self) -> None:
        """Whether all that was read is of one version.

        Raises:
            Changed: nobody can tell.
        """
        with self._errors():
            found = os.fstat(self._fd)
        if (found.st_size, found.st_mtime_ns) != (self.size, self.mtime_ns):
            raise self._changed()

    def _changed(self) -> Changed:
        return Changed(f"{shown(self.label)} was changed while it was sent", hint="try again")


def upload_id(found: os.stat_result) -> str:
    """A name for this version of this file of this machine; no two have the same but by copying a whole disk."""
    version = (platform.node(), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return hashlib.sha256(repr(version).encode()).hexdigest()[:32]
