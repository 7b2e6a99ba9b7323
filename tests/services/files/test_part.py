from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from aionet.services.files.errors import NotAFile, NotFound, RefusedName, TransferError
from aionet.services.files.part import PartFile, choose_target


def test_the_name_appears_when_the_file_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    part = PartFile(target)
    part.write([b"hello ", b"world"])
    assert not target.exists()
    assert part.finish() == hashlib.sha256(b"hello world").hexdigest()
    part.close()
    part.close()
    assert target.read_bytes() == b"hello world"
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_not_finished_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    part = PartFile(target)
    part.write([b"new"])
    assert len(os.listdir(tmp_path)) == 2
    part.close()
    assert os.listdir(tmp_path) == ["file"]
    assert target.read_bytes() == b"old"


def test_what_was_there_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old and longer")
    part = PartFile(target)
    part.write([b"new"])
    part.finish()
    part.close()
    assert target.read_bytes() == b"new"


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        part = PartFile(tmp_path / "file")
        part.finish()
        part.close()
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_link_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("link", "fifo", "directory"):
        with pytest.raises(NotAFile, match="no regular file"):
            PartFile(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["directory", "fifo", "link"]


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        PartFile(tmp_path / "nowhere" / "file")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = PartFile(tmp_path / "file")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("aionet.services.files.part.os.write", full)
        with pytest.raises(TransferError, match="no space left") as caught:
            part.write([b"x"])
    assert caught.value.code == "NO_SPACE"
    part.close()
    assert os.listdir(tmp_path) == []


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    part = PartFile(tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setattr("aionet.services.files.part.os.write", lambda fd, data: write(fd, data[:3]))
        part.write([b"0123456789"])
    part.finish()
    part.close()
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("name", "destination", "expected"),
    [
        ("file", None, "file"),
        ("a/b/file.txt", None, "file.txt"),
        ("a/b/file.txt", "other", "other"),
        ("../../.bashrc", "here", "here"),
        ("a/file", "nowhere/", "nowhere/file"),
    ],
)
def test_where_it_lands(name: str, destination: str | None, expected: str) -> None:
    assert choose_target(name, destination) == Path(expected)


def test_a_directory_takes_the_name(tmp_path: Path) -> None:
    assert choose_target("a/file", tmp_path) == tmp_path / "file"


@pytest.mark.parametrize(
    "name", ["", "a/", "..", "a/..", ".bashrc", "-rf", "a\\..\\b", "a\nb", "x/\x1b[2J", "\u202egpj"]
)
def test_a_strange_name_does_not_choose_where_it_lands(name: str, tmp_path: Path) -> None:
    for destination in (None, tmp_path):
        with pytest.raises(RefusedName):
            choose_target(name, destination)


def test_a_destination_with_a_nul_is_refused() -> None:
    with pytest.raises(RefusedName):
        choose_target("file", "a\0b")
