"""What can go wrong with a transfer: one tree, and one stable code for each reason.

::

    TransferError (OSError)                    any code, also one that only a newer server knows
    ├── BadRequest (ValueError)                BAD_REQUEST        no such command, option or form
    ├── RefusedName (ValueError)               REFUSED_NAME       a name that may not be asked for, whatever is there
    ├── NotFound (FileNotFoundError)           NOT_FOUND          nothing of that name
    ├── NotAFile                               NOT_A_FILE         there is something, but no regular file
    ├── NotADirectory (NotADirectoryError)     NOT_A_DIRECTORY    there is something, but no directory
    ├── AccessDenied (PermissionError)         PERMISSION         the system does not let the program read it
    ├── Exists (FileExistsError)               EXISTS             there is something of that name already
    ├── Changed                                CHANGED            another version than the one asked for
    ├── Conflict                               CONFLICT           the file to be replaced is not the one seen before
    ├── Mismatch (ValueError)                  MISMATCH           another size or hash than was promised
    ├── Busy (BlockingIOError)                 BUSY               not now: try again later
    └── Interrupted (ConnectionError)          INTERRUPTED        the connection ended before the transfer did

The codes go over the wire as they stand here and never change their meaning; the reason beside a code is for
people. A client tells what the server refused (``remote`` is true) from what failed on its own side.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aionet.errors import AionetError

__all__ = [
    "AccessDenied",
    "BadRequest",
    "Busy",
    "Changed",
    "Code",
    "Conflict",
    "Exists",
    "Interrupted",
    "Mismatch",
    "NotADirectory",
    "NotAFile",
    "NotFound",
    "RefusedName",
    "TransferError",
    "from_os_error",
    "make_error",
    "shown",
]


class Code(enum.StrEnum):
    """Every code of this version, as it stands on the wire."""

    BAD_REQUEST = "BAD_REQUEST"
    BAD_RANGE = "BAD_RANGE"
    REFUSED_NAME = "REFUSED_NAME"
    NOT_FOUND = "NOT_FOUND"
    NOT_A_FILE = "NOT_A_FILE"
    NOT_A_DIRECTORY = "NOT_A_DIRECTORY"
    EXISTS = "EXISTS"
    NOT_EMPTY = "NOT_EMPTY"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    PERMISSION = "PERMISSION"
    TOO_LARGE = "TOO_LARGE"
    CHANGED = "CHANGED"
    CONFLICT = "CONFLICT"
    MISMATCH = "MISMATCH"
    BUSY = "BUSY"
    QUOTA = "QUOTA"
    NO_SPACE = "NO_SPACE"
    IO_ERROR = "IO_ERROR"
    INTERRUPTED = "INTERRUPTED"
    BAD_REPLY = "BAD_REPLY"


class TransferError(AionetError, OSError):
    """A transfer, or a listing, that could not be.

    Attributes:
        code: A :class:`Code`, or the word that a newer server sent.
        remote: Whether the server said so, rather than this side.
    """

    code: str = Code.IO_ERROR

    def __init__(
        self, message: str = "", *, code: str | None = None, hint: str | None = None, remote: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        if code is not None:
            self.code = code
        self.remote = remote


class BadRequest(TransferError, ValueError):
    """A command, an option or a form of request that the server does not know."""

    code = Code.BAD_REQUEST


class RefusedName(TransferError, ValueError):
    """A name that may not be asked for, whatever is or is not there."""

    code = Code.REFUSED_NAME


class NotFound(TransferError, FileNotFoundError):
    """Nothing of that name."""

    code = Code.NOT_FOUND


class NotAFile(TransferError):
    """There is something of that name, but it is no regular file."""

    code = Code.NOT_A_FILE


class NotADirectory(TransferError, NotADirectoryError):
    """There is something of that name, but it is no directory."""

    code = Code.NOT_A_DIRECTORY


class AccessDenied(TransferError, PermissionError):
    """The system does not let this program read, or write, there."""

    code = Code.PERMISSION


class Exists(TransferError, FileExistsError):
    """There is something of that name already."""

    code = Code.EXISTS


class Changed(TransferError):
    """The file is another version than the one asked for, or became another while it was read."""

    code = Code.CHANGED


class Conflict(TransferError):
    """The file to be replaced is not the one that was seen before."""

    code = Code.CONFLICT


class Mismatch(TransferError, ValueError):
    """What was received is not what was promised."""

    code = Code.MISMATCH


class Busy(TransferError, BlockingIOError):
    """Out of descriptors or memory, or somebody else is at it: try again later."""

    code = Code.BUSY


class Interrupted(TransferError, ConnectionError):
    """The connection ended before the transfer did."""

    code = Code.INTERRUPTED


_CLASSES: Final[Mapping[str, type[TransferError]]] = MappingProxyType(
    {
        kind.code: kind
        for kind in (
            *(BadRequest, RefusedName, NotFound, NotAFile, NotADirectory, AccessDenied, Exists, Changed, Conflict),
            *(Mismatch, Busy, Interrupted),
        )
    }
)


def make_error(code: str, message: str, *, hint: str | None = None, remote: bool = False) -> TransferError:
    """The error of the class that belongs to this code."""
    return _CLASSES.get(code, TransferError)(message, code=code, hint=hint, remote=remote)


_CODES: Final[Mapping[int, Code]] = MappingProxyType(
    {
        errno.ENOENT: Code.NOT_FOUND,
        errno.ENOTDIR: Code.NOT_FOUND,  # "a/b" where a is a file: there is no such b
        errno.ENXIO: Code.NOT_A_FILE,  # a socket, or a device without a driver
        errno.ENODEV: Code.NOT_A_FILE,
        errno.EISDIR: Code.NOT_A_FILE,
        errno.EEXIST: Code.EXISTS,
        errno.ENOTEMPTY: Code.NOT_EMPTY,
        errno.EACCES: Code.PERMISSION,
        errno.EPERM: Code.PERMISSION,
        errno.EROFS: Code.PERMISSION,
        errno.EXDEV: Code.FORBIDDEN,
        errno.ENAMETOOLONG: Code.REFUSED_NAME,
        errno.EMFILE: Code.BUSY,
        errno.ENFILE: Code.BUSY,
        errno.ENOMEM: Code.BUSY,
        errno.EAGAIN: Code.BUSY,
        errno.ENOSPC: Code.NO_SPACE,
        errno.EDQUOT: Code.NO_SPACE,
        errno.EFBIG: Code.TOO_LARGE,
    }
)

_REASONS: Final[Mapping[Code, str]] = MappingProxyType(
    {
        Code.NOT_FOUND: "there is no {}",
        Code.NOT_A_FILE: "{} is not a regular file",
        Code.EXISTS: "there is {} already",
        Code.NOT_EMPTY: "{} is not empty",
        Code.PERMISSION: "no permission for {}",
        Code.FORBIDDEN: "{} is on another file system than the directory served",
        Code.REFUSED_NAME: "the name {} is too long",
        Code.BUSY: "{} cannot be opened just now; try again",
        Code.NO_SPACE: "no space left for {}",
        Code.TOO_LARGE: "{} would be larger than the file system allows",
    }
)


def from_os_error(exc: OSError, name: str) -> TransferError:
    """What the system said about this name, as one of ours. It tells the name asked for, never the real path."""
    if isinstance(exc, TransferError):
        return exc
    code = _CODES.get(exc.errno or 0, Code.IO_ERROR)
    reason = _REASONS.get(code, "{} failed: " + (exc.strerror or "unknown error"))
    return make_error(code, reason.format(shown(name)))


def shown(name: str, longest: int = 100) -> str:
    """The name in quotes, safe for a terminal and a log: what is not printable is escaped, what is long is cut."""
    if not name:
        return "the directory"
    quoted = repr(name[:longest])
    return quoted if len(name) <= longest and len(quoted) <= longest else quoted[: longest - 3] + "..."
