"""Standard input: pipes, files and devices, whole lines, bounded."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from aionet.cli import stdin
from aionet.cli.failures import CommandError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


async def test_a_pipe_is_read_as_it_comes(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    source = stdin.chunks(reading)
    for part in (b"one", b"two"):
        os.write(writing, part)
        assert await anext(source) == part
    os.close(writing)
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_waiting_for_a_pipe_can_be_cancelled(pipe: tuple[int, int]) -> None:
    async def read() -> None:
        async for _ in stdin.chunks(pipe[0]):
            pytest.fail("there was nothing to read")

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def test_a_file_and_a_device_are_read_to_their_end(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x" * 200_000)
    for path, size in ((tmp_path / "input", 200_000), (Path("/dev/null"), 0)):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            assert sum([len(chunk) async for chunk in stdin.chunks(descriptor)]) == size
        finally:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb\r\n\n\xff\x00\n", [b"a", b"b", b"", b"\xff\x00"]),
        (b"12345678\n", [b"12345678"]),
        (b"12345678\r\n", [b"12345678"]),
        (b"\r\n", [b""]),
    ],
)
async def test_lines(data: bytes, lines: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(data)
    descriptor = os.open(tmp_path / "input", os.O_RDONLY)
    try:
        assert [line async for line in stdin.lines(descriptor, max_size=8)] == lines
    finally:
        os.close(descriptor)


async def test_lines_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"one\r\n\ntwo\nthree"
    for cut in range(1, len(text)):
        parts = [text[:cut], text[cut : cut + 1], text[cut + 1 :]]

        async def chunks(descriptor: int, parts: list[bytes] = parts) -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        monkeypatch.setattr(stdin, "chunks", chunks)
        assert [line async for line in stdin.lines(max_size=8)] == [b"one", b"", b"two", b"three"]


@pytest.mark.parametrize("data", [b"123456789\n", b"x" * 100_000, b"ok\n123456789"])
async def test_a_line_that_no_message_can_carry(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(data)
    descriptor = os.open(tmp_path / "input", os.O_RDONLY)
    try:
        with pytest.raises(CommandError, match="more than 8 bytes"):
            assert [line async for line in stdin.lines(descriptor, max_size=8)]
    finally:
        os.close(descriptor)
