from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.services.files.direct import BLOCK, write_directly

KIB = 1024


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("sizes", [[64 * KIB], [1, 64 * KIB, 100_000], [1024 * KIB, 5], [BLOCK] * 30])
@pytest.mark.parametrize("offset", [0, 16 * BLOCK])
def test_whole_blocks_are_written(descriptor: int, sizes: list[int], offset: int) -> None:
    os.pwrite(descriptor, b"before" * 20_000, 0)  # through the cache, which must not hide what comes
    pieces = [os.urandom(size) for size in sizes]
    data = b"".join(pieces)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    done = write_directly(descriptor, pieces, offset)
    assert done in (0, len(data) - len(data) % BLOCK)  # 0: this file system knows no such writing
    assert os.pread(descriptor, done, offset) == data[:done]
    assert fcntl.fcntl(descriptor, fcntl.F_GETFL) == flags


@pytest.mark.parametrize(("size", "offset"), [(64 * KIB - 1, 0), (64 * KIB, 1), (3 * 1024 * KIB, 0), (0, 0)])
def test_what_does_not_fit_is_left_to_others(descriptor: int, size: int, offset: int) -> None:
    assert write_directly(descriptor, [bytes(size)], offset) == 0
    assert os.fstat(descriptor).st_size == 0


@pytest.mark.parametrize("place", ["fcntl.fcntl", "os.pwrite"])
def test_a_file_system_that_refuses_is_written_as_usual(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    control = fcntl.fcntl
    before = control(descriptor, fcntl.F_GETFL)

    def refuse(_: int, *arguments: object) -> int:
        if place == "fcntl.fcntl" and (arguments[0] == fcntl.F_GETFL or arguments[1] == before):
            return before
        raise OSError(errno.EINVAL, "Invalid argument")

    with monkeypatch.context() as patch:
        patch.setattr(f"aionet.services.files.direct.{place}", refuse)
        assert write_directly(descriptor, [bytes(64 * KIB)], 0) == 0
    assert control(descriptor, fcntl.F_GETFL) == before


def test_a_full_disk_is_told(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aionet.services.files.direct.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        write_directly(descriptor, [bytes(64 * KIB)], 0)
