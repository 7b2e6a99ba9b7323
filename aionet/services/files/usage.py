"""How much is in a directory, and whose it is: what quotas are measured by. A directory counts as an empty file.

The truth is on the disk: it is counted once, kept up with what this server does, and counted again before anything is
refused. Whose a file is stands in an extended attribute of it.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from aionet.errors import ConfigError

from .errors import Code, make_error
from .paths import PARTIAL_DIRECTORY, Directory
from .rules import ANYBODY, Rules

__all__ = ["Usage", "owner_of", "set_owner"]

_ATTRIBUTE: Final = "user.aionet.owner"
_ABSENT: Final = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT, errno.EACCES, errno.EPERM})

_RECOUNT_AFTER: Final = 10.0
"""Seconds between two counts: a million files take some."""


@dataclass(slots=True)
class _Count:
    bytes: int = 0
    files: int = 0


class Usage:
    """Bytes and files, in all and by user. Counts nothing where no quota is set. Blocks; for threads.

    Raises:
        ConfigError: a quota by user, and a file system without extended attributes.
    """

    def __init__(self, directory: Directory, rules: Rules) -> None:
        self._directory = directory
        self._rules = rules
        self._lock = threading.Lock()
        self._counted_at: float | None = None
        self._all = _Count()
        self._by_user: defaultdict[str, _Count] = defaultdict(_Count)
        if rules.has_user_quota:
            self._require_attributes()

    def reserve(self, user: str, size: int, files: int = 0) -> None:
        """Take this much more, if the quotas allow it.

        Raises:
            TransferError: QUOTA.
        """
        if not self._rules.has_quota:
            return
        with self._lock:
            why = self._why_not(user, size, files)
            if why is not None and self._count_again():
                why = self._why_not(user, size, files)
            if why is not None:
                raise make_error(Code.QUOTA, why)
            self._add(user, size, files)

    def release(self, user: str, size: int, files: int = 0) -> None:
        """Give this much back."""
        if self._rules.has_quota:
            with self._lock:
                self._add(user, -size, -files)

    def _add(self, user: str, size: int, files: int) -> None:
        for count in (self._all, self._by_user[user]):
            count.bytes += size
            count.files += files

    def _why_not(self, user: str, size: int, files: int) -> str | None:
        if self._counted_at is None:
            self._count_again()
        rules, own = self._rules, self._by_user[user]
        for count, bytes_allowed, files_allowed, whose in (
            (own, rules.user_quota_bytes, rules.user_quota_files, "your files"),
            (self._all, rules.quota_bytes, rules.quota_files, "the files here"),
        ):
            if bytes_allowed is not None and size > 0 and count.bytes + size > bytes_allowed:
                return f"{whose} would have {count.bytes + size} bytes; {bytes_allowed} are allowed"
            if files_allowed is not None and files > 0 and count.files + files > files_allowed:
                return f"{whose} would be {count.files + files}; {files_allowed} are allowed"
        return None

    def _count_again(self) -> bool:
        """Ask the disk, unless it was asked just now; whether it was."""
        now = time.monotonic()
        if self._counted_at is not None and now - self._counted_at < _RECOUNT_AFTER:
            return False
        self._all, self._by_user = _Count(), defaultdict(_Count)
        root = self._directory.open_root()
        try:
            for _, directories, names, at in os.fwalk(".", dir_fd=root, follow_symlinks=False):
                for name in (*directories, *names):
                    self._count_one(at, name)
        finally:
            os.close(root)
        self._counted_at = time.monotonic()
        return True

    def _count_one(self, directory: int, name: str) -> None:
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return  # gone meanwhile
        is_directory = stat.S_ISDIR(found.st_mode)
        if stat.S_ISREG(found.st_mode) or (is_directory and name != PARTIAL_DIRECTORY):
            user = owner_of(directory, name) if self._rules.has_user_quota else ANYBODY
            self._add(user, 0 if is_directory else found.st_size, 1)

    def _require_attributes(self) -> None:
        root = self._directory.open_root()
        try:
            if hasattr(os, "getxattr"):  # Linux
                os.getxattr(root, _ATTRIBUTE)
                return
        except OSError as exc:
            if exc.errno in (errno.ENODATA, errno.EACCES):
                return
        finally:
            os.close(root)
        raise ConfigError("quotas by user need a file system with extended attributes", hint="without: quotas in all")


def owner_of(directory: int, name: str) -> str:
    """The user who sent this file; :data:`ANYBODY` if nobody knows, or we may not. A symbolic link is not followed."""
    try:
        owner = os.getxattr(f"/proc/self/fd/{directory}/{name}", _ATTRIBUTE, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in _ABSENT:
            return ANYBODY
        raise
    return owner.decode(errors="replace")


def set_owner(directory: int, name: str, user: str) -> None:
    """Note down whose this file, or directory, is."""
    os.setxattr(f"/proc/self/fd/{directory}/{name}", _ATTRIBUTE, user.encode(), follow_symlinks=False)
