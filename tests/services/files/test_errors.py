from __future__ import annotations

import errno

import pytest

from aionet.errors import AionetError
from aionet.services.files.errors import (
    AccessDenied,
    BadRequest,
    Code,
    Interrupted,
    NotADirectory,
    NotAFile,
    NotFound,
    RefusedName,
    TransferError,
    from_os_error,
    make_error,
    shown,
)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (BadRequest, ValueError),
        (RefusedName, ValueError),
        (NotFound, FileNotFoundError),
        (NotADirectory, NotADirectoryError),
        (AccessDenied, PermissionError),
        (Interrupted, ConnectionError),
        (NotAFile, OSError),
    ],
)
def test_each_is_also_the_builtin_one_would_expect(kind: type[TransferError], builtin: type[Exception]) -> None:
    error = make_error(kind.code, "what failed", hint="what to do", remote=True)
    assert type(error) is kind
    assert isinstance(error, builtin)
    assert isinstance(error, AionetError)
    assert (str(error), error.hint, error.remote) == ("what failed", "what to do", True)


def test_a_code_of_a_newer_server_is_kept() -> None:
    error = make_error("QUOTA", "too much")
    assert type(error) is TransferError
    assert error.code == "QUOTA"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, Code.NOT_FOUND),
        (errno.EACCES, Code.PERMISSION),
        (errno.ENAMETOOLONG, Code.REFUSED_NAME),
        (errno.EMFILE, Code.BUSY),
        (errno.ENOSPC, Code.NO_SPACE),
        (errno.EIO, Code.IO_ERROR),
    ],
)
def test_what_the_system_says(number: int, code: Code) -> None:
    error = from_os_error(OSError(number, "system's words", "/secret/path"), "name")
    assert error.code == code
    assert "name" in str(error)
    assert "/secret" not in str(error)


def test_names_are_shown_safely() -> None:
    assert shown("a b") == "'a b'"
    assert shown("\x1b[2J\u202e\udcff").isprintable()
    assert len(shown("\x1b" * 5000)) <= 100
    assert len(shown("x" * 5000)) <= 100
    assert shown("") == "the directory"
