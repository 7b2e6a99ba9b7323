"""What clients change in a directory: uploads that become files, directories made, names removed and changed.

A file stands under its final name only when it is whole: it is received beside, proven by its hash, brought to the disk
(fsync), and renamed; then the directory is brought to the disk. ``kill -9`` at any moment leaves a partial file at
most.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aionet.errors import ConfigError

from .entries import tag_of
from .errors import BadRequest, Busy, Code, Conflict, NotAFile, TransferError, from_os_error, make_error, shown
from .partial import Partials, Upload
from .paths import Directory, check_name
from .rules import ANYBODY, Rules
from .syscalls import rename_new, start_writing
from .usage import Usage, owner_of, set_owner

__all__ = ["Claim", "Store"]


@dataclass(frozen=True, slots=True)
class Claim:
    """An upload that has been verified and is to get its name.

    Attributes:
        upload: Stays the caller's to close.
        mtime_ns: Nanoseconds since the epoch; ``None``: now.
        tag: The version that is to be replaced; ``None``: whatever is there.
        new: Whether nothing of that name may be there.
    """

    upload: Upload
    mtime_ns: int | None = None
    tag: str | None = None
    new: bool = False


class Store:
    """What may be written to a directory. Blocks; for threads, any number at once.

    Args:
        directory: Stays the caller's to close.
        rules: What is allowed.

    Raises:
        ConfigError: a quota by user, and a file system without extended attributes.
    """

    def __init__(self, directory: Directory, rules: Rules) -> None:
        self.directory = directory
        self.rules = rules
        self._usage = Usage(directory, rules)
        self._partials = Partials(directory, rules, self._usage)
        self._lock = threading.Lock()  # between looking at what is there and replacing it

    @classmethod
    def of(
        cls, directory: str | os.PathLike[str] | Directory | Store, *, hidden: bool, rules: Mapping[str, Any]
    ) -> Store:
        """What a service was given as its directory, as a store.

        Args:
            directory: A path; a ``Directory``; or a store, which several services then share.
            hidden: Whether names that begin with a dot are served; only for a path.
            rules: Fields of :class:`~.rules.Rules`; not for a store.

        Raises:
            ConfigError: the directory cannot be served, or a rule makes no sense; or more was said of one that is made.
        """
        if isinstance(directory, Store):
            if rules or hidden:
                raise ConfigError("a store has its own rules: give them where it is made")
            return directory
        if not isinstance(directory, Directory):
            directory = Directory(directory, hidden=hidden)
        return cls(directory, Rules(**rules))

    def begin(self, user: str, name: str, upload: str) -> Upload:
        """Be at an upload, a new one or one that goes on. The caller closes it.

        Args:
            user: Whose it is.
            name: What it is to be called.
            upload: The client's own word for it.

        Raises:
            TransferError: FORBIDDEN, REFUSED_NAME, NOT_FOUND (no directory to put it into), NOT_A_FILE (there is
                something else), QUOTA, BUSY, or what the system said.
        """
        self.rules.check_writing(name)
        with self._parent(name) as (parent, last):
            _look_at_file(parent, last, name)  # nobody shall send gigabytes to hear that there is a directory
        found = self._partials.open(user, name, upload, create=True)
        assert found is not None
        return found

    def resume(self, user: str, name: str, upload: str) -> Upload | None:
        """Be at an upload, if there is one. The caller closes it.

        Raises:
            TransferError: as :meth:`begin`.
        """
        self.rules.check_writing(name)
        check_name(name, hidden=self.directory.hidden)
        return self._partials.open(user, name, upload, create=False)

    def cancel(self, user: str, name: str, upload: str) -> None:
        """Remove an upload, if there is one.

        Raises:
            TransferError: as :meth:`begin`.
        """
        found = self.resume(user, name, upload)
        if found is not None:
            try:
                with _said_of(name):
                    self._partials.remove(found)
            finally:
                found.close()

    def commit(self, claims: Sequence[Claim]) -> list[os.stat_result | TransferError]:
        """Give each upload its name, and say of each what stands there now, or why not.

        What is committed together goes to the disk together: all are written before the first is waited for, and each
        directory is synchronised once.
        """
        if len(claims) > 1:
            for claim in claims:
                with suppress(Busy), claim.upload.held() as descriptor:
                    start_writing(descriptor, 0, 0)
        outcomes: list[os.stat_result | TransferError] = []
        changed: dict[tuple[int, int], int] = {}  # descriptors of directories, by device and inode
        try:
            for claim in claims:
                try:
                    outcomes.append(self._commit_one(claim, changed))
                except TransferError as exc:
                    outcomes.append(exc)
            for parent in changed.values():
                os.fsync(parent)
        except OSError as exc:  # nobody can tell which names are on the disk
            failed = from_os_error(exc, claims[0].upload.name)
            return [failed] * len(claims)
        finally:
            for parent in changed.values():
                os.close(parent)
        return outcomes

    def _commit_one(self, claim: Claim, changed: dict[tuple[int, int], int]) -> os.stat_result:
        upload = claim.upload
        parent, last = self.directory.open_parent(upload.name)
        try:
            with _said_of(upload.name), upload.held() as descriptor:
                try:
                    if claim.mtime_ns is not None:
                        os.utime(descriptor, ns=(claim.mtime_ns, claim.mtime_ns))
                    os.fsync(descriptor)
                    with self._lock:
                        self._replace(claim, parent, last)
                except BaseException:
                    os.utime(descriptor)  # it stays a partial file, whose time is when something came for it
                    raise
                found = os.fstat(descriptor)
                where = os.fstat(parent)
        except BaseException:
            os.close(parent)
            raise
        if changed.setdefault((where.st_dev, where.st_ino), parent) != parent:
            os.close(parent)
        return found

    def _replace(self, claim: Claim, parent: int, last: str) -> None:
        upload = claim.upload
        there = _look_at_file(parent, last, upload.name)
        if claim.new and there is not None:
            raise Conflict(f"there is {shown(upload.name)} already")
        if claim.tag is not None and (there is None or tag_of(there) != claim.tag):
            raise Conflict(f"{shown(upload.name)} is not the version {claim.tag}")
        owner = self._owner(parent, last) if there is not None else ANYBODY
        source = self._partials.descriptor
        if claim.new:
            try:
                rename_new(upload.key, last, src_dir_fd=source, dst_dir_fd=parent)
            except FileExistsError:
                raise Conflict(f"there is {shown(upload.name)} already") from None
        else:
            os.rename(upload.key, last, src_dir_fd=source, dst_dir_fd=parent)
        if there is not None:
            self._usage.release(owner, there.st_size, files=1)

    def make_directory(self, name: str, user: str = ANYBODY) -> None:
        """Make a directory; it belongs to ``user``.

        Raises:
            TransferError: FORBIDDEN, REFUSED_NAME, EXISTS, NOT_FOUND, QUOTA, or what the system said.
        """
        self.rules.check_writable()
        with self._parent(name) as (parent, last):
            self._usage.reserve(user, 0, files=1)
            try:
                os.mkdir(last, dir_fd=parent)
            except OSError:
                self._usage.release(user, 0, files=1)
                raise
            if self.rules.has_user_quota:
                set_owner(parent, last, user)
            os.fsync(parent)

    def delete(self, name: str, tag: str | None = None) -> None:
        """Remove a file, or a directory that is empty.

        Args:
            name: Which.
            tag: The version of a file that is to be removed; ``None``: whatever is there.

        Raises:
            TransferError: FORBIDDEN, REFUSED_NAME, NOT_FOUND, NOT_EMPTY, CONFLICT, or what the system said.
        """
        self.rules.check_writing(name)
        with self._parent(name) as (parent, last), self._lock:
            found = os.stat(last, dir_fd=parent, follow_symlinks=False)
            if tag is not None and tag_of(found) != tag:
                raise Conflict(f"{shown(name)} is not the version {tag}")
            is_directory, owner = stat.S_ISDIR(found.st_mode), self._owner(parent, last)
            if is_directory:
                os.rmdir(last, dir_fd=parent)
            elif stat.S_ISREG(found.st_mode):
                os.unlink(last, dir_fd=parent)
            else:
                raise NotAFile(f"{shown(name)} is neither a file nor a directory")
            self._usage.release(owner, 0 if is_directory else found.st_size, files=1)
            os.fsync(parent)

    def rename(self, name: str, new_name: str, *, replace: bool = False) -> None:
        """Give a file or a directory another name.

        Raises:
            TransferError: BAD_REQUEST (into itself), FORBIDDEN, REFUSED_NAME, NOT_FOUND, EXISTS, NOT_EMPTY, or what the
                system said.
        """
        self.rules.check_writing(name)
        self.rules.check_writing(new_name)
        with self._parent(name) as (old_parent, old), self._parent(new_name) as (new_parent, new), self._lock:
            with _said_of(name):
                found = os.stat(old, dir_fd=old_parent, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise NotAFile(f"{shown(name)} is neither a file nor a directory")
            if new_name.startswith(f"{name}/"):
                raise BadRequest(f"{shown(name)} cannot be moved into itself")
            there = _look(new_parent, new)
            if there is not None and not replace:
                raise make_error(Code.EXISTS, f"there is {shown(new_name)} already")
            owner = self._owner(new_parent, new) if there is not None else ANYBODY
            move = os.rename if replace else rename_new
            move(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)
            if there is not None and not os.path.samestat(there, found):  # two names of one file: both stay
                self._usage.release(owner, there.st_size if stat.S_ISREG(there.st_mode) else 0, files=1)
            os.fsync(new_parent)
            os.fsync(old_parent)

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """The directory that holds ``name``, and the last component of it. Errors of the block come in our words."""
        parent, last = self.directory.open_parent(name)
        try:
            with _said_of(name):
                yield parent, last
        finally:
            os.close(parent)

    def _owner(self, parent: int, last: str) -> str:
        return owner_of(parent, last) if self.rules.has_user_quota else ANYBODY


@contextmanager
def _said_of(name: str) -> Iterator[None]:
    try:
        yield
    except OverflowError:
        raise make_error(Code.BAD_REQUEST, "a time that this system does not know") from None
    except OSError as exc:
        raise from_os_error(exc, name) from None


def _look(parent: int, last: str) -> os.stat_result | None:
    try:
        return os.stat(last, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _look_at_file(parent: int, last: str, name: str) -> os.stat_result | None:
    there = _look(parent, last)
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise NotAFile(f"there is {shown(name)} already, and it is no regular file")
    return there
