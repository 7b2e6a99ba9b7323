"""A file that is being received: under another name beside its final one, until it is whole."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from .entries import CONTROL
from .errors import NotAFile, RefusedName, TransferError, from_os_error, shown

__all__ = ["PartFile", "choose_target"]


def choose_target(name: str, destination: str | os.PathLike[str] | None) -> Path:
    """Where a file of this name is to stand.

    Raises:
        RefusedName: the destination leaves the choice to a name that would be strange as one of our own.
    """
    if destination is not None:
        text = os.fspath(destination)
        if "\0" in text:
            raise RefusedName(f"there is a NUL in the destination {shown(text)}")
        if not text.endswith(os.sep) and not os.path.isdir(text):
            return Path(text)
    last = name.rpartition("/")[2]
    if not last or last[0] in ".-" or "\\" in last or CONTROL.search(last) or not last.isprintable():
        raise RefusedName(f"{shown(name)} makes no good name for a file here", hint="say what to call it")
    return Path(last) if destination is None else Path(destination, last)


class PartFile:
    """The file to write to; blocks, so used in a thread.

    Args:
        target: The final path. What stands there must be a regular file, if anything; it is replaced at the end.

    Raises:
        TransferError: NOT_FOUND (no such directory), PERMISSION, NOT_A_FILE (a directory, a device, a link), NO_SPACE.
    """

    def __init__(self, target: Path) -> None:
        self._name = target.name
        self._shown = str(target)
        self._part = f".aionet-{secrets.token_hex(8)}.part"  # a dot file: our own server does not serve it
        self._hash = hashlib.sha256()
        self._fd = -1
        try:
            self._directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise from_os_error(exc, str(target.parent)) from exc
        try:
            self._refuse_what_is_there()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(self._part, flags, 0o666, dir_fd=self._directory)
        except OSError as exc:
            self.close()
            raise from_os_error(exc, self._shown) from exc

    def _refuse_what_is_there(self) -> None:
        try:
            found = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):  # /dev/stdout is a link: renaming over it would replace it for everybody
            raise NotAFile(f"{shown(self._shown)} is there, and is no regular file", hint="name another destination")

    def write(self, chunks: list[bytes]) -> None:
        """Append, and take into the hash.

        Raises:
            TransferError: NO_SPACE, TOO_LARGE, IO_ERROR.
        """
        try:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
                self._hash.update(chunk)
        except OSError as exc:
            raise from_os_error(exc, self._shown) from exc

    def finish(self) -> str:
        """Bring it to the disk, give it its final name, bring that to the disk too; return the SHA-256.

        Raises:
            TransferError: the system refused; the final name is as it was before.
        """
        try:
            os.fsync(self._fd)
            os.replace(self._part, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._part = ""
            os.fsync(self._directory)
        except OSError as exc:
            raise from_os_error(exc, self._shown) from exc
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let go; what was not finished is removed. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._part:
                self._remove()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _remove(self) -> None:
        try:
            os.unlink(self._part, dir_fd=self._directory)
        except FileNotFoundError:
            return  # somebody tidied up
        except OSError as exc:
            what = f"{self._part}, beside {shown(self._shown)}"
            raise TransferError(f"{what}, is left behind: {exc.strerror}", hint="remove it by hand") from exc
