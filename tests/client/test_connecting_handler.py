"""connect(handler=...): a client in callback style."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionet import CloseReason, Connection, Limits, LineCodec, StreamHandler, connect
from aionet.errors import ConnectError, RouteError
from aionet.services.echo import Echo

from ..core.test_connecting import refusing
from ..serving import Recorder, eventually, serving


class Client(StreamHandler[bytes]):
    """Says hello, and writes down what happens."""

    codec = LineCodec(max_size=1024)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_connect(self, conn: Connection[bytes]) -> None:
        self.heard.append("connected")
        conn.write(b"hello")

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        self.heard.append(message)

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        self.heard.append((reason, type(exc)))


async def test_the_handler_gets_what_comes() -> None:
    handler = Client()
    async with serving(Recorder()) as (_, place), connect(place, handler=handler) as conn:
        assert handler.heard == ["connected"]
        conn.write(b"again")
        await eventually(lambda: len(handler.heard) == 3)
        with pytest.raises(RuntimeError, match="callbacks"):
            await conn.receive()
    assert handler.heard == ["connected", b"HELLO", b"AGAIN", (CloseReason.LOCAL_CLOSED, type(None))]


async def test_what_is_given_goes_before_what_the_handler_has() -> None:
    handler = Client()
    codec = LineCodec(delimiter=b"O")
    async with serving(Recorder()) as (_, place), connect(place, handler=handler, codec=codec) as conn:
        conn.write_encoded(b"\n")  # its own codec ends a message by O
        await eventually(lambda: len(handler.heard) > 1)
        assert handler.heard[1] == b"HELL"


async def test_what_it_raises_ends_the_connection_and_is_reported() -> None:
    class Failing(Client):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            raise ZeroDivisionError

    handler = Failing()
    reports: list[dict[str, Any]] = []
    async with serving(Recorder()) as (_, place):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        async with connect(place, handler=handler) as conn:
            await conn.wait_closed()
    assert handler.heard == ["connected", (CloseReason.HANDLER_ERROR, ZeroDivisionError)]
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    assert reports[0]["message"] == f"aionet: on_message of a client of {place.location} failed"


async def test_it_reads_on_while_it_cannot_write() -> None:
    """Both sides hold more than the other reads: one that stopped reading would wait for ever."""

    class Counting(StreamHandler[bytes]):
        limits = Limits(high_water=1024, low_water=512, max_outbound=1 << 30)
        received = 0

        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            self.received += len(message)

    handler = Counting()
    size = 16 << 20
    async with serving(Echo()) as (_, place), connect(place, handler=handler) as conn:
        conn.write(bytes(size))
        await eventually(lambda: handler.received == size)


async def test_who_does_not_get_there_is_told_and_the_handler_is_not_called() -> None:
    handler = Client()
    with pytest.raises(ConnectError, match="refused"):
        await connect(f"tcp://127.0.0.1:{refusing()}", handler=handler)
    assert handler.heard == []


async def test_a_coroutine_is_no_handler_of_a_client() -> None:
    async def talk(conn: Connection[bytes]) -> None: ...

    with pytest.raises(RouteError, match="callbacks"):
        connect("tcp://127.0.0.1:1", handler=talk)  # type: ignore[call-overload]
