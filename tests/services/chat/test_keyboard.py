"""Input from a pipe, a file, a terminal, and from nothing; whole, and stoppable at any time."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.chat.keyboard import Keyboard

LIMIT = 10


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def type(self, data: bytes) -> None:
        assert os.write(self.writer, data) == len(data)

    def end(self) -> None:
        os.close(self.writer)
        self.writer = -1

    def close(self) -> None:
        os.close(self.reader)
        if self.writer >= 0:
            self.end()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


async def read_all(keyboard: Keyboard) -> list[bytes | None]:
    return [line async for line in keyboard.lines()]


async def test_a_pipe_to_its_end(pipe: Pipe) -> None:
    pipe.type(b"one\r\n\ntwo\nunfinished")
    pipe.end()
    assert await read_all(Keyboard(pipe.reader, LIMIT)) == [b"one", b"", b"two", b"unfinished"]


async def test_a_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    with path.open("rb") as file:
        assert await read_all(Keyboard(file, LIMIT)) == [b"one", b"two"]


async def test_nothing_at_all() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert await read_all(Keyboard(descriptor, LIMIT)) == []
    finally:
        os.close(descriptor)


async def test_a_closed_descriptor_is_an_end() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    keyboard = Keyboard(reader, LIMIT)
    assert not keyboard.is_terminal
    assert await read_all(keyboard) == []


async def test_a_terminal() -> None:
    controller, terminal = pty.openpty()
    try:
        keyboard = Keyboard(terminal, LIMIT)
        assert keyboard.is_terminal
        os.write(controller, b"one\ntwo\n\x04")
        assert await read_all(keyboard) == [b"one", b"two"]
        assert os.get_blocking(terminal)
    finally:
        os.close(controller)
        os.close(terminal)


async def test_waiting_can_be_given_up_and_loses_nothing(pipe: Pipe) -> None:
    keyboard = Keyboard(pipe.reader, LIMIT)
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_all, keyboard)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    pipe.type(b"kept\n")
    pipe.end()
    assert await read_all(keyboard) == [b"kept"]


async def test_lines_come_while_the_pipe_stays_open(pipe: Pipe) -> None:
    lines = Keyboard(pipe.reader, LIMIT).lines()
    for word in (b"one", b"two", b"three"):
        pipe.type(word + b"\n")
        assert await anext(lines) == word
    await lines.aclose()


async def test_a_line_too_long_is_none_and_the_next_is_whole(pipe: Pipe) -> None:
    pipe.type(b"x" * LIMIT + b"\r\n" + b"x" * (LIMIT + 1) + b"\nnext\n" + b"y" * 50)
    keyboard = Keyboard(pipe.reader, LIMIT)
    lines = keyboard.lines()
    assert [await anext(lines) for _ in range(3)] == [b"x" * LIMIT, None, b"next"]
    pipe.type(b"y" * 50 + b"\nlast")
    pipe.end()
    assert [line async for line in lines] == [None, b"last"]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 7))
def test_chunks_do_not_matter(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines) + b"\n"
    keyboard = Keyboard(0, LIMIT)
    got: list[bytes | None] = []
    for start in range(0, len(data), size):
        got += keyboard._split(data[start : start + size])
    whole = [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]
    assert got == [line if len(line) <= LIMIT else None for line in whole]
