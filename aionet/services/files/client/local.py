"""What is on this side: a tree of files to be sent. Blocks: called in threads."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field

from aionet.errors import AionetError

from ..errors import NotAFile, RefusedName, from_os_error, shown
from ..paths import check_name
from .part import is_part_name
from .results import Item

__all__ = ["LocalTree", "scan_local"]


@dataclass(slots=True)
class LocalTree:
    """What of it can be sent.

    Attributes:
        directories: The server's names for them, each before what is in it.
        items: Files.
        failures: ``(name, path, error)`` of what cannot be read, or has no name that could be sent.
        left_out: Links and special files.
    """

    directories: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    failures: list[tuple[str, str, AionetError]] = field(default_factory=list)
    left_out: int = 0

    def add(self, path: str, name: str) -> None:
        """A file or directory that the user named; a link is followed, for he named it.

        Raises:
            TransferError: it is not there, or no regular file or directory.
        """
        try:
            found = os.stat(path)
        except OSError as exc:
            raise from_os_error(exc, path) from None
        if stat.S_ISDIR(found.st_mode):
            waiting = [(path, name)]
            while waiting:
                waiting.extend(reversed(self._add_directory(*waiting.pop())))
        elif stat.S_ISREG(found.st_mode):
            self._add_file(path, name, found)
        else:
            raise NotAFile(f"{shown(path)} is no regular file")

    def _add_directory(self, path: str, name: str) -> list[tuple[str, str]]:
        """One directory, and the files in it; returns those in it."""
        if name:
            if not self._is_sendable(name, path):
                return []
            self.directories.append(name)
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as exc:
            self.failures.append((name, path, from_os_error(exc, path)))
            return []
        below = []
        for entry in entries:
            inner = f"{name}/{entry.name}" if name else entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append((entry.path, inner))
            elif not entry.is_file(follow_symlinks=False):
                self.left_out += 1
            elif not is_part_name(entry.name):
                with suppress(FileNotFoundError):  # gone meanwhile
                    self._add_file(entry.path, inner, entry.stat(follow_symlinks=False))
        return below

    def _add_file(self, path: str, name: str, found: os.stat_result) -> None:
        if self._is_sendable(name, path):
            self.items.append(Item(name, path, name, found.st_size, found.st_mtime_ns))

    def _is_sendable(self, name: str, path: str) -> bool:
        try:
            check_name(name, hidden=True)  # whether hidden ones are taken is for the server to say
        except RefusedName as exc:
            self.failures.append((name, path, exc))
            return False
        return True


def scan_local(named: list[tuple[str, str]]) -> LocalTree:
    """Everything that is to be sent: each path, and the name it gets on the server.

    Raises:
        TransferError: one of these paths is not there, or cannot be sent.
    """
    tree = LocalTree()
    for path, name in named:
        tree.add(path, name)
    return tree
