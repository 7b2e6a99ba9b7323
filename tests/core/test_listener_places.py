"""A listener: who holds a place, and that it is given back."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from typing import Any

import pytest

from aionet import Connection, Endpoint, Limits, LineCodec, Router, Server, StreamHandler, connect
from aionet.core import listener as listener_module
from aionet.core.listener import Accepting, StreamListener
from aionet.events import HandlerFailed
from aionet.routing import prefix

from ..conftest import TLSFiles
from ..serving import Recorder, collect, eventually, open_raw, serving


async def test_failed_handshakes_keep_nobody_out(tls_files: TLSFiles) -> None:
    """Nobody is told of them: each held a place for 15 seconds, so some lines of garbage a second closed a port."""
    places = 5
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), endpoint, limits=Limits(max_connections=places)) as (_, place):
        for _ in range(3 * places):
            with await open_raw(place) as client:
                await asyncio.get_running_loop().sock_sendall(client, b"no handshake\n")
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        async with asyncio.timeout(8), connect(place, ssl_context=context, timeout=8) as conn:
            await conn.send(b"x\n")
            assert await conn.receive() == b"X\n"


async def test_handshakes_that_stall_give_their_places_back_when_the_peer_leaves(tls_files: TLSFiles) -> None:
    places = 5
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), endpoint, limits=Limits(max_connections=places)) as (_, place):
        stalled = [await open_raw(place) for _ in range(places)]
        await asyncio.sleep(0)
        for client in stalled:
            client.close()
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        async with asyncio.timeout(8), connect(place, ssl_context=context, timeout=8) as conn:
            await conn.send(b"x\n")
            assert await conn.receive() == b"X\n"


async def answer(host: str, port: int) -> bytes:
    """What a new client gets for a line."""
    async with asyncio.timeout(8):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"x\n")
        line = await reader.readline()
        writer.transport.abort()
        return line


async def test_a_listener_that_the_system_refuses_to_resume_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another had taken the descriptor that was free: the listener was dead from then on, and nobody was told."""
    monkeypatch.setattr(listener_module, "RETRY_AFTER", 0.01)
    make, refusals = StreamListener._make_server, 0

    async def refuse(self: StreamListener, sock: socket.socket) -> Accepting:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return await make(self, sock)

    monkeypatch.setattr(StreamListener, "_make_server", refuse)
    async with serving(Recorder(), limits=Limits(max_connections=1)) as (server, place):
        (listener,) = server._listeners
        with await open_raw(place):
            await eventually(lambda: server.connections and not listener._servers)
            refusals = 3
        assert await answer(place.host, place.port) == b"X\n"
        assert not refusals


async def test_suspended_and_resumed_while_it_resumes_all_its_sockets_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with two addresses: one of them was forgotten, and whoever called there hung."""

    async def bind_two(*_: object, **options: int) -> list[socket.socket]:
        return [socket.create_server((host, 0)) for host in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(listener_module, "bind_stream", bind_two)
    make, steps = StreamListener._make_server, [asyncio.Event() for _ in range(4)]

    class Slow:
        """The second address's server: made, then serving, only when it is told to."""

        def __init__(self, server: Accepting) -> None:
            self.server = server
            self.close = server.close

        async def start_serving(self) -> None:
            steps[2].set()
            await steps[3].wait()
            await self.server.start_serving()

    async def make_slowly(self: StreamListener, sock: socket.socket) -> Any:
        server = await make(self, sock)
        if sock.getsockname()[0] == "127.0.0.1" or steps[3].is_set():
            return server
        steps[0].set()
        await steps[1].wait()
        return Slow(server)

    async with serving(Recorder(), limits=Limits(max_connections=1)) as (server, first):
        second = server.addresses[1]
        (listener,) = server._listeners
        monkeypatch.setattr(StreamListener, "_make_server", make_slowly)
        with await open_raw(first):
            await eventually(lambda: server.connections and not listener._servers)
        await steps[0].wait()
        with await open_raw(first):
            await eventually(lambda: server.connections and not listener._servers)  # suspended again
            steps[1].set()
            await steps[2].wait()
        await eventually(lambda: not server.connections)  # and there is room again
        steps[3].set()
        for place in (first, second, first):
            assert await answer(place.host, place.port) == b"X\n"


async def test_a_codec_that_cannot_be_made_refuses_and_reports(tls_files: TLSFiles) -> None:
    """On uvloop the client hung, on asyncio it was closed; neither said why."""
    broken = False

    def make() -> LineCodec:
        if broken:
            raise LookupError
        return LineCodec()

    for endpoint in ("tcp://127.0.0.1:0", f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"):
        broken = False
        async with serving(StreamHandler[bytes](), endpoint, route={"codec": make}) as (server, place):
            broken = True
            failures = collect(server, HandlerFailed)
            context = ssl.create_default_context(cafile=str(tls_files.ca)) if place.scheme == "tls" else None
            async with asyncio.timeout(8):
                reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.transport.abort()
            assert [(failure.where, type(failure.exc)) for failure in failures] == [("codec", LookupError)]
            assert server.connections == 0


# ---- who waits for a place, and speaks ---------------------------------------------------------------

CROWD = 6


def arrive(place: Endpoint, line: bytes = b"x\n") -> list[socket.socket]:
    """A crowd that is accepted together, so that most have to wait; all have said what they had to say."""
    crowd = [socket.create_connection((place.host, place.port)) for _ in range(CROWD)]
    for client in crowd:
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(10)
    return crowd


def hear(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(100), b""))


class InOrder(StreamHandler[bytes]):
    """Answers, and notes its callbacks."""

    codec = LineCodec()

    def __init__(self) -> None:
        self.calls: dict[Any, list[str]] = {}

    def on_connect(self, conn: Connection[bytes]) -> None:
        self.calls.setdefault(conn, []).append("connect")

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        self.calls.setdefault(conn, []).append("message")
        conn.write(message.upper())

    def on_eof(self, conn: Connection[bytes]) -> None:
        self.calls.setdefault(conn, []).append("eof")
        conn.close()


@pytest.mark.parametrize("lines", [0, 1, 3])
async def test_who_has_said_all_while_it_waited_is_heard_once_there_is_a_place(lines: int) -> None:
    """uvloop's own transports begin to read behind ``connection_made``, paused or not."""
    handler = InOrder()
    async with serving(handler, limits=Limits(max_connections=1)) as (_, place):
        crowd = arrive(place, b"x\n" * lines)
        answers = await asyncio.gather(*(asyncio.to_thread(hear, client) for client in crowd))
    assert answers == [b"X\n" * lines] * CROWD
    assert list(handler.calls.values()) == [["connect", *["message"] * lines, "eof"]] * CROWD


@pytest.mark.parametrize("proxy", ["", "?proxy=192.0.2.1"])
async def test_so_it_is_where_its_route_is_not_known_yet(proxy: str) -> None:
    router = Router()
    handler, other = InOrder(), InOrder()
    router.add(f"tcp://127.0.0.1:0{proxy}", handler, match=prefix(b"x"))
    router.add(f"tcp://127.0.0.1:0{proxy}", other)
    async with Server(router, limits=Limits(max_connections=1)) as server:
        crowd = arrive(server.addresses[0])
        answers = await asyncio.gather(*(asyncio.to_thread(hear, client) for client in crowd))
    assert answers == [b"X\n"] * CROWD
    assert list(handler.calls.values()) == [["connect", "message", "eof"]] * CROWD
    assert not other.calls


async def test_who_waits_is_not_read_without_end() -> None:
    class Deaf(InOrder):
        def on_connect(self, conn: Connection[bytes]) -> None:
            conn.pause_reading()
            self.calls[conn] = []

    async with serving(handler := Deaf()) as (server, place):
        client = await open_raw(place)
        await eventually(lambda: server.connections)
        sent = 0
        for _ in range(50):
            with contextlib.suppress(BlockingIOError):
                while sent < 1 << 26:
                    sent += client.send(b"line\n" * 20_000)
            await asyncio.sleep(0.001)
        (conn,) = handler.calls
        assert conn.stats.bytes_received < 1 << 20
        assert not handler.calls[conn]
        client.close()
