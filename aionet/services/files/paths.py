"""What a client's name may open: decided here and nowhere else.

Everything goes through the descriptor of one directory, opened once, so that no check is made on a path that could
be another one by the time it is used (rsync CVE-2026-43619 and CVE-2026-29518, pyftpdlib CVE-2008-7262).

A name is relative, of components joined by ``/``, in UTF-8. Refused, whatever is there: the empty name, an empty
component (so absolute names and ``a//b`` and a ``/`` at the end), ``.``, ``..``, control characters (Unicode category
Cc, NUL among them), what UTF-8 cannot carry, components above 255 bytes, names above 4095 (PATH_MAX counts its NUL).
No decoding happens here: ``%2e%2e`` is a name of six characters.

* A backslash is allowed: to this kernel it is a character like any other, and refusing it would only hide files.
* Names that begin with a dot are refused and not listed, unless ``hidden`` is asked for: ``.git``, ``.env``, ``.ssh``
  and half-written temporary files are there by habit, and rarely meant.
* Symbolic links are followed where the *kernel* proves that they stay inside (Linux 5.6: openat2 with RESOLVE_BENEATH).
  Without openat2 all of them are refused: following them from user space is where the races of others were. So what
  the fallback serves is a part of what openat2 serves, and ``current -> release-42`` works on every kernel of today.
* A hard link is the file itself; nobody can tell which of its names is meant.
* Only regular files are opened, and only directories listed. What a name leads to is looked at by an O_PATH descriptor
  first, which neither wakes the writer of a FIFO nor touches a device; then opened with O_NONBLOCK, and checked again.
* Names on disk that cannot be asked for (not UTF-8, control characters), and links and special files that would be
  refused, are left out of a listing and counted. Escaping them would offer names that no request can carry.
"""

from __future__ import annotations

import heapq
import os
import re
import stat
import unicodedata
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Final, Self

from aionet.errors import ConfigError

from .entries import CONTROL, Entry, tag_of
from .errors import NotADirectory, NotAFile, RefusedName, TransferError, from_os_error, shown
from .memory import SmallFile
from .opening import (
    LOOK,
    O_PATH,
    READ,
    Opener,
    flags_without_waiting,
    has_openat2,
    open_by_kernel,
    open_by_steps,
    open_from_memory,
)

try:
    from ._memory import read_from_memory
except ImportError:  # it is compiled where there is a C compiler
    from .memory import read_from_memory

__all__ = ["MAX_COMPONENT", "MAX_NAME", "PARTIAL_DIRECTORY", "Directory", "Scan", "check_name"]

MAX_COMPONENT: Final = 255
"""Bytes of one component (NAME_MAX of every file system in use)."""

MAX_NAME: Final = 4095
"""Bytes of a whole name: PATH_MAX without its NUL."""

PARTIAL_DIRECTORY: Final = ".aionet-partial"
"""Where files are while they are received. Never served, nor any name that a file system may take for this one."""

_LARGEST: Final = 2**63 - 1
"""Bytes that a file can have at most (off_t)."""

_PLAIN: Final = re.compile(r"[ -\-0-~][ -.0-~]*(?:/[ -\-0-~][ -.0-~]*)*")
"""Components of printable ASCII, of which none begins with a dot."""

_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_name(name: str, *, hidden: bool = False) -> str:
    """The name, if a client may ask for it.

    Raises:
        RefusedName: with the rule it breaks.
    """
    if len(name) <= MAX_COMPONENT and _PLAIN.fullmatch(name):
        return name  # as most are: seen at one glance, which costs a third of taking it apart
    if not name:
        raise RefusedName("a name is needed")
    if "\0" in name or CONTROL.search(name):
        raise RefusedName(f"control character in the name {shown(name)}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise RefusedName(f"the name {shown(name)} is not UTF-8") from None
    if len(encoded) > MAX_NAME:
        raise RefusedName(f"the name {shown(name)} is longer than {MAX_NAME} bytes")
    if name.startswith("/"):
        raise RefusedName(f"the name {shown(name)} is absolute", hint="names are relative to the directory served")
    for component, raw in zip(name.split("/"), encoded.split(b"/"), strict=True):
        if component in ("", ".", ".."):
            what = f"the component {component!r}" if component else "an empty component"
            raise RefusedName(f"{what} in the name {shown(name)}")
        if len(raw) > MAX_COMPONENT:
            raise RefusedName(f"a component longer than {MAX_COMPONENT} bytes in the name {shown(name)}")
        if component.startswith("."):
            if not hidden:
                raise RefusedName(f"the name {shown(name)} is hidden: it begins with a dot")
            if unicodedata.normalize("NFKC", component).casefold() == PARTIAL_DIRECTORY:
                raise RefusedName(f"{PARTIAL_DIRECTORY} in the name {shown(name)} is the server's own")
    return name


class Directory:
    """A directory whose content clients may name. Its methods do disk work and block: call them in a thread.

    Args:
        path: The directory. It is opened here; renaming it later changes nothing.
        hidden: Whether names that begin with a dot are served too.
        follow_links: Whether links that stay inside are followed. ``None``: where the kernel can prove it.

    Raises:
        ConfigError: no such directory, no directory, no permission; or links asked for where openat2 is missing.
    """

    def __init__(self, path: str | os.PathLike[str], *, hidden: bool = False, follow_links: bool | None = None) -> None:
        self.path = os.fspath(path)
        self.hidden = hidden
        self.follows_links = has_openat2() if follow_links is None else follow_links
        if self.follows_links and not has_openat2():
            raise ConfigError("links cannot be followed safely: this system has no openat2 (Linux 5.6)")
        self._opener: Opener = open_by_kernel if self.follows_links else open_by_steps
        self._fd = _open_root(self.path)
        self.nowait_flags = flags_without_waiting(self._fd) if self.follows_links else None
        self._finalizer = weakref.finalize(self, os.close, self._fd)

    def close(self) -> None:
        """Close the directory's descriptor; nothing can be opened afterwards. Idempotent."""
        self._finalizer()
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Directory({self.path!r})"

    def open_file(self, name: str) -> tuple[int, os.stat_result]:
        """Open a regular file for reading. The descriptor is the caller's to close.

        Raises:
            RefusedName: the name breaks a rule of this module, or leads out of the directory.
            NotFound, NotAFile, AccessDenied, TransferError: what the system said.
        """
        check_name(name, hidden=self.hidden)
        try:
            return self._open_regular(name, self._opener)
        except OSError as exc:
            raise from_os_error(exc, name) from None

    def open_cached(self, name: str) -> tuple[int, os.stat_result] | None:
        """As :meth:`open_file`, but never waits for a disk, so it may be called on an event loop.

        ``None`` where that cannot be promised, and where :meth:`open_file` would raise: call that in a thread then.
        """
        if self.nowait_flags is None:
            return None
        try:
            encoded = os.fsencode(check_name(name, hidden=self.hidden))
            looking = open_from_memory(self._fd, encoded, LOOK)
            if looking < 0:
                return None
            try:
                _require_file(os.fstat(looking), name)
            finally:
                os.close(looking)
            descriptor = open_from_memory(self._fd, encoded, READ)
            return (descriptor, _checked(descriptor, name)) if descriptor >= 0 else None
        except OSError:  # what is refused as well
            return None

    def read_cached(self, name: str, limit: int, *, offset: int = 0, length: int = -1) -> SmallFile | None:
        """The bytes of a small file, or of a part of one, without ever waiting for a disk: for the event loop.

        ``None`` where that cannot be promised, and where they cannot be had: ask :meth:`open_file` in a thread then.

        Args:
            name: As for :meth:`open_file`.
            limit: Bytes that it may be at most.
            offset: Of the first byte wanted.
            length: Bytes wanted, as far as there are; negative: all.
        """
        if self.nowait_flags is None or offset > _LARGEST:
            return None
        try:
            encoded = os.fsencode(check_name(name, hidden=self.hidden))
        except RefusedName:
            return None
        found = read_from_memory(self._fd, encoded, offset, min(length, _LARGEST), limit, self.nowait_flags)
        return None if found is None else SmallFile._make(found)

    def _open_regular(self, name: str, opener: Opener) -> tuple[int, os.stat_result]:
        if O_PATH:
            _require_file(self._look(name, opener), name)
        descriptor = opener(self._fd, name, READ)
        return descriptor, _checked(descriptor, name)

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[int, os.stat_result]]:
        """:meth:`open_file`, closed when the block is left."""
        descriptor, found = self.open_file(name)
        try:
            yield descriptor, found
        finally:
            os.close(descriptor)

    def open_parent(self, name: str) -> tuple[int, str]:
        """The directory that holds, or is to hold, ``name``, and the last component of ``name``.

        The descriptor is the caller's to close; it is for making, removing and renaming, by calls that take a
        ``dir_fd`` and follow no link: then nothing outside of this directory can be touched.

        Raises:
            RefusedName: as :meth:`open_file`.
            NotFound, AccessDenied, TransferError: what the system said of the directory.
        """
        check_name(name, hidden=self.hidden)
        above, _, last = name.rpartition("/")
        try:
            return self._opener(self._fd, above, _LIST) if above else self.open_root(), last
        except OSError as exc:
            raise from_os_error(exc, above) from None

    def open_root(self) -> int:
        """Another descriptor of this directory itself, the caller's to close.

        Raises:
            OSError: what the system said.
        """
        return os.open(".", _LIST, dir_fd=self._fd)

    def stat(self, name: str = "") -> os.stat_result:
        """What ``name`` is, without opening it; ``""``: this directory.

        Raises:
            RefusedName, NotFound, AccessDenied, TransferError: as :meth:`open_file`.
        """
        try:
            return self.look(check_name(name, hidden=self.hidden)) if name else os.fstat(self._fd)
        except OSError as exc:
            raise from_os_error(exc, name) from None

    def scan(self, name: str = "") -> Scan:
        """Read a directory: this one, or one below it. The caller closes it (it is a context manager).

        Raises:
            RefusedName, NotFound, NotADirectory, AccessDenied, TransferError: as :meth:`open_file`.
        """
        if name:
            check_name(name, hidden=self.hidden)
        try:
            descriptor = self._opener(self._fd, name, _LIST) if name else self.open_root()
        except NotADirectoryError:
            raise self._no_directory(name) from None
        except OSError as exc:
            raise from_os_error(exc, name) from None
        return Scan(self, descriptor, name)

    def look(self, name: str) -> os.stat_result:
        """What a checked name leads to, without opening it.

        Raises:
            RefusedName: it leads out of the directory.
            OSError: what the system said.
        """
        return self._look(name, self._opener)

    def _look(self, name: str, opener: Opener) -> os.stat_result:
        descriptor = opener(self._fd, name, LOOK)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def _no_directory(self, name: str) -> TransferError:
        """ENOTDIR: is the last component there, but no directory, or does one on the way lead nowhere?"""
        try:
            os.close(self._opener(self._fd, name, LOOK))
        except OSError as exc:
            return from_os_error(exc, name)
        return NotADirectory(f"{shown(name)} is not a directory")


def _open_root(path: str) -> int:
    try:
        return os.open(path, _LIST)
    except FileNotFoundError:
        raise ConfigError(f"there is no directory {path!r}", hint=f"make it: mkdir -p {path}") from None
    except NotADirectoryError:
        raise ConfigError(f"{path!r} is not a directory", hint="name the directory that holds the files") from None
    except PermissionError:
        raise ConfigError(f"no permission to read the directory {path!r}") from None
    except (OSError, ValueError) as exc:
        raise ConfigError(f"the directory {path!r} cannot be opened: {exc}") from None


def _checked(descriptor: int, name: str) -> os.stat_result:
    """What was opened; closed, if it is no regular file."""
    try:
        found = os.fstat(descriptor)
        _require_file(found, name)
    except BaseException:
        os.close(descriptor)
        raise
    return found


def _require_file(found: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise NotAFile(f"{shown(name)} is {kind}")


class Scan(Iterator[Entry]):
    """The entries of one directory, as they are read from disk, in the order the file system gives.

    Attributes:
        left_out: How many were passed over up to now because no request could open them. Hidden ones do not count.
    """

    def __init__(self, directory: Directory, descriptor: int, name: str) -> None:
        self._directory = directory
        self._fd = descriptor
        self._name = name
        self.left_out = 0
        try:
            self._entries = os.scandir(descriptor)
        except OSError as exc:
            os.close(descriptor)
            raise from_os_error(exc, name) from None

    def __next__(self) -> Entry:
        try:
            for found in self._entries:
                entry = self._describe(found)
                if entry is not None:
                    return entry
        except OSError as exc:
            raise from_os_error(exc, self._name) from None
        raise StopIteration

    def read(self, count: int) -> list[Entry]:
        """The next entries, at most ``count``; fewer only at the end.

        Raises:
            TransferError: the directory cannot be read any further.
        """
        return list(islice(self, count))

    def page(self, after: str, count: int) -> tuple[list[Entry], int]:
        """The first entries by the bytes of their names, of those behind ``after``; and how many come behind.

        It reads the whole directory, and keeps no more than ``count`` of it.

        Raises:
            TransferError: the directory cannot be read.
        """
        edge, behind = os.fsencode(after), 0

        def names() -> Iterator[os.DirEntry[str]]:
            nonlocal behind
            for found in self._entries:
                if os.fsencode(found.name) > edge and not self._is_hidden(found.name):
                    behind += 1
                    yield found

        try:
            chosen = heapq.nsmallest(count, names(), key=lambda found: os.fsencode(found.name))
        except OSError as exc:
            raise from_os_error(exc, self._name) from None
        return [entry for entry in map(self._describe, chosen) if entry is not None], behind - len(chosen)

    def close(self) -> None:
        """Let go of the directory. Idempotent."""
        self._entries.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _is_hidden(self, name: str) -> bool:
        return name.startswith(".") and (not self._directory.hidden or name == PARTIAL_DIRECTORY)

    def _describe(self, found: os.DirEntry[str]) -> Entry | None:
        name = found.name
        if self._is_hidden(name):
            return None
        whole = f"{self._name}/{name}" if self._name else name
        try:
            check_name(whole, hidden=self._directory.hidden)
            info = self._directory.look(whole) if found.is_symlink() else found.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None  # gone meanwhile, or a link to nothing
        except (RefusedName, PermissionError):
            self.left_out += 1
            return None
        if stat.S_ISREG(info.st_mode):
            return Entry(name, info.st_size, info.st_mtime_ns, tag=tag_of(info))
        if stat.S_ISDIR(info.st_mode):
            return Entry(name, 0, info.st_mtime_ns, is_directory=True)
        self.left_out += 1
        return None
