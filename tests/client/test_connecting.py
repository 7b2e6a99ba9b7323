"""connect() as users call it: awaited, or as a block; errors are in tests/core/test_connecting.py."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest

from aionet import CloseReason, Connection, LengthPrefixCodec, LineCodec, connect
from aionet.client.connecting import CLIENT_TIMEOUTS
from aionet.errors import ConnectTimeout, EndpointError

from ..serving import Recorder, eventually, serving


async def test_a_block_closes_what_it_opened() -> None:
    handler = Recorder()
    async with serving(handler) as (_, place):
        async with connect(str(place), codec=LineCodec()) as conn:
            await conn.send(b"hello")
            assert await conn.receive() == b"HELLO"
            assert conn.peername == ("127.0.0.1", place.port)
            assert conn.route == place.location
            assert (conn.stats.messages_sent, conn.stats.messages_received) == (1, 1)
        assert conn.closing
        assert conn.fileno() == -1
        await eventually(lambda: handler.closed == [CloseReason.PEER_CLOSED])


async def test_an_exception_inside_closes_too() -> None:
    handler = Recorder()
    async with serving(handler) as (_, place):
        with pytest.raises(ZeroDivisionError):
            async with connect(place):
                raise ZeroDivisionError
        await eventually(lambda: handler.closed == [CloseReason.PEER_CLOSED])


async def test_awaited_it_is_the_callers_to_close() -> None:
    async with serving(Recorder()) as (_, place):
        conn: Connection[bytes] = await connect(place)
        await conn.send(b"one\ntwo\n")  # without a codec: bytes as they come
        assert (await conn.receive()).startswith(b"ONE\n")
        await conn.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await conn.send(b"more")


async def test_the_end_of_the_server_is_the_end_of_the_stream() -> None:
    async with serving(Recorder()) as (server, place), connect(place, codec=LineCodec()) as conn:
        await conn.send(b"hello")
        assert await conn.receive() == b"HELLO"
        await server.drain()
        assert [message async for message in conn] == []


async def test_two_at_once_keep_apart_and_a_codec_is_cloned() -> None:
    async def echo(conn: Connection[bytes]) -> None:
        async for message in conn:
            await conn.send(message)

    codec = LengthPrefixCodec()
    async with serving(echo, route={"codec": codec}) as (_, place):
        async with connect(place, codec=codec) as one, connect(place, codec=codec) as two:
            await one.send(b"1" * 50_000)
            await two.send(b"2")
            assert await two.receive() == b"2"
            assert await one.receive() == b"1" * 50_000


def test_what_does_not_parse_is_refused_at_the_call() -> None:
    with pytest.raises(EndpointError, match="no scheme"):
        connect("127.0.0.1:7000")


async def test_a_timeout_inside_the_block_is_the_users_own() -> None:
    async with serving(Recorder()) as (_, place):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.02), connect(place, codec=LineCodec()) as conn:
                await conn.receive()
        assert not isinstance(caught.value, ConnectTimeout)


def test_a_client_waits_as_long_as_it_likes() -> None:
    assert CLIENT_TIMEOUTS.idle == CLIENT_TIMEOUTS.message == CLIENT_TIMEOUTS.first_message == math.inf
    assert CLIENT_TIMEOUTS.send < math.inf
