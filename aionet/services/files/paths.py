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

import ctypes
import errno
import os
import stat
import sys
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from aionet.errors import ConfigError

from .entries import CONTROL, Entry, tag_of
from .errors import NotADirectory, NotAFile, RefusedName, TransferError, from_os_error, shown

__all__ = ["MAX_COMPONENT", "MAX_NAME", "Directory", "Scan", "check_name", "has_openat2"]

MAX_COMPONENT: Final = 255
"""Bytes of one component (NAME_MAX of every file system in use)."""

MAX_NAME: Final = 4095
"""Bytes of a whole name: PATH_MAX without its NUL."""

_O_PATH: Final[int] = getattr(os, "O_PATH", 0)
_LOOK: Final = _O_PATH | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STEP: Final = (_O_PATH or os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_SYS_OPENAT2: Final = 437  # the same on every architecture of Linux
_RESOLVE_NO_MAGICLINKS: Final = 0x02  # such as /proc/self/fd/3 and /proc/self/root
_RESOLVE_BENEATH: Final = 0x08
_RENAME_RETRIES: Final = 32  # a ".." inside a link's target gives EAGAIN while anything on the system is renamed

Opener = Callable[[int, str, int], int]
"""``opener(directory descriptor, checked name, flags)``: a descriptor; raises OSError."""


def check_name(name: str, *, hidden: bool = False) -> str:
    """The name, if a client may ask for it.

    Raises:
        RefusedName: with the rule it breaks.
    """
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
        if component.startswith(".") and not hidden:
            raise RefusedName(f"the name {shown(name)} is hidden: it begins with a dot")
    return name


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _load_syscall() -> Callable[[int, bytes, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long

    def openat2(directory: int, name: bytes, flags: int) -> int:
        how = _OpenHow(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
        size = ctypes.c_size_t(ctypes.sizeof(how))
        return int(
            syscall(
                ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(directory), ctypes.c_char_p(name), ctypes.byref(how), size
            )
        )

    return openat2


_openat2: Final = _load_syscall()


def _open_by_kernel(directory: int, name: str, flags: int) -> int:
    """One openat2: the kernel refuses, in the one step that opens, whatever would leave the directory."""
    assert _openat2 is not None
    encoded = os.fsencode(name)
    for _ in range(_RENAME_RETRIES):
        descriptor = _openat2(directory, encoded, flags)
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code in (errno.EXDEV, errno.ELOOP):
            raise RefusedName(f"the name {shown(name)} leads out of the directory, or in a circle")
        if code not in (errno.EINTR, errno.EAGAIN):
            break
    raise OSError(code, os.strerror(code))


def _open_by_steps(directory: int, name: str, flags: int) -> int:
    """One component at a time, following no link. For systems without openat2."""
    *above, last = name.split("/")
    here = directory
    try:
        for component in above:
            try:
                below = os.open(component, _STEP, dir_fd=here)
            except NotADirectoryError:
                _refuse_link(here, component, name)
                raise
            if here != directory:
                os.close(here)
            here = below
        try:
            descriptor = os.open(last, flags | os.O_NOFOLLOW, dir_fd=here)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR):
                _refuse_link(here, last, name)
            raise
        if flags & _O_PATH and stat.S_ISLNK(os.fstat(descriptor).st_mode):  # O_PATH opens the link itself
            os.close(descriptor)
            raise RefusedName(f"there is a symbolic link in the name {shown(name)}")
        return descriptor
    finally:
        if here != directory:
            os.close(here)


def _refuse_link(directory: int, component: str, name: str) -> None:
    try:
        found = os.stat(component, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise RefusedName(f"there is a symbolic link in the name {shown(name)}")


def has_openat2() -> bool:
    """Whether this kernel has openat2, and lets us call it (some sandboxes answer EPERM)."""
    if _openat2 is None:
        return False
    descriptor = os.open("/", _LOOK | os.O_DIRECTORY)
    try:
        probe = _openat2(descriptor, b".", _LOOK | os.O_DIRECTORY)
        if probe >= 0:
            os.close(probe)
        return probe >= 0
    finally:
        os.close(descriptor)


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
        self._opener: Opener = _open_by_kernel if self.follows_links else _open_by_steps
        self._fd = _open_root(self.path)
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
            if _O_PATH:
                _require_file(self.look(name), name)
            descriptor = self._opener(self._fd, name, _READ)
            try:
                found = os.fstat(descriptor)
                _require_file(found, name)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as exc:
            raise from_os_error(exc, name) from None
        return descriptor, found

    def scan(self, name: str = "") -> Scan:
        """Read a directory: this one, or one below it. The caller closes it (it is a context manager).

        Raises:
            RefusedName, NotFound, NotADirectory, AccessDenied, TransferError: as :meth:`open_file`.
        """
        if name:
            check_name(name, hidden=self.hidden)
        try:
            descriptor = self._opener(self._fd, name, _LIST) if name else os.open(".", _LIST, dir_fd=self._fd)
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
        descriptor = self._opener(self._fd, name, _LOOK)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def _no_directory(self, name: str) -> TransferError:
        """ENOTDIR: is the last component there, but no directory, or does one on the way lead nowhere?"""
        try:
            os.close(self._opener(self._fd, name, _LOOK))
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
        entries: list[Entry] = []
        while len(entries) < count:
            entry = next(self, None)
            if entry is None:
                break
            entries.append(entry)
        return entries

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

    def _describe(self, found: os.DirEntry[str]) -> Entry | None:
        name = found.name
        if name.startswith(".") and not self._directory.hidden:
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
