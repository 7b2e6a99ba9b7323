from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aionet.services.files.client.part import PartFile, finish_all, part_name
from aionet.services.files.errors import Busy, NotAFile, TransferError
from aionet.services.files.hashing import SHA256, Algorithm, Digest

MIB = 1024 * 1024
OpenPart = Callable[[str], PartFile]


@pytest.fixture
def open_part(tmp_path: Path) -> Iterator[OpenPart]:
    directory = os.open(tmp_path, os.O_RDONLY)
    opened: list[PartFile] = []

    def open_(name: str) -> PartFile:
        opened.append(PartFile(directory, name, str(tmp_path / name)))
        return opened[-1]

    yield open_
    for part in opened:
        part.close()
    os.close(directory)


def test_the_name_appears_when_the_file_is_whole(open_part: OpenPart, tmp_path: Path) -> None:
    part = open_part("file")
    assert not part.resumed
    part.resize(11)
    part.write(0, [b"hello ", b"world"])
    part.set_time(10**18)
    assert os.listdir(tmp_path) == [".file.aionet-part"]
    assert part.digest().value == SHA256.hexdigest(b"hello world")
    finish_all([part])
    part.close()
    part.close()
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"hello world"
    assert (tmp_path / "file").stat().st_mtime_ns == 10**18


def test_what_is_not_finished_stays_for_the_next_attempt(open_part: OpenPart, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    part = open_part("file")
    part.write(0, [b"half"])
    part.close()
    assert (tmp_path / "file").read_bytes() == b"old"
    again = open_part("file")
    assert again.resumed
    assert again.read(0, 100) == b"half"


def test_an_empty_one_is_not_left_behind(open_part: OpenPart, tmp_path: Path) -> None:
    part = open_part("file")
    part.resize(10 * MIB)
    part.close()
    assert os.listdir(tmp_path) == []


def test_bytes_come_in_any_order(open_part: OpenPart, algorithm: Algorithm) -> None:
    data = os.urandom(3 * MIB + 5)
    part = open_part("file")
    part.resize(len(data))
    part.hash_with(algorithm)
    part.write(2 * MIB, [data[2 * MIB :]])
    assert part.hashed == 0
    part.write(0, [data[:MIB]])
    assert part.hashed == MIB
    part.write(MIB, [data[MIB : 2 * MIB]])
    part.hash_up_to(len(data))
    assert part.digest() == Digest(algorithm, algorithm.hexdigest(data))
    part.rehash()
    part.hash_up_to(MIB)
    assert part.digest() == Digest(algorithm, algorithm.hexdigest(data[:MIB]))


def test_zeros_leave_a_hole_where_one_is(open_part: OpenPart, tmp_path: Path) -> None:
    part = open_part("file")
    part.resize(64 * MIB)
    part.write(0, [b"x" * 4096])
    part.write(MIB, [b"y", bytes(MIB - 1)])
    for offset in range(2 * MIB, 64 * MIB, MIB):
        part.write(offset, [bytes(MIB - 5000), bytes(5000)])
    assert os.fstat(part.fileno()).st_blocks * 512 < MIB
    assert part.next_data(0) == 0
    assert part.next_data(MIB) == MIB
    assert part.next_data(MIB + 8192) == 64 * MIB
    part.write(0, [bytes(4096)])  # over what is there they are written
    assert part.read(0, 10) == bytes(10)
    finish_all([part])
    assert (tmp_path / "file").stat().st_size == 64 * MIB


def test_the_mode_follows_the_umask_or_the_file_that_is_replaced(open_part: OpenPart, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o751)
    mask = os.umask(0o027)
    try:
        parts = [open_part("new"), open_part("old")]
        finish_all(parts)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o751


def test_a_link_or_a_device_is_not_replaced(open_part: OpenPart, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("link", "fifo", "directory"):
        with pytest.raises(NotAFile, match="no regular file"):
            open_part(name)
    assert sorted(os.listdir(tmp_path)) == ["directory", "fifo", "link"]


def test_a_link_or_a_fifo_in_the_place_of_the_part_is_not_written_to(open_part: OpenPart, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / part_name("a")).symlink_to("elsewhere")
    os.mkfifo(tmp_path / part_name("b"))
    for name in ("a", "b"):
        with pytest.raises(TransferError):
            open_part(name).write(0, [b"x"])
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_two_at_once_do_not_mix(open_part: OpenPart) -> None:
    part = open_part("file")
    with pytest.raises(Busy, match="another process"):
        open_part("file")
    part.close()
    open_part("file")


def test_a_part_that_was_finished_meanwhile_is_not_written_to(
    open_part: OpenPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_part("file")
    first.fill(b"whole")
    open_file = os.open

    def slow_open(*args: object, **more: object) -> int:
        descriptor = open_file(*args, **more)  # type: ignore[arg-type]
        if not first._part:
            return descriptor
        finish_all([first])  # between the opening and the locking of the second
        first.close()
        return descriptor

    monkeypatch.setattr("aionet.services.files.client.part.os.open", slow_open)
    second = open_part("file")
    second.fill(b"other")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_full_disk(open_part: OpenPart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = open_part("file")
    part.write(0, [b"kept"])

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("aionet.services.files.client.part.os.pwrite", full)
        with pytest.raises(TransferError, match="no space left") as caught:
            part.write(4, [b"x"])
    assert caught.value.code == "NO_SPACE"
    assert "what came is kept" in str(caught.value.hint)
    part.close()
    assert (tmp_path / part_name("file")).read_bytes() == b"kept"


def test_a_short_write_goes_on(open_part: OpenPart, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    part = open_part("file")
    with monkeypatch.context() as patch:
        patch.setattr(
            "aionet.services.files.client.part.os.pwrite", lambda fd, data, at: write(fd, bytes(data[:3]), at)
        )
        part.write(0, [b"hello world"])
    assert part.read(0, 100) == b"hello world"


def test_many_are_finished_together(open_part: OpenPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr("aionet.services.files.client.part.os.fsync", watched)
    parts = [open_part(f"{number}") for number in range(40)]
    for part in parts:
        part.fill(b"x" * 100)
    finish_all(parts)
    assert sorted(os.listdir(tmp_path)) == sorted(f"{number}" for number in range(40))
    assert len(synced) <= 1 + 40  # the directory once; the files one by one where there is no syncfs


def test_none_has_its_name_before_all_are_on_the_disk(
    open_part: OpenPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("aionet.services.files.client.part.sync_file_system", broken)
    parts = [open_part(f"{number}") for number in range(40)]
    for part in parts:
        part.fill(b"x")
    with pytest.raises(TransferError):
        finish_all(parts)
    assert all(name.endswith(".aionet-part") for name in os.listdir(tmp_path))


@pytest.mark.parametrize(("name", "expected"), [("a", ".a.aionet-part"), ("x" * 242, "." + "x" * 242 + ".aionet-part")])
def test_the_name_of_a_part(name: str, expected: str) -> None:
    assert part_name(name) == expected


def test_the_part_of_a_long_name_is_a_name_too(open_part: OpenPart, tmp_path: Path) -> None:
    name = "ä" * 127
    part = open_part(name)
    part.fill(b"x")
    assert part_name(name) != part_name("ä" * 126 + "a")
    finish_all([part])
    assert os.listdir(tmp_path) == [name]


def test_a_time_that_no_calendar_holds_is_left_out(open_part: OpenPart) -> None:
    part = open_part("file")
    part.fill(b"x")
    part.set_time(10**30)
    finish_all([part])
