"""The proxy between real sockets: both directions, half-close, back-pressure, resets, an upstream that is down."""

from __future__ import annotations

import asyncio
import logging

import anyio
import pytest

from aionet import Connection, Endpoint, Limits, LineCodec, Router, Server, StreamHandler, connect
from aionet.events import CloseReason, ConnectionClosed
from aionet.services import Echo
from examples import proxy
from examples.proxy import make_router

from ..tools import require
from .trying import serving, shell, told


def upstream(handler: object, *, name: str | None = None, limits: Limits | None = None) -> Router:
    router = Router()
    router.add("tcp://127.0.0.1:0", handler, name=name, limits=limits)
    return router


def through(server: Server) -> Router:
    return make_router("tcp://127.0.0.1:0", str(server.addresses[0]))


async def test_the_command_of_the_docstring() -> None:
    require("nc")
    async with serving(upstream(Echo())) as behind, serving(through(behind)) as server:
        place = {"7010": str(server.addresses[0].port)}
        assert await shell(told(proxy, "printf", place)) == "hello\n"


async def test_half_close_passes_through_either_way() -> None:
    async def count(conn: Connection[bytes]) -> None:
        total = sum([len(chunk) async for chunk in conn])  # the client's end has come before the answer
        await conn.send(b"%d" % total)

    async def farewell(conn: Connection[bytes]) -> None:
        await conn.send(b"that is all from me")
        await conn.send_eof()
        heard.append(b"".join([chunk async for chunk in conn]))
        done.set()

    async with (
        serving(upstream(count)) as behind,
        serving(through(behind)) as server,
        connect(server.addresses[0]) as conn,
    ):
        await conn.send(b"x" * 100_000)
        await conn.send_eof()
        assert b"".join([chunk async for chunk in conn]) == b"100000"

    heard: list[bytes] = []
    done = asyncio.Event()
    async with serving(upstream(farewell)) as behind, serving(through(behind)) as server:
        async with connect(server.addresses[0]) as conn:
            assert b"".join([chunk async for chunk in conn]) == b"that is all from me"
            await conn.send(b"but I go on")
        await done.wait()
    assert heard == [b"but I go on"]


@pytest.mark.parametrize("reader", ["client", "upstream"])
async def test_who_does_not_read_holds_the_other_side_up(reader: str) -> None:
    """A sender of 64 MiB gets rid of a few of them only, until the reader reads; then of all."""
    size, block = 64, b"x" * (1 << 20)
    sent = 0
    received = 0
    go = asyncio.Event()

    async def send(conn: Connection[bytes]) -> None:
        nonlocal sent
        for _ in range(size):
            await conn.send(block)
            sent += 1
        await conn.send_eof()

    async def receive(conn: Connection[bytes]) -> None:
        nonlocal received
        await go.wait()
        async for chunk in conn:
            received += len(chunk)

    at_client, at_upstream = (receive, send) if reader == "client" else (send, receive)
    async with (
        serving(upstream(at_upstream)) as behind,
        serving(through(behind)) as server,
        connect(server.addresses[0]) as conn,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(at_client, conn)
        before = -1
        while before != sent or not sent:  # until nothing moves any more; stopping too soon would only prove less
            before = sent
            await anyio.sleep(0.1)
        assert sent < size // 2
        go.set()
        if reader == "upstream":
            assert [chunk async for chunk in conn] == []  # it ends when the upstream has read all
    assert sent == size
    assert received == size * len(block)


async def test_a_reset_passes_through() -> None:
    class Hold(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(message)

    reasons: list[CloseReason] = []
    gone = asyncio.Event()

    def closed(event: ConnectionClosed) -> None:
        reasons.append(event.reason)
        gone.set()

    async with serving(upstream(Hold())) as behind, serving(through(behind)) as server:
        behind.events.subscribe(closed, ConnectionClosed)
        conn = await connect(server.addresses[0])
        await conn.send(b"hello")
        assert await conn.receive() == b"hello"
        conn.abort()
        await gone.wait()
    assert reasons == [CloseReason.PEER_RESET]


async def test_an_upstream_that_is_down_resets_the_client_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(upstream(Echo())) as behind:
        gone = str(behind.addresses[0])
    async with serving(make_router("tcp://127.0.0.1:0", gone)) as server:
        with caplog.at_level(logging.WARNING, "aionet.examples.proxy"):
            conn = await connect(server.addresses[0])
            with pytest.raises(anyio.BrokenResourceError):
                await conn.receive()
    assert [record.getMessage() for record in caplog.records if gone in record.getMessage()]


async def test_many_clients_at_once() -> None:
    async with serving(upstream(Echo())) as behind, serving(through(behind)) as server:

        async def talk(number: int, endpoint: Endpoint) -> None:
            async with connect(endpoint, codec=LineCodec()) as conn:
                for count in range(20):
                    await conn.send(b"%d of %d" % (count, number))
                    assert await conn.receive() == b"%d of %d" % (count, number)

        await asyncio.gather(*(talk(number, server.addresses[0]) for number in range(50)))
