"""How long peers are waited for. What is sent and printed is tested through ``send`` itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from aionet import Connection, DatagramPort, Router, Server, connect, open_datagram
from aionet.cli.exchange import Patience, StreamExchange, exchange_datagrams
from aionet.cli.failures import CommandError, innermost


async def items(data: Iterable[bytes]) -> AsyncIterator[bytes]:
    for item in data:
        yield item


async def talk(handler: Any, patience: Patience, *, must_answer: bool = True) -> list[bytes]:
    router = Router()
    router.add("tcp://127.0.0.1:0", handler)
    got: list[bytes] = []
    async with Server(router, drain_timeout=0) as server:
        conn: Connection[bytes] = await connect(server.addresses[0])
        try:
            exchange = StreamExchange(
                conn, bytes, patience, got.append, half_close=False, input_waits=False, must_answer=must_answer
            )
            await exchange.run(items([b"hi"]))
        finally:
            conn.abort()
    return got


async def answer_and_stay(conn: Connection[bytes]) -> None:
    await conn.send(await conn.receive())
    await asyncio.Event().wait()


async def say_nothing(conn: Connection[bytes]) -> None:
    await asyncio.Event().wait()


async def test_after_an_answer_there_may_be_no_patience_left() -> None:
    assert await talk(answer_and_stay, Patience(first=math.inf, more=0)) == [b"hi"]


async def test_without_an_answer_the_first_patience_counts() -> None:
    with pytest.raises(BaseException, match=r".") as caught:
        await talk(say_nothing, Patience(first=0.05, more=math.inf))
    failure = innermost(caught.value)
    assert isinstance(failure, CommandError)
    assert str(failure) == "no answer within 0.05 s"


async def test_where_nobody_has_to_answer() -> None:
    assert await talk(say_nothing, Patience(first=0.05, more=math.inf), must_answer=False) == []


async def test_datagrams_answered_in_part() -> None:
    async def once(port: DatagramPort[Any]) -> None:
        data, peer = await port.receive()
        port.send(data, peer)
        async for _ in port:
            pass

    router = Router()
    router.add("udp://127.0.0.1:0", once)
    got: list[bytes] = []
    async with Server(router) as server, open_datagram(server.addresses[0]) as port:
        with pytest.raises(CommandError, match=r"1 of 2 datagrams answered within 0\.05 s"):
            await exchange_datagrams(port, items([b"a", b"b"]), Patience(first=5, more=0.05), got.append)
    assert got == [b"a"]
