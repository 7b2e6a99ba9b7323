"""Codecs that give the messages of a chunk a few at a time: ``Codec.pending``."""

from __future__ import annotations

import asyncio

import pytest

from aionet import Codec, Connection, Router, Server, StreamHandler
from aionet.errors import MalformedFrame
from aionet.events import CloseReason, ConnectionClosed


class Digits(Codec[int]):
    """One message a byte, two at a time; anything but a digit is a fault."""

    def __init__(self) -> None:
        self.rest = b""
        self.most = 0

    @property
    def pending(self) -> bool:  # type: ignore[override]
        return bool(self.rest)

    def feed(self, data: bytes) -> list[int]:
        if self.rest and data:
            self.rest += data
            return []
        data = data or self.rest
        now, self.rest = data[:2], data[2:]
        if not now.isdigit():
            self.fault, self.rest = MalformedFrame(f"not a digit in {now!r}"), b""
            return []
        return [int(now[index : index + 1]) for index in range(len(now))]

    def encode(self, message: int) -> bytes:
        return b"%d" % message


async def exchange(handler: object, *chunks: bytes) -> tuple[bytes, list[ConnectionClosed]]:
    closed: list[ConnectionClosed] = []
    router = Router()
    router.add("tcp://127.0.0.1:0", handler, codec=Digits)
    async with Server(router) as server:
        server.events.subscribe(closed.append, ConnectionClosed)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.addresses[0].port)
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(0)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    return answer, closed


async def echo(conn: Connection[int]) -> None:
    async for number in conn:
        await asyncio.sleep(0)
        await conn.send(number)


class Echo(StreamHandler[int]):
    async def on_message(self, conn: Connection[int], message: int) -> None:
        await conn.send(message)


NUMBERS = b"0123456789" * 50


@pytest.mark.parametrize("handler", [echo, Echo()], ids=["coroutine", "async message"])
@pytest.mark.parametrize("size", [1, 3, 100, len(NUMBERS)])
async def test_all_arrive_in_order(handler: object, size: int) -> None:
    chunks = [NUMBERS[start : start + size] for start in range(0, len(NUMBERS), size)]
    answer, closed = await exchange(handler, *chunks)
    assert answer == NUMBERS
    assert closed[0].stats.messages_received == len(NUMBERS)


@pytest.mark.parametrize("handler", [echo, Echo()], ids=["coroutine", "async message"])
async def test_a_fault_is_met_behind_what_came_before(handler: object) -> None:
    answer, closed = await exchange(handler, b"012345xx6789")
    assert answer == b"012345"
    assert closed[0].reason is CloseReason.FRAMING_ERROR


async def test_an_inbox_holds_no_more_than_was_asked_for() -> None:
    waiting: list[int] = []

    async def slow(conn: Connection[int]) -> None:
        async for _ in conn:
            waiting.append(len(conn._inbox))  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    await exchange(slow, NUMBERS)
    assert len(waiting) == len(NUMBERS)
    assert max(waiting) < 3


async def test_a_codec_with_a_defect_ends_its_own_connection() -> None:
    class Defect(Digits):
        def feed(self, data: bytes) -> list[int]:
            if not data:
                raise RuntimeError("defect")
            return super().feed(data)

    closed: list[ConnectionClosed] = []
    router = Router()
    router.add("tcp://127.0.0.1:0", echo, codec=Defect)
    async with Server(router) as server:
        server.events.subscribe(closed.append, ConnectionClosed)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.addresses[0].port)
        writer.write(b"0123")
        await reader.read()
        writer.close()
    assert closed[0].reason is CloseReason.HANDLER_ERROR
