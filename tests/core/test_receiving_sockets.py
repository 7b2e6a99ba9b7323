"""Bodies received into buffers, on sockets: on asyncio and on uvloop, one of which has native transports."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import anyio
import pytest

from aionet import CloseReason, Connection, RawCodec, connect
from aionet.core import receiving
from aionet.events import ConnectionClosed, HandlerFailed
from aionet.limits import Limits
from aionet.services.files.wire import Batch, Message, Request, RequestCodec

from ..conftest import TLSFiles
from ..serving import collect, eventually, open_raw, program, reset, serving
from ..swapped import SWAPPED


@asynccontextmanager
async def conversation(
    codec: Any = RawCodec, endpoint: str = "tcp://127.0.0.1:0", **options: Any
) -> AsyncIterator[tuple[Any, socket.socket, list[Any]]]:
    """The server's side of a connection, the peer's socket, and what went wrong, or ended."""
    came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handler(conn: Connection[Any]) -> None:
        came.set_result(conn)
        await conn.wait_closed()

    async with serving(handler, endpoint, route={"codec": codec, **options}) as (server, place):
        events = collect(server, ConnectionClosed, HandlerFailed)
        with await open_raw(place) as sock:
            yield await came, sock, events


async def waiting(conn: Any, buffer: bytearray, at_least: int = 1) -> asyncio.Task[int]:
    """A call that waits for bytes."""
    task = asyncio.create_task(conn.receive_into(buffer, at_least))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def heard(conn: Any, count: int) -> None:
    """Return once so many bytes have come."""
    await eventually(lambda: conn.stats.bytes_received >= count)


def is_native(conn: Any) -> bool:
    native = vars(receiving)["_Native"]
    return native is not None and isinstance(conn._transport, native)


class Buffer(bytearray):
    """One whose end can be noticed."""


class Skips(RawCodec):
    """``skip`` is called in the middle of it: while the transport reads into the buffer."""

    skip: Callable[[], object] = staticmethod(lambda: None)

    def skip_body(self, count: int) -> None:
        self.skip()


async def test_it_waits_for_as_much_as_was_asked_for() -> None:
    async with conversation() as (conn, sock, _):
        buffer = bytearray(8)
        call = await waiting(conn, buffer, 6)
        sock.send(b"abc")
        await heard(conn, 3)
        assert not call.done()
        sock.send(b"def")
        assert await call == 6
        assert buffer == b"abcdef\0\0"
        sock.send(b"0123456789")
        assert await conn.receive_into(buffer) == 8
        assert buffer == b"01234567"
        assert await conn.receive() == b"89"
        assert conn._transport.get_protocol() is conn


async def test_a_body_ends_inside_the_buffer() -> None:
    async with conversation(RequestCodec) as (conn, sock, _):
        sock.send(b"PUT;size=7 name\nab")
        assert await conn.receive() == Request("PUT", "name", size=7)
        buffer = bytearray(100)
        assert await conn.receive_into(buffer, 2) == 2
        call = await waiting(conn, buffer, 100)
        sock.send(b"cdefgLIST\n")
        assert await call == 5
        assert buffer[:5] == b"cdefg"
        assert await conn.receive() == Batch(b"LIST\n")
        with pytest.raises(RuntimeError, match="what follows its head"):
            await conn.receive_into(buffer)


async def test_each_read_counts_as_a_message_and_an_upload_takes_few() -> None:
    size, room = 8 << 20, 1 << 20
    sent = os.urandom(size)
    async with conversation() as (conn, sock, _):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        buffer, came, at = bytearray(room), bytearray(), 0
        while len(came) < size:
            while at < size:  # as much as the kernel holds, so that it does not depend on who is faster
                try:
                    at += sock.send(sent[at : at + room])
                except BlockingIOError:
                    break
            got = await conn.receive_into(buffer)
            came += buffer[:got]
        assert came == sent
        assert conn.stats.bytes_received == size
        pieces = size // (64 << 10)
        if is_native(conn):
            assert conn.stats.messages_received < pieces
            assert conn._context.shared.reactor.heard < pieces + 10


@pytest.mark.parametrize("end", ["eof", "reset", "close", "abort"])
@pytest.mark.parametrize("sent", [b"", b"abc"])
async def test_what_came_is_given_before_the_end(end: str, sent: bytes) -> None:
    async with conversation() as (conn, sock, events):
        buffer = bytearray(8)
        call = await waiting(conn, buffer, 8)
        if sent:
            sock.send(sent)
            await heard(conn, len(sent))
        match end:
            case "eof":
                sock.shutdown(socket.SHUT_WR)
            case "reset":
                reset(sock)
            case "close":
                conn.close()
            case "abort":
                conn.abort()
        if sent:
            assert await call == 3
            assert buffer == b"abc\0\0\0\0\0"
            call = asyncio.create_task(conn.receive_into(buffer))
        errors = {"eof": anyio.EndOfStream, "reset": anyio.BrokenResourceError}
        with pytest.raises(errors.get(end, anyio.ClosedResourceError)):
            await call
        if end == "reset":
            await eventually(lambda: events)
            assert events[0].reason is CloseReason.PEER_RESET


async def test_a_server_that_drains_ends_the_stream() -> None:
    ends: list[object] = []

    async def handler(conn: Connection[bytes]) -> None:
        buffer = bytearray(8)
        ends.append(conn)
        ends.append(await conn.receive_into(buffer, 8))
        try:
            await conn.receive_into(buffer, 8)
        except anyio.EndOfStream as exc:
            ends.append(type(exc))
        await conn.send(b"bye")

    async with serving(handler, route={"codec": RawCodec}) as (server, place):
        with await open_raw(place) as sock:
            sock.send(b"abc")
            await eventually(lambda: ends and ends[0].stats.bytes_received)  # type: ignore[attr-defined]
            draining = asyncio.create_task(server.drain())
            assert await asyncio.get_running_loop().sock_recv(sock, 9) == b"bye"
        assert not (await draining).cut
    assert ends[1:] == [3, anyio.EndOfStream]


@pytest.mark.parametrize("ticks", [0, 1, 2, 3])
async def test_cancelled_at_any_time_it_loses_nothing(ticks: int) -> None:
    async with conversation() as (conn, sock, _):
        sock.send(b"ab")
        await heard(conn, 2)
        call = asyncio.create_task(conn.receive_into(bytearray(8), 8))
        await asyncio.sleep(0)
        sock.send(b"cdefghij")
        for _ in range(ticks):
            await asyncio.sleep(0)
        call.cancel()
        came = bytearray()
        try:
            assert await call == 8  # it was done by then
            came += b"abcdefgh"
        except asyncio.CancelledError:
            pass
        async with asyncio.timeout(30):
            while len(came) < 10:
                buffer = bytearray(10)
                got = await conn.receive_into(buffer)
                came += buffer[:got]
        assert came == b"abcdefghij"


@pytest.mark.asyncio(loop_factories=["asyncio" if SWAPPED else "uvloop"])
@pytest.mark.parametrize("what", ["cancel", "close", "abort", "raise"])
async def test_it_ends_while_the_transport_reads_into_the_buffer(what: str) -> None:
    codec = Skips()
    async with conversation(lambda: codec) as (conn, sock, events):
        if not is_native(conn):
            pytest.skip("native transports are not built")
        buffer = bytearray(1 << 20)
        call = await waiting(conn, buffer, 1 << 20)
        actions = {"cancel": call.cancel, "close": conn.close, "abort": conn.abort, "raise": lambda: 1 // 0}
        codec.skip = actions[what]
        sock.send(b"x" * 70_000)
        if what == "cancel":
            with pytest.raises(asyncio.CancelledError):
                await call
            got = conn.stats.bytes_received
            assert conn._transport.get_protocol() is conn
            assert await conn.receive_into(buffer, got) >= got
        else:
            assert await call == conn.stats.bytes_received
        if what == "raise":
            assert [(event.where, type(event.exc)) for event in events[:1]] == [("codec.skip_body", ZeroDivisionError)]


async def test_paused_it_reads_nothing() -> None:
    async with conversation() as (conn, sock, _):
        buffer = bytearray(8)
        call = await waiting(conn, buffer, 8)
        sock.send(b"abc")
        await heard(conn, 3)
        conn.pause_reading()
        sock.send(b"defgh")
        await asyncio.sleep(0.01)  # time enough to do what it must not
        assert conn.stats.bytes_received == 3
        conn.resume_reading()
        assert await call == 8
        assert buffer == b"abcdefgh"


async def test_a_congested_connection_hears_that_it_has_room_again() -> None:
    async with conversation(limits=Limits(high_water=1000, low_water=100, max_outbound=1 << 30)) as (conn, sock, _):
        call = await waiting(conn, bytearray(8))
        sending = asyncio.create_task(conn.send(b"x" * (8 << 20)))
        await eventually(lambda: not conn.writable)
        loop = asyncio.get_running_loop()
        while not conn.writable:
            await loop.sock_recv(sock, 1 << 20)
        await sending
        sock.send(b"a")
        assert await call == 1


async def test_clients_receive_so_as_well() -> None:
    async def handler(conn: Connection[bytes]) -> None:
        await conn.send(b"abcdef")
        await conn.send_eof()
        await conn.wait_closed()

    async with (
        serving(handler, route={"codec": RawCodec}) as (_, place),
        await connect(place, codec=RawCodec) as conn,
    ):
        buffer = bytearray(4)
        assert await conn.receive_into(buffer, 4) == 4
        rest = bytearray(4)
        assert await conn.receive_into(rest, 4) == 2
        assert buffer + rest == b"abcdef\0\0"
        with pytest.raises(anyio.EndOfStream):
            await conn.receive_into(rest)


async def test_over_tls_pieces_are_copied_also_those_behind_a_full_inbox(tls_files: TLSFiles) -> None:
    size = 300_000
    body = os.urandom(size)
    came = bytearray()
    go_on = asyncio.Event()

    async def handler(conn: Connection[Message]) -> None:
        assert await conn.receive() == Request("PUT", "name", size=size)
        await go_on.wait()
        buffer = bytearray(1 << 20)
        got = await conn.receive_into(buffer, size)
        came.extend(buffer[:got])
        conn.write_encoded(b"taken")

    where = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    route = {"codec": RequestCodec, "limits": Limits(max_inbound=1000)}
    async with (
        serving(handler, where, route=route) as (_, place),
        await connect(f"{place.location}?ca={tls_files.ca}", codec=RawCodec) as conn,
    ):
        conn.write(b"PUT;size=%d name\n" % size + body[:9])
        await conn.send(body[9:])
        go_on.set()
        assert await conn.receive() == b"taken"
    assert came == body


async def test_a_carrier_has_no_bodies() -> None:
    raised: list[str] = []

    async def handler(conn: Connection[Any]) -> None:
        try:
            await conn.receive_into(bytearray(8))
        except RuntimeError as exc:
            raised.append(str(exc))

    async with (
        serving(handler, "ws://127.0.0.1:0", route={"codec": RawCodec}) as (_, place),
        await connect(place, codec=RawCodec) as conn,
    ):
        with pytest.raises(anyio.EndOfStream):
            await conn.receive()
    assert "knows no bodies" in raised[0]


@pytest.mark.parametrize("way", ["taken", "cancelled", "ended"])
async def test_neither_buffer_nor_connection_is_kept(way: str) -> None:
    kept: list[weakref.ref[Any]] = []

    async def handler(conn: Connection[bytes]) -> None:
        buffer = Buffer(8)
        kept.extend([weakref.ref(buffer), weakref.ref(conn.codec)])
        try:
            async with asyncio.timeout(0.02 if way == "cancelled" else None):
                await conn.receive_into(buffer, 8)
        except TimeoutError:
            assert await conn.receive() == b"ab"

    gc.collect()
    gc.disable()  # counting references has to be enough
    try:
        async with serving(handler, route={"codec": Skips}) as (server, place):
            closed = collect(server, ConnectionClosed)
            with await open_raw(place) as sock:
                sock.send(b"abcdefgh" if way == "taken" else b"ab")
                if way == "ended":
                    sock.shutdown(socket.SHUT_WR)
                await eventually(lambda: closed)
            await eventually(lambda: [ref() for ref in kept] == [None, None])
    finally:
        gc.enable()


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_without_native_transports() -> None:
    source = """
        import asyncio, sys
        from aionet import RawCodec, Router, Server, connect
        from aionet.core import loop

        async def handler(conn):
            buffer = bytearray(9)
            got = await conn.receive_into(buffer, 6)
            await conn.send(bytes(buffer[:got]))

        async def main():
            assert not loop.NATIVE
            router = Router()
            router.add("tcp://127.0.0.1:0", handler, codec=RawCodec)
            async with Server(router) as server:
                async with await connect(server.addresses[0], codec=RawCodec) as conn:
                    await conn.send(b"abc")
                    await conn.send(b"def")
                    answer = bytearray(9)
                    print(await conn.receive_into(answer, 6), answer[:6].decode())

        asyncio.run(main())
    """
    process = await program(source, env={**os.environ, "AIONET_NATIVE": "0"})
    out, err = await process.communicate()
    assert (out.split(), err) == ([b"6", b"abcdef"], b"")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("codec", [RawCodec, RequestCodec])
async def test_random_conversations(codec: Any, seed: int) -> None:
    """Whatever is called, in any order, cancelled at any time: each byte comes once, and in order."""
    random = Random(seed)
    stream = bytearray()
    while len(stream) < 3_000_000:
        body = random.randbytes(random.choice([1, 10, 1000, 30_000, 200_000]))
        stream += b"PUT;size=%d name\n" % len(body) + body + b"LIST\n" * random.randrange(3)
    async with conversation(codec, limits=Limits(max_inbound=random.choice([1000, 1 << 20]))) as (conn, sock, _):
        sending = asyncio.create_task(_send(sock, bytes(stream), random))
        came = bytearray()
        async with asyncio.timeout(30):  # what is lost never comes
            while len(came) < len(stream):
                came += await _some(conn, random)
            await sending
        assert came == stream
        assert conn.stats.bytes_received == len(stream)


async def _send(sock: socket.socket, data: bytes, random: Random) -> None:
    at = 0
    while at < len(data):
        size = random.choice([1, 30, 1000, 10_000, 100_000])
        await asyncio.get_running_loop().sock_sendall(sock, data[at : at + size])
        at += size
        for _ in range(random.randrange(3)):
            await asyncio.sleep(0)


async def _some(conn: Any, random: Random) -> bytes:
    """Receive in one way or another; the bytes of what came."""
    if random.random() < 0.05:
        conn.pause_reading()
        asyncio.get_running_loop().call_soon(conn.resume_reading)
    match random.randrange(5):
        case 0:
            try:
                return _bytes_of(conn.receive_nowait())
            except anyio.WouldBlock:
                return b""
        case 1:
            return await _cut_short(conn.receive, random, _bytes_of)
        case _:
            size = random.choice([1, 100, 3000, 20_000, 200_000])
            buffer = bytearray(size)
            call = partial(conn.receive_into, buffer, random.choice([1, 1, random.randint(1, size)]))
            try:
                return await _cut_short(call, random, lambda got: bytes(buffer[:got]))
            except RuntimeError:
                return b""  # a head comes next


async def _cut_short(call: Callable[[], Any], random: Random, result: Callable[[Any], bytes]) -> bytes:
    """Await it, but maybe not for long."""

    async def wait() -> Any:
        return await call()

    task = asyncio.create_task(wait())
    if random.random() < 0.5:
        for _ in range(random.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
    else:
        asyncio.get_running_loop().call_later(0.02, task.cancel)
    try:
        return result(await task)
    except asyncio.CancelledError:
        return b""


def _bytes_of(message: Message) -> bytes:
    if isinstance(message, Batch):
        return message.data
    if isinstance(message, Request):
        return b"PUT;size=%d name\n" % message.size
    assert isinstance(message, bytes)
    return message
