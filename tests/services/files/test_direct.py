from __future__ import annotations

import errno
import fcntl
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.services.files.direct import BLOCK, Buffers, write_directly

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


def made(size: int, *, kept: int = 0, most: int = 1000) -> Buffers:
    return Buffers(size, kept=kept, most=most, small=BLOCK)


def test_buffers_are_used_again_up_to_so_many() -> None:
    buffers = made(3 * BLOCK, kept=2)
    taken = [buffers.take() for _ in range(3)]
    assert len({id(each) for each in taken}) == 3
    assert [len(each) for each in taken] == [3 * BLOCK] * 3
    for each in taken:
        buffers.give_back(each)
    again = [buffers.take() for _ in range(3)]
    assert sum(any(each is other for other in taken) for each in again) == 2


def test_there_are_only_so_many_large_ones_and_what_is_gone_makes_room() -> None:
    buffers = made(3 * BLOCK, kept=1, most=2)
    one, other, third = buffers.take(), buffers.take(), buffers.take()
    assert [len(each) for each in (one, other, third)] == [3 * BLOCK, 3 * BLOCK, BLOCK]
    buffers.give_back(third)
    assert len(buffers.take()) == BLOCK  # a small one is not kept, nor given for a large one
    part = other[5:7]
    del other
    assert len(buffers.take()) == BLOCK  # a thread may still be at it
    del part
    other = buffers.take()
    assert len(other) == 3 * BLOCK
    buffers.give_back(one)
    assert buffers.take() is one


def test_what_was_never_touched_of_a_buffer_takes_no_memory() -> None:
    def resident() -> int:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    buffers = made(2 * 1024 * KIB)
    before = resident()
    taken = [buffers.take() for _ in range(500)]
    for each in taken:
        each[:1000] = bytes(1000)
    assert resident() - before < 100 * 1024 * KIB  # of the 1000 MiB that they could hold


@pytest.mark.parametrize(("size", "offset"), [(64 * KIB, 0), (2 * 1024 * KIB, 4096), (100_000, 0), (BLOCK * 17, BLOCK)])
def test_a_view_of_whole_pages_is_written_without_a_copy(descriptor: int, size: int, offset: int) -> None:
    view = made(2 * 1024 * KIB).take()[:size]
    view[:] = os.urandom(size)
    tracemalloc.start()
    try:
        done = write_directly(descriptor, [view], offset)
        assert tracemalloc.get_traced_memory()[1] < 16 * KIB
    finally:
        tracemalloc.stop()
    assert done in (0, size - size % BLOCK)  # 0: this file system knows no such writing
    assert os.pread(descriptor, size, offset) == view[:done]
    assert os.fstat(descriptor).st_size == (offset + done if done else 0)


@pytest.mark.parametrize("shift", [1, 3, 511, BLOCK - 1])
@pytest.mark.parametrize("kind", ["mapped", "of the heap", "read-only"])
def test_a_view_of_no_whole_pages_is_right_or_left_to_others(descriptor: int, shift: int, kind: str) -> None:
    content = os.urandom(65 * KIB + BLOCK)
    view = {
        "mapped": made(2 * 1024 * KIB).take()[: len(content)],
        "of the heap": memoryview(bytearray(content)),
        "read-only": memoryview(content),
    }[kind]
    if not view.readonly:
        view[:] = content
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    piece = view[shift : shift + 65 * KIB]
    done = write_directly(descriptor, [piece], 0)
    assert done in (0, 64 * KIB)
    assert os.pread(descriptor, 128 * KIB, 0) == piece[:done]
    assert fcntl.fcntl(descriptor, fcntl.F_GETFL) == flags


@pytest.mark.parametrize("written", [512, BLOCK, 3 * BLOCK + 512])
def test_a_short_write_is_told(descriptor: int, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    monkeypatch.setattr("aionet.services.files.direct.os.pwrite", lambda *_: written)
    assert write_directly(descriptor, [made(64 * KIB).take()], 0) == written
