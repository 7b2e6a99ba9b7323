from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from aionet.errors import ConfigError
from aionet.services.files import usage
from aionet.services.files.errors import Code, TransferError
from aionet.services.files.paths import Directory
from aionet.services.files.rules import Rules
from aionet.services.files.usage import Usage, owner_of, set_owner


def make(root: Path, **rules: Any) -> Usage:
    return Usage(Directory(root), Rules(writable=True, **rules))


def file_of(path: Path, user: str, size: int) -> None:
    path.write_bytes(b"x" * size)
    directory = os.open(path.parent, os.O_RDONLY)
    set_owner(directory, path.name, user)
    assert owner_of(directory, path.name) == user
    assert owner_of(directory, "nothing") == ""
    os.close(directory)


def test_nothing_is_counted_without_a_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionet.services.files.usage.os.fwalk", None)
    counted = make(tmp_path)
    counted.reserve("", 10**18, 10**9)
    counted.release("", 10**18, 10**9)


def test_what_is_there_counts(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(b"x" * 60)
    (tmp_path / "link").symlink_to("d/x")
    counted = make(tmp_path, quota_bytes=100)
    counted.reserve("", 40)
    with pytest.raises(TransferError, match="the files here would have 101 bytes; 100 are allowed") as caught:
        counted.reserve("", 1)
    assert caught.value.code == Code.QUOTA
    counted.release("", 1)
    counted.reserve("", 1)


def test_each_user_for_himself(tmp_path: Path) -> None:
    file_of(tmp_path / "a", "anna", 60)
    file_of(tmp_path / "b", "otto", 10)
    counted = make(tmp_path, user_quota_bytes=100, user_quota_files=2)
    with pytest.raises(TransferError, match="your files would have 110 bytes"):
        counted.reserve("anna", 50)
    counted.reserve("otto", 50, 1)
    with pytest.raises(TransferError, match="your files would be 3; 2 are allowed"):
        counted.reserve("otto", 0, 1)


def test_before_it_refuses_it_asks_the_disk_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_RECOUNT_AFTER", 0.0)
    (tmp_path / "x").write_bytes(b"x" * 100)
    counted = make(tmp_path, quota_bytes=100)
    with pytest.raises(TransferError):
        counted.reserve("", 1)
    (tmp_path / "x").unlink()  # by somebody else
    counted.reserve("", 1)


def test_a_file_system_without_attributes_is_found_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("aionet.services.files.usage.os.getxattr", fail)
    with pytest.raises(ConfigError, match="extended attributes"):
        make(tmp_path, user_quota_files=1)
    monkeypatch.delattr("aionet.services.files.usage.os.getxattr")  # macOS
    with pytest.raises(ConfigError, match="extended attributes"):
        make(tmp_path, user_quota_files=1)
    make(tmp_path, quota_files=1)


def test_directories_count_as_files(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / ".aionet-partial").mkdir()
    counted = make(tmp_path, quota_files=3)
    counted.reserve("", 0, 1)
    with pytest.raises(TransferError, match="would be 4; 3 are allowed"):
        counted.reserve("", 0, 1)


def test_a_file_that_we_may_not_read_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"xxx")
    counted = make(tmp_path, user_quota_bytes=5)

    def refuse(*_: Any, **__: Any) -> bytes:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("aionet.services.files.usage.os.getxattr", refuse)
    counted.reserve("anna", 5)  # one such file would stop all uploads
    with pytest.raises(TransferError):
        counted.reserve("", 3)
