"""Where files land: one directory, and below it only what the plan names. Blocks: called in threads.

The names below it came from a server, and are not trusted: each step is one plain component, opened from the one above
it without following a link. So nothing that a server lists, and no link that stands in the destination, leads out.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..entries import CONTROL
from ..errors import NotADirectory, RefusedName, TransferError, from_os_error, shown
from .part import PartFile

__all__ = ["Landing", "base_name", "choose_target", "is_component"]

_OPEN_DIRECTORIES: Final = 64
"""Descriptors of directories that are kept open: files of one directory come one after the other."""

_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_component(name: str) -> bool:
    """Whether this is one plain component of a path, and leads nowhere but to an entry of a directory."""
    return name not in ("", ".", "..") and "/" not in name and CONTROL.search(name) is None


def base_name(name: str) -> str:
    """What a file or directory of the server is called here, where nobody said it.

    Raises:
        RefusedName: as one of our own, its name would be strange, or hide, or look like an option.
    """
    last = name.rpartition("/")[2]
    if not is_component(last) or last[0] in ".-" or "\\" in last or not last.isprintable():
        raise RefusedName(f"{shown(name)} makes no good name for a file here", hint="say what to call it")
    return last


def choose_target(name: str, destination: str | os.PathLike[str] | None) -> Path:
    """Where a file of this name is to stand. A destination that is a directory, or ends with a slash, takes it in.

    Raises:
        RefusedName: the destination leaves the choice to a name that would be strange as one of our own.
    """
    if destination is None:
        return Path(base_name(name))
    text = os.fspath(destination)
    if "\0" in text:
        raise RefusedName(f"there is a NUL in the destination {shown(text)}")
    if text.endswith(os.sep) or os.path.isdir(text):
        return Path(text, base_name(name))
    return Path(text)


class Landing:
    """The destination, opened once. A context manager.

    Args:
        root: A directory. It is the user's own word, so links in it are followed.
        make: Whether it is made if it is not there.

    Raises:
        TransferError: NOT_FOUND, NOT_A_FILE, PERMISSION...
    """

    def __init__(self, root: str | os.PathLike[str], *, make: bool = False) -> None:
        self.root = os.fspath(root)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, int] = OrderedDict()
        try:
            if make:
                os.makedirs(self.root, exist_ok=True)
            self._fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (NotADirectoryError, FileExistsError):
            raise NotADirectory(f"{shown(self.root)} is not a directory") from None
        except OSError as exc:
            raise from_os_error(exc, self.root) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go. Idempotent."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def path(self, relative: str) -> str:
        """The path of something below it."""
        return os.path.join(self.root, relative)

    def make_directory(self, relative: str) -> None:
        """Make a directory, and those above it, where they are not there.

        Raises:
            TransferError: the name leads elsewhere, there is something else of that name, the system refused.
        """
        with self._lock:
            self._directory(relative)

    def part(self, relative: str) -> PartFile:
        """The file to receive into; the directories above it are made.

        Raises:
            TransferError: as :meth:`make_directory` and :class:`PartFile`.
        """
        with self._lock:
            above, last = self._above(relative)
            return PartFile(above, last, self.path(relative))

    def look(self, relative: str) -> os.stat_result | None:
        """What stands there now, if anything; a link is not followed.

        Raises:
            TransferError: as :meth:`make_directory`.
        """
        with self._lock:
            above, last = self._above(relative)
            try:
                return os.stat(last, dir_fd=above, follow_symlinks=False)
            except FileNotFoundError:
                return None
            except OSError as exc:
                raise from_os_error(exc, self.path(relative)) from exc

    def has(self, relative: str, size: int, mtime_ns: int) -> bool:
        """Whether a file of this size and time stands there; what cannot be told is not there."""
        try:
            found = self.look(relative)
        except TransferError:
            return False
        return (
            found is not None and stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (size, mtime_ns)
        )

    def _above(self, relative: str) -> tuple[int, str]:
        above, slash, last = relative.rpartition("/")
        if not is_component(last) or (slash and not above):
            raise RefusedName(f"{shown(relative)} is no name for a file here")
        return self._directory(above), last

    def _directory(self, relative: str) -> int:
        """A descriptor, which stays ours; good until the next call."""
        if not relative:
            return self._fd
        found = self._open.get(relative)
        if found is not None:
            self._open.move_to_end(relative)
            return found
        above, slash, last = relative.rpartition("/")
        if not is_component(last) or (slash and not above):
            raise RefusedName(f"{shown(relative)} is no name for a directory here")
        descriptor = self._step(self._directory(above), last, relative)
        self._open[relative] = descriptor
        if len(self._open) > _OPEN_DIRECTORIES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _step(self, above: int, last: str, relative: str) -> int:
        for _ in range(2):
            try:
                return os.open(last, _STEP, dir_fd=above)
            except FileNotFoundError:
                self._make(above, last, relative)
            except OSError as exc:
                raise self._in_the_way(exc, relative) from exc
        raise TransferError(f"{shown(self.path(relative))} is removed by somebody as often as it is made")

    def _make(self, above: int, last: str, relative: str) -> None:
        try:
            os.mkdir(last, dir_fd=above)
        except FileExistsError:
            return  # somebody was faster
        except OSError as exc:
            raise from_os_error(exc, self.path(relative)) from exc

    def _in_the_way(self, exc: OSError, relative: str) -> TransferError:
        if isinstance(exc, NotADirectoryError) or os.path.islink(self.path(relative)):
            return NotADirectory(
                f"{shown(self.path(relative))} is there, and is no directory",
                hint="links in the destination are not followed",
            )
        return from_os_error(exc, self.path(relative))
