"""WebSocket with real peers: the ``websockets`` library, our own client, browsers' TLS, and peers that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import resource
import socket
import ssl
import tempfile
import zlib
from typing import Any

import anyio
import pytest
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed as LibraryClosed
from websockets.exceptions import InvalidStatus

from aionet import (
    CloseReason,
    Connection,
    JsonCodec,
    LineCodec,
    RawCodec,
    StreamHandler,
    Timeouts,
    WebSocketCodec,
    connect,
)
from aionet.codecs.websocket import Text
from aionet.errors import ConnectError, ConnectTimeout, EndpointError
from aionet.events import ConnectionClosed
from aionet.services.chat import Chat
from aionet.services.echo import Echo

from .codecs.frames import frame, read_frames, text
from .codecs.test_websocket_opening import get, head
from .conftest import TLSFiles
from .documents import ROOT, blocks, rows
from .serving import Recorder, collect, descriptors, eventually, open_raw, serving

WEB = "ws://127.0.0.1:0/chat"


def library(place: Any, **options: Any) -> Any:
    return websockets.asyncio.client.connect(place.location, compression=None, **options)


# ── peers that mean well ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_library_s_client_and_echo() -> None:
    async with serving(Echo(), WEB) as (_, place), library(place) as peer:
        for message in ("", "hello", "grüße", b"", b"\x00\xff", "x" * 65536, b"x" * 65536):
            await peer.send(message)
            assert await peer.recv() == message
        await peer.send(["frag", "men", "ted"])
        assert await peer.recv() == "fragmented"
        await (await peer.ping())
        await peer.close(4001, "bye")
        assert (peer.close_code, peer.close_reason) == (4001, "bye")


async def test_the_library_s_client_and_compression() -> None:
    codec = WebSocketCodec(compress=True)
    async with (
        serving(Echo(), WEB, route={"codec": codec}) as (server, place),
        websockets.asyncio.client.connect(place.location) as peer,
    ):
        closed = collect(server, ConnectionClosed)
        for message in ("x" * 50_000, b"y" * 50_000, "", "x" * 50_000):
            await peer.send(message)
            assert await peer.recv() == message
        await peer.close()
        await eventually(lambda: closed)
        assert closed[0].stats.bytes_sent < 2000


async def test_any_style_serves_the_library_s_client() -> None:
    async def coroutine(conn: Connection[bytes]) -> None:
        await conn.send(b"hello")
        async for line in conn:
            await conn.send(line.upper())
        await conn.send(b"too late, and no fault")

    class Slow(StreamHandler[bytes]):
        async def on_message(self, conn: Connection[bytes], line: bytes) -> None:
            await asyncio.sleep(0)
            conn.write(line.upper())

    for handler in (Recorder(), coroutine, Slow()):
        async with serving(handler, WEB, route={"codec": LineCodec()}) as (_, place), library(place) as peer:
            if handler is coroutine:
                assert await peer.recv() == "hello"
            for line in ("one", "two"):
                await peer.send(line)
            assert [await peer.recv(), await peer.recv()] == ["ONE", "TWO"]
            await peer.close()
            assert peer.close_code == 1000


async def test_why_it_was_closed_reaches_the_library_s_client() -> None:
    class Moody(StreamHandler[bytes]):
        codec = LineCodec(100)

        def on_message(self, conn: Connection[bytes], line: bytes) -> None:
            if line == b"fail":
                raise RuntimeError("oops")
            if line == b"kick":
                codec = conn.codec
                assert isinstance(codec, WebSocketCodec)
                codec.close_with(4000, "kicked")
                conn.close()

    for line, code, words in (
        ("fail", 1011, "the handler failed"),
        ("kick", 4000, "kicked"),
        ("x" * 101, 1009, "a line of more than 100 bytes"),
    ):
        async with serving(Moody(), WEB, log=False) as (_, place), library(place) as peer:
            await peer.send(line)
            with pytest.raises(LibraryClosed):
                await peer.recv()
            assert peer.close_code == code
            assert peer.close_reason.startswith(words)


async def test_a_drain_says_goodbye() -> None:
    async with serving(Chat(), WEB) as (server, place), library(place) as peer:
        assert await peer.recv() == "Enter your username: "
        finished = await server.drain()
        assert finished.cut == ()
        assert [message async for message in peer] == ["[SERVER] shutting down"]
        assert (peer.close_code, peer.close_reason) == (1001, "the server is leaving")


async def test_wss_by_the_library_and_by_ours(tls_files: TLSFiles) -> None:
    where = f"wss://127.0.0.1:0/chat?cert={tls_files.server_cert}&key={tls_files.server_key}"
    trusting = ssl.create_default_context(cafile=str(tls_files.ca))
    async with serving(Echo(), where) as (_, place):
        async with library(place, ssl=trusting) as peer:
            await peer.send("hello")
            assert await peer.recv() == "hello"
        async with connect(f"{place.location}?ca={tls_files.ca}") as conn:
            await conn.send(b"hello")
            assert await conn.receive() == b"hello"
            assert conn.tls is not None
        with pytest.raises(ConnectError, match="not trusted"):
            await connect(place.location)


async def test_both_our_sides() -> None:
    class Values(StreamHandler[Any]):
        codec = JsonCodec()

        def on_message(self, conn: Connection[Any], message: Any) -> None:
            conn.write({"got": message})

    async with serving(Values(), WEB) as (_, place), connect(place, codec=JsonCodec()) as conn:
        for value in ({"a": 1}, [1, 2], "text", None):
            await conn.send(value)
            assert await conn.receive() == {"got": value}
        await conn.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await conn.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await conn.send(1)


async def test_chat_over_both_at_once() -> None:
    room = Chat()
    async with (
        serving(room, WEB) as (_, web),
        serving(room, "tcp://127.0.0.1:0") as (_, tcp),
        library(web) as ada,
        connect(tcp, codec=LineCodec()) as bob,
    ):
        assert await ada.recv() == "Enter your username: "
        await ada.send("ada")
        assert await ada.recv() == "[SERVER] ada joined the chat!"
        await bob.send(b"bob")
        assert await bob.receive() == b"Enter your username: [SERVER] bob joined the chat!"
        assert await ada.recv() == "[SERVER] bob joined the chat!"
        await ada.send("hi bob\n")
        assert await bob.receive() == b"[ada] hi bob"
        await bob.send(b"hi ada")
        assert await ada.recv() == "[bob] hi ada"
        await ada.send("/quit")
        assert [message async for message in ada] == ["[SERVER] goodbye"]
        assert await bob.receive() == b"[SERVER] ada left the chat"


async def test_a_file_goes_in_messages() -> None:
    content = os.urandom(300_000)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()

        async def send(conn: Connection[bytes]) -> None:
            conn.write(b"before")
            assert await conn.send_file(file.fileno(), 0, len(content)) == len(content)
            await conn.send(b"behind")

        async with serving(send, WEB) as (_, place), library(place) as peer:
            received = [message async for message in peer]
        assert received[0] == b"before"
        assert received[-1] == b"behind"
        assert b"".join(received[1:-1]) == content


async def test_the_request_is_there_for_the_handler() -> None:
    class Who(StreamHandler[bytes]):
        def on_connect(self, conn: Connection[bytes]) -> None:
            codec = conn.codec
            assert isinstance(codec, WebSocketCodec)
            assert codec.request is not None
            conn.write(Text(f"{codec.request.query} {codec.request.subprotocol} {codec.request.headers['x-token']}"))

    codec = WebSocketCodec(subprotocols=("chat.v2",))
    async with serving(Who(), WEB, route={"codec": codec}) as (_, place):
        uri = f"{place.location}?room=1"
        options: Any = {"subprotocols": ["chat.v2"], "additional_headers": {"X-Token": "secret"}}
        async with websockets.asyncio.client.connect(uri, **options) as peer:
            assert await peer.recv() == "room=1 chat.v2 secret"
            assert peer.subprotocol == "chat.v2"
        ours = WebSocketCodec(path="/chat?room=2", headers={"X-Token": "mine"}, subprotocols=("chat.v2",))
        async with connect(place, codec=ours) as conn:
            assert await conn.receive() == b"room=2 chat.v2 mine"


async def test_a_client_keeps_a_silent_server_awake_and_notices_a_dead_one() -> None:
    timeouts = Timeouts(keepalive=0.1)
    async with serving(Echo(), WEB) as (_, place), connect(place, timeouts=timeouts) as conn:
        before = conn.stats.bytes_received
        await eventually(lambda: conn.stats.bytes_received > before + 4)  # pongs

    async def dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codec = WebSocketCodec()
        codec.feed(await reader.readuntil(b"\r\n\r\n"))
        writer.write(codec.data_to_send())
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(dead, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", timeouts=Timeouts(keepalive=0.1, linger=0.1)) as conn:
            with pytest.raises(anyio.BrokenResourceError, match="idle"):
                await conn.receive()


# ── who is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_library_s_client_hears_why_it_is_refused() -> None:
    async with serving(Echo(), WEB) as (server, place):
        closed = collect(server, ConnectionClosed)
        for uri, options, status in (
            (place.location.replace("/chat", "/other"), {}, 404),
            (place.location, {"origin": "http://evil.example"}, 403),
        ):
            with pytest.raises(InvalidStatus) as caught:
                await websockets.asyncio.client.connect(uri, **options)  # type: ignore[arg-type]
            assert caught.value.response.status_code == status
            assert caught.value.response.body.startswith(str(status).encode())
        await eventually(lambda: len(closed) == 2)
        assert {event.reason for event in closed} == {CloseReason.REFUSED}


async def test_our_client_says_what_it_was_answered() -> None:
    async with serving(Echo(), WEB) as (server, place), serving(Echo()) as (_, plain):
        await eventually(lambda: not server.connections)
        before = descriptors()
        with pytest.raises(ConnectError, match="/other: no WebSocket there: the answer was '404 Not Found'"):
            await connect(place.location.replace("/chat", "/other"))
        await eventually(lambda: not server.connections)
        assert descriptors() == before
        with pytest.raises(ConnectError, match=r"the answer was 'GET / HTTP/1\.1'"):
            await connect(plain.location.replace("tcp", "ws"))
        with pytest.raises(EndpointError, match="is the side of a server"):
            await connect(plain, codec=WebSocketCodec())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place_ = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(ConnectTimeout, match=r"no answer within 0\.2 s"):
            await connect(place_, timeout=0.2)

    async def leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(leaves, "127.0.0.1", 0) as listener:
        with pytest.raises(ConnectError, match="closed by the peer during the handshake"):
            await connect(f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")


# ── peers that mean no good ──────────────────────────────────────────────────────────────────────────────────────────


async def until_closed(sock: socket.socket) -> bytes:
    """All that comes; a reset counts as the end."""
    loop = asyncio.get_running_loop()
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await loop.sock_recv(sock, 65536):
            received += chunk
    return received


async def test_a_handshake_of_a_byte_now_and_then_ends_in_time() -> None:
    timeouts = Timeouts(handshake=0.3, linger=0.2)
    async with serving(Echo(), WEB, timeouts=timeouts) as (server, place):
        closed = collect(server, ConnectionClosed)
        loop = asyncio.get_running_loop()
        with await open_raw(place) as sock:
            for byte in head():
                if closed:
                    break
                with contextlib.suppress(ConnectionError):
                    await loop.sock_sendall(sock, bytes([byte]))
                await asyncio.sleep(0.01)
            assert (await until_closed(sock)).startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: closed)
        assert closed[0].reason is CloseReason.HANDSHAKE_TIMEOUT


def bomb() -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return (machine.compress(bytes(64 << 20)) + machine.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("a frame of 2^63 bytes", 1009, "exceeds limit"),
        ("unmasked", 1002, "incorrect masking"),
        ("reserved bits", 1002, "reserved bits"),
        ("bad UTF-8", 1007, "no UTF-8"),
        ("endless fragments", 1009, "fragments"),
        ("fragments beyond the limit", 1009, "exceeds limit"),
        ("a bomb", 1009, "limit of 65536"),
    ],
)
async def test_bad_frames_are_told_why_and_memory_is_bounded(name: str, code: int, why: str) -> None:
    sent = {
        "a frame of 2^63 bytes": frame(2, length=1 << 63) + b"x" * 100_000,
        "unmasked": frame(2, b"x", mask=False),
        "reserved bits": frame(2, b"x", rsv=3),
        "bad UTF-8": text(b"\xc0\xaf"),
        "endless fragments": text("", fin=False) + frame(0, b"", fin=False) * 100_000,
        "fragments beyond the limit": text("", fin=False) + frame(0, b"x" * 1000, fin=False) * 1000,
        "a bomb": text(bomb(), rsv=4) if name == "a bomb" else b"",
    }[name]
    codec = WebSocketCodec(compress=name == "a bomb")
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"} if name == "a bomb" else {}
    async with serving(Echo(), WEB, route={"codec": codec}) as (server, place):
        closed = collect(server, ConnectionClosed)
        loop = asyncio.get_running_loop()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with await open_raw(place) as sock:
            await loop.sock_sendall(sock, head(**offer))
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += await loop.sock_recv(sock, 65536)
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(sock, sent)
                sock.shutdown(socket.SHUT_WR)
            received = await until_closed(sock)
        await eventually(lambda: closed)
        assert closed[0].reason is CloseReason.FRAMING_ERROR
        assert why in str(closed[0].exc)
        [(opcode, payload)] = read_frames(received)
        assert opcode == 8
        assert int.from_bytes(payload[:2]) == code
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


async def test_a_burst_of_requests_that_are_none_leaves_nobody_behind() -> None:
    async with serving(Echo(), WEB) as (server, place):
        closed = collect(server, ConnectionClosed)
        loop = asyncio.get_running_loop()
        for data in (get("/"), b"\x00" * 20_000, head()[:20], head("/other"), b"SSH-2.0-x\r\n\r\n", b""):
            with await open_raw(place) as sock:
                await loop.sock_sendall(sock, data)
                sock.shutdown(socket.SHUT_WR)
                await until_closed(sock)
        await eventually(lambda: len(closed) == 6)
        assert server.connections == 0


async def test_raw_codec_beside_text_option() -> None:
    codec = WebSocketCodec(RawCodec(), text=True)

    class Upper(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(message.upper())

    async with serving(Upper(), WEB, route={"codec": codec}) as (_, place), library(place) as peer:
        await peer.send("text")
        assert await peer.recv() == "TEXT"
        await peer.send(b"\xff")
        assert await peer.recv() == b"\xff"


def test_the_document_says_what_is() -> None:
    text = (ROOT / "docs" / "websocket.md").read_text()
    [code] = [block for language, block in blocks(text) if language == "python"]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/websocket.md", "exec"), names)
    assert [route.endpoint.scheme for route in names["router"].routes] == ["tcp", "ws", "ws"]
    taken = set(inspect.signature(WebSocketCodec.__init__).parameters) - {"self", "inner", "text"}
    told = {row[0].strip("`") for row in rows(text, "| argument of `WebSocketCodec` | |")}
    assert told == taken
