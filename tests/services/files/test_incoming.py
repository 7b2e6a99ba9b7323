"""Two buffers, a sender and a thread, each at its own pace: in every order nothing is lost, mixed or taken twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from unittest import mock

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import Connection
from aionet.services.files.direct import BLOCK, Buffers
from aionet.services.files.incoming import IncomingBody, receive_whole
from aionet.services.files.wire import Message

BUFFER = 4 * BLOCK
CONTENT = bytes(number * 7 % 251 for number in range(11 * BLOCK + 1))
"""In which no block is as another: 251 is a prime."""


class Sender:
    """The connection's side: pieces that come one a tick, unless they are there; and an end."""

    def __init__(self, pieces: list[bytes], end: type[Exception] = anyio.EndOfStream, there: int = 0) -> None:
        self.pieces = deque(pieces)
        self.there = there
        self.end = end
        self.when_dry: Callable[[], object] = int

    def receive_nowait(self) -> bytes:
        if not self.there:
            raise anyio.WouldBlock
        self.there -= 1
        return self.pieces.popleft()

    async def receive_into(self, buffer: memoryview, at_least: int = 1) -> int:
        assert 0 < at_least <= len(buffer)
        filled = 0
        while filled < at_least:
            await asyncio.sleep(0)
            if not self.pieces:
                self.when_dry()
                if filled:
                    break
                raise self.end
            piece = self.pieces.popleft()
            part, rest = piece[: len(buffer) - filled], piece[len(buffer) - filled :]
            buffer[filled : filled + len(part)] = part
            filled += len(part)
            if rest:
                self.pieces.appendleft(rest)
        return filled


class Disk:
    """What takes it: so many ticks later, so that a buffer that is filled anew too early is seen.

    ``answers``: at which call there is one, and which.
    """

    def __init__(self, ticks: list[int], answers: dict[int, bytes | Exception] | None = None) -> None:
        self.ticks = ticks
        self.answers = answers or {}
        self.sizes: list[int] = []
        self.lasts: list[bool] = []
        self.content = b""
        self.under_way = 0
        self.most_under_way = 0

    def take(self, data: memoryview, last: bool) -> asyncio.Future[bytes]:
        self.sizes.append(len(data))
        self.lasts.append(last)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return asyncio.ensure_future(self._take(data, last, len(self.sizes) - 1))

    async def _take(self, data: memoryview, last: bool, number: int) -> bytes:
        for _ in range(self.ticks[number % len(self.ticks)] if self.ticks else 0):
            await asyncio.sleep(0)
        self.content += bytes(data)
        self.under_way -= 1
        answer = self.answers.get(number, b"all of it" if last else b"")
        if isinstance(answer, Exception):
            raise answer
        return answer


def body_of(sender: Sender, size: int, disk: Disk, buffers: Buffers, offset: int = 0) -> IncomingBody:
    return IncomingBody(cast(Connection[Message], sender), size, offset, buffers, disk.take, lambda: None)


def split(content: bytes, sizes: list[int]) -> list[bytes]:
    """Pieces of these sizes, over and over, up to its end."""
    pieces: list[bytes] = []
    position = 0
    while position < len(content):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(content[position : position + size])
        position += size
    return pieces


class Counting(Buffers):
    """Buffers that know how many were made, and which came back."""

    def __init__(self) -> None:
        super().__init__(BUFFER, kept=2, most=6, small=2 * BLOCK)
        self.made = 0
        self.back: list[memoryview] = []

    def take(self) -> memoryview:
        self.made += not self._free
        return super().take()

    def give_back(self, buffer: memoryview) -> None:
        assert not any(buffer is other for other in self._free)
        self.back.append(buffer)
        super().give_back(buffer)


def enough(size: int) -> Any:
    """What is worth a hop to a thread, for buffers as small as these."""
    return mock.patch("aionet.services.files.incoming._ENOUGH", size)


SIZES = st.one_of(
    st.sampled_from([1, BLOCK - 1, BLOCK, BLOCK + 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 2 * BUFFER + 1]),
    st.integers(1, len(CONTENT)),
)
SPLITS = st.lists(st.one_of(st.integers(1, 50), st.integers(BLOCK - 1, BLOCK + 1), st.integers(1, BUFFER)), min_size=1)
TICKS = st.lists(st.integers(0, 12))


@given(
    size=SIZES,
    offset=st.one_of(st.just(0), st.integers(0, 3 * BLOCK)),
    splits=SPLITS,
    ticks=TICKS,
    there=st.booleans(),
    least=st.sampled_from([BLOCK, BLOCK + 1, 3 * BLOCK]),
)
def test_every_size_in_every_split_at_every_pace(
    size: int, offset: int, splits: list[int], ticks: list[int], there: bool, least: int
) -> None:
    async def run() -> None:
        sender = Sender(split(CONTENT[:size], splits), there=there)
        disk, buffers = Disk(ticks), Counting()
        with enough(least), body_of(sender, size, disk, buffers, offset) as body:
            assert body.has_begun() == there
            assert await body.run() == b"all of it"
            assert body.missing == 0
        assert disk.content == CONTENT[:size]
        assert disk.lasts == [False] * (len(disk.lasts) - 1) + [True]
        ends = [offset + sum(disk.sizes[: number + 1]) for number in range(len(disk.sizes))]
        assert all(end % BLOCK == 0 for end in ends[:-1])
        assert all(each > 0 for each in disk.sizes)
        assert disk.most_under_way == 1
        assert len(buffers.back) == 2

    asyncio.run(run())


@given(
    size=SIZES,
    splits=SPLITS,
    ticks=TICKS,
    part=st.integers(0, 100),
    end=st.sampled_from([anyio.EndOfStream, anyio.BrokenResourceError]),
)
def test_cut_at_any_byte_what_had_come_is_taken(
    size: int, splits: list[int], ticks: list[int], part: int, end: type[Exception]
) -> None:
    come = (size - 1) * part // 100

    async def run() -> None:
        sender, disk, buffers = Sender(split(CONTENT[:come], splits), end), Disk(ticks), Counting()
        with enough(BLOCK + 1), body_of(sender, size, disk, buffers) as body:
            body.has_begun()
            with pytest.raises(end):
                await body.run()
            assert body.missing == size - come
        assert disk.content == CONTENT[:come]
        assert not any(disk.lasts)
        assert disk.under_way == 0

    asyncio.run(run())


@given(size=SIZES, splits=SPLITS, ticks=TICKS, number=st.integers(0, 5))
def test_an_answer_before_the_end_ends_it_and_the_rest_can_be_passed_over(
    size: int, splits: list[int], ticks: list[int], number: int
) -> None:
    async def run() -> None:
        sender, buffers = Sender([*split(CONTENT[:size], splits), b"next"]), Counting()
        disk = Disk(ticks, {number: b"full"})
        with enough(BLOCK + 1), body_of(sender, size, disk, buffers) as body:
            body.has_begun()
            answer = await body.run()
            assert answer == (b"full" if len(disk.sizes) > number else b"all of it")
            assert len(disk.sizes) <= number + 1  # nothing is given to a disk that has refused
            await body.pass_over()
        assert list(sender.pieces) == [b"next"]
        assert CONTENT.startswith(disk.content)
        assert len(buffers.back) == 2

    asyncio.run(run())


async def test_a_cut_behind_a_refusal_is_the_end_and_nothing_more_is_taken() -> None:
    sender, disk = Sender([CONTENT[:BUFFER], CONTENT[:100]]), Disk([20], {0: b"full"})
    with body_of(sender, len(CONTENT), disk, Counting()) as body, pytest.raises(anyio.EndOfStream):
        await body.run()
    assert disk.sizes == [BUFFER]


@pytest.mark.parametrize("number", [0, 1])
async def test_a_fault_of_the_taker_is_raised(number: int) -> None:
    sender, buffers = Sender([CONTENT]), Counting()
    disk = Disk([3], {number: ZeroDivisionError("a bug")})
    with pytest.raises(ZeroDivisionError), body_of(sender, len(CONTENT), disk, buffers) as body:
        await body.run()
    assert len(disk.sizes) == number + 1


async def test_what_is_enough_is_taken_though_the_sender_is_slow() -> None:
    """What was there at the beginning counts, too."""
    seen: list[list[int]] = []
    sender, disk = Sender([CONTENT[: BLOCK + 1], CONTENT[BLOCK + 1 : 2 * BLOCK + 1]], there=1), Disk([])
    sender.when_dry = lambda: seen.append(list(disk.sizes))
    with enough(2 * BLOCK), body_of(sender, len(CONTENT), disk, Counting()) as body:
        assert body.has_begun()
        with pytest.raises(anyio.EndOfStream):
            await body.run()
    assert seen[0] == [2 * BLOCK]
    assert disk.sizes == [2 * BLOCK, 1]  # the last one only at the end
    assert disk.content == CONTENT[: 2 * BLOCK + 1]


@pytest.mark.parametrize("first", [BUFFER, BUFFER + 1, 2 * BUFFER + 5, len(CONTENT)])
async def test_a_first_piece_that_is_larger_than_a_buffer(first: int) -> None:
    sender, disk, buffers = Sender([CONTENT[:first], CONTENT[first:]], there=1), Disk([3]), Counting()
    with body_of(sender, len(CONTENT), disk, buffers) as body:
        assert body.has_begun()
        assert await body.run() == b"all of it"
    assert disk.content == CONTENT
    assert len(buffers.take()) == BUFFER


async def test_nothing_is_taken_of_a_body_that_does_not_begin() -> None:
    disk = Disk([])
    with body_of(Sender([]), 5, disk, Counting()) as body:
        assert not body.has_begun()
        with pytest.raises(anyio.EndOfStream):
            await body.run()
    assert disk.sizes == []


async def test_buffers_are_used_again() -> None:
    buffers = Counting()
    for _ in range(5):
        disk = Disk([2])
        with body_of(Sender([CONTENT]), len(CONTENT), disk, buffers) as body:
            await body.run()
        assert disk.content == CONTENT
    assert buffers.made == 2


async def ends_while_taken(cut: Callable[[asyncio.Task[Any]], object], sender: Sender) -> tuple[Disk, Counting]:
    """A body whose task ends by ``cut`` while a thread is at a buffer."""
    disk, buffers = Disk([1000]), Counting()

    async def run() -> None:
        with body_of(sender, len(CONTENT), disk, buffers) as body:
            await body.run()

    task = asyncio.create_task(run())
    while not disk.sizes:  # noqa: ASYNC110 -- ticks are what is counted here
        await asyncio.sleep(0)
    cut(task)
    await asyncio.wait((task,))
    return disk, buffers


async def test_a_buffer_that_a_thread_is_at_is_nobody_elses_when_the_task_is_cancelled() -> None:
    disk, buffers = await ends_while_taken(asyncio.Task.cancel, Sender([CONTENT]))
    assert disk.under_way == 1
    assert buffers.back == []
    one, other = buffers.take(), buffers.take()
    one[:], other[:] = bytes(BUFFER), bytes(BUFFER)
    while disk.under_way:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert disk.content == CONTENT[:BUFFER]


async def test_a_call_that_was_made_though_it_failed_to_begin_keeps_its_buffer() -> None:
    """A pool that cannot start a thread raises, and yet one of those it has may come to the call."""
    buffers = Counting()
    data: list[memoryview] = []

    def take(piece: memoryview, last: bool) -> asyncio.Future[bytes]:
        data.append(piece)
        raise RuntimeError("can't start new thread")

    with (
        pytest.raises(RuntimeError, match="new thread"),
        IncomingBody(
            cast(Connection[Message], Sender([CONTENT])), len(CONTENT), 0, buffers, take, lambda: None
        ) as body,
    ):
        await body.run()
    for buffer in (buffers.take(), buffers.take()):
        buffer[:] = bytes(BUFFER)
    assert data == [CONTENT[:BUFFER]]


@pytest.mark.parametrize("steps", range(60))
async def test_cancelled_at_every_step_no_buffer_is_lost_to_two(steps: int) -> None:
    sender, disk, buffers = Sender(split(CONTENT, [1000]), there=1), Disk([5]), Counting()

    async def run() -> None:
        with enough(BLOCK + 1), body_of(sender, len(CONTENT), disk, buffers) as body:
            body.has_begun()
            await body.run()

    task = asyncio.create_task(run())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    for buffer in (buffers.take(), buffers.take()):
        buffer[:] = bytes(BUFFER)
    while disk.under_way:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert CONTENT.startswith(disk.content)


@given(size=st.integers(1, 5000), splits=st.lists(st.integers(1, 900), min_size=1))
def test_a_small_body_is_received_whole(size: int, splits: list[int]) -> None:
    async def run() -> None:
        sender = Sender([*split(CONTENT[:size], splits), b"next"])
        assert await receive_whole(cast(Connection[Message], sender), size) == CONTENT[:size]
        assert list(sender.pieces) == [b"next"]
        cut = Sender(split(CONTENT[: size - 1], splits))
        with pytest.raises(anyio.EndOfStream):
            await receive_whole(cast(Connection[Message], cut), size)

    asyncio.run(run())
