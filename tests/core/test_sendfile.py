"""Files to connections: whole, in order, behind what was written before, and never at the cost of the loop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aionet import CloseReason, Connection, Limits, StreamHandler, Timeouts, connect
from aionet.core import sendfile
from aionet.core.loop import Turns

from ..codecs.frames import close, frame, read_frames
from ..codecs.test_websocket_opening import head
from ..conftest import TLSFiles
from ..serving import descriptors, eventually, open_raw, reset, serving

SIZE = 3_000_001
CONTENT = bytes(range(251)) * (SIZE // 251 + 1)

NARROW = "tcp://127.0.0.1:0?sndbuf=100000"
"""The kernel's buffers do not hold the whole file: whoever sends it to a peer that does not read must wait."""

Send = Callable[[Connection[bytes], int], Awaitable[None]]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "content"
    path.write_bytes(CONTENT[:SIZE])
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


class Sender(StreamHandler[bytes]):
    """Calls ``send`` for the first chunk; what it raises is kept."""

    def __init__(self, send: Send, file: int) -> None:
        self._send, self._file = send, file
        self.connections: list[Connection[bytes]] = []
        self.outcome: list[BaseException | None] = []
        self.reason: CloseReason | None = None

    def on_connect(self, conn: Connection[bytes]) -> None:
        self.connections.append(conn)

    async def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        try:
            await self._send(conn, self._file)
        except BaseException as exc:
            self.outcome.append(exc)
            raise
        self.outcome.append(None)

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        self.reason = reason


async def whole(conn: Connection[bytes], file: int) -> None:
    conn.write(b"<")
    assert await conn.send_file(file, 0, SIZE) == SIZE
    conn.write(b">")
    conn.close()


@pytest.mark.parametrize("scheme", ["tcp", "tls", "unix"])
async def test_a_file_arrives_whole_behind_what_was_written_before(
    scheme: str, file: int, tmp_path: Path, tls_files: TLSFiles
) -> None:
    where = {
        "tcp": "tcp://127.0.0.1:0",
        "unix": f"unix://{tmp_path}/s",
        "tls": f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}",
    }[scheme]
    async with serving(Sender(whole, file), where) as (_, endpoint):
        if scheme == "tls":
            endpoint = type(endpoint)("tls", endpoint.host, endpoint.port, options={"ca": str(tls_files.ca)})
        async with connect(endpoint) as conn:
            await conn.send(b"go")
            received = b"".join([chunk async for chunk in conn])
    assert received == b"<" + CONTENT[:SIZE] + b">"


async def test_a_part_of_a_file(file: int) -> None:
    async def part(conn: Connection[bytes], file: int) -> None:
        assert await conn.send_file(file, 1_000_000, 700_000) == 700_000
        assert await conn.send_file(file, 5, 0) == 0
        assert await conn.send_file(file, SIZE - 3, 10) == 3  # the file ends
        assert await conn.send_file(file, SIZE + 3, 10) == 0
        conn.close()

    async with serving(Sender(part, file)) as (_, endpoint), connect(endpoint) as conn:
        await conn.send(b"go")
        received = b"".join([chunk async for chunk in conn])
    assert received == CONTENT[1_000_000:1_700_000] + CONTENT[SIZE - 3 : SIZE]


async def test_what_is_written_meanwhile_follows_behind(file: int) -> None:
    handler = Sender(whole, file)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections and handler.connections[0].stats.bytes_sent > 1)
        handler.connections[0].write(b"meanwhile")  # the peer has read nothing: the file is under way
        received = bytearray()
        while chunk := await loop.sock_recv(peer, 1 << 16):
            received += chunk
        peer.close()
    assert bytes(received) == b"<" + CONTENT[:SIZE] + b"meanwhile>"
    assert handler.outcome == [None]


async def test_no_descriptor_is_needed_to_wait_with(file: int) -> None:
    handler = Sender(whole, file)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        await asyncio.get_running_loop().sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections)
        before = descriptors()
        await eventually(lambda: not handler.connections[0].writable)
        assert descriptors() == before
        peer.close()


async def test_a_reset_in_the_middle_is_the_end_of_the_connection(file: int) -> None:
    handler = Sender(whole, file)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        await asyncio.get_running_loop().sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections and not handler.connections[0].writable)
        reset(peer)
        await eventually(lambda: handler.reason)
    assert handler.reason is CloseReason.PEER_RESET
    assert isinstance(handler.outcome[0], anyio.BrokenResourceError)


async def test_a_peer_that_takes_nothing_meets_the_send_deadline(file: int) -> None:
    handler = Sender(whole, file)
    handler.timeouts = Timeouts(send=0.1)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        await asyncio.get_running_loop().sock_sendall(peer, b"go")
        await eventually(lambda: handler.reason)
        peer.close()
    assert handler.reason is CloseReason.SLOW_CONSUMER


async def test_too_much_written_meanwhile_is_a_slow_consumer(file: int) -> None:
    handler = Sender(whole, file)
    handler.limits = Limits(max_outbound=100_000)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        await asyncio.get_running_loop().sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections and not handler.connections[0].writable)
        for _ in range(11):
            handler.connections[0].write_encoded(bytes(10_000))
        await eventually(lambda: handler.reason)
        peer.close()
    assert handler.reason is CloseReason.SLOW_CONSUMER


async def test_one_file_at_a_time_and_no_end_in_the_middle(file: int) -> None:
    handler = Sender(whole, file)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        await asyncio.get_running_loop().sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections and not handler.connections[0].writable)
        conn = handler.connections[0]
        with pytest.raises(anyio.BusyResourceError):
            await conn.send_file(file, 0, 1)
        with pytest.raises(anyio.BusyResourceError):
            await conn.send_eof()
        peer.close()


async def test_cancelled_it_leaves_a_connection_that_writes(file: int) -> None:
    sending: list[asyncio.Task[int]] = []

    async def broken_off(conn: Connection[bytes], file: int) -> None:
        sending.append(asyncio.ensure_future(conn.send_file(file, 0, SIZE)))
        with pytest.raises(asyncio.CancelledError):
            await sending[0]
        conn.write(b"end")
        conn.close()

    handler = Sender(broken_off, file)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections and not handler.connections[0].writable)
        sending[0].cancel()
        received = bytearray()
        while chunk := await loop.sock_recv(peer, 1 << 16):
            received += chunk
        peer.close()
    assert received.endswith(b"end")
    assert CONTENT.startswith(received[:-3])


@pytest.mark.parametrize(("code", "arrives"), [(errno.EINVAL, True), (errno.EIO, False)])
async def test_what_the_kernel_cannot_send_is_copied_and_a_failing_disk_is_told(
    file: int, monkeypatch: pytest.MonkeyPatch, code: int, arrives: bool
) -> None:
    def refuse(*args: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "sendfile", refuse)

    async def send(conn: Connection[bytes], file: int) -> None:
        try:
            await whole(conn, file)
        except OSError as exc:
            conn.write(str(exc.errno).encode())
            conn.close()

    async with serving(Sender(send, file)) as (_, endpoint), connect(endpoint) as conn:
        await conn.send(b"go")
        received = b"".join([chunk async for chunk in conn])
    assert received == (b"<" + CONTENT[:SIZE] + b">" if arrives else b"<5")


@pytest.mark.parametrize("by_kernel", [True, False])
async def test_what_is_not_in_memory_is_fetched_in_a_thread(
    file: int, monkeypatch: pytest.MonkeyPatch, by_kernel: bool
) -> None:
    threads: list[str] = []
    pread = os.pread

    def note(*args: Any) -> bytes:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            threads.append("thread")
        else:
            threads.append("loop")
        return pread(*args)

    def refuse(*args: Any) -> int:
        raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(sendfile, "_read_cached", lambda *args: None)
    monkeypatch.setattr(sendfile, "PIECE", 4096)
    monkeypatch.setattr(os, "pread", note)
    if not by_kernel:
        monkeypatch.setattr(os, "sendfile", refuse)
    async with serving(Sender(whole, file)) as (_, endpoint), connect(endpoint) as conn:
        await conn.send(b"go")
        received = b"".join([chunk async for chunk in conn])
    assert received == b"<" + CONTENT[:SIZE] + b">"
    assert threads.count("thread") == 2 if by_kernel else SIZE // sendfile.COPIED + 1  # 2: 2 MiB, and the rest


async def test_wrong_numbers(file: int) -> None:
    async def wrong(conn: Connection[bytes], file: int) -> None:
        for numbers in ((-1, 1), (0, -1)):
            with pytest.raises(ValueError, match="negative"):
                await conn.send_file(file, *numbers)
        conn.close()
        with pytest.raises(anyio.ClosedResourceError):
            await conn.send_file(file, 0, 1)

    handler = Sender(wrong, file)
    async with serving(handler) as (_, endpoint), connect(endpoint) as conn:
        await conn.send(b"go")
        assert [chunk async for chunk in conn] == []
    assert handler.outcome == [None]


async def test_senders_take_turns() -> None:
    turns = Turns(asyncio.get_running_loop())
    order: list[str] = []

    async def sender(name: str) -> None:
        for _ in range(3):
            await turns.next()
            order.append(name)

    given_up = asyncio.ensure_future(turns.next())
    tasks = [asyncio.ensure_future(sender(name)) for name in "abc"]
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(*tasks)
    assert "".join(order) == "abcabcabc"


async def test_a_ping_is_answered_between_two_pieces_of_a_file(file: int) -> None:
    """Answered behind it, a peer that has waited for the answer would be gone."""
    handler = Sender(whole, file)
    async with serving(handler, NARROW.replace("tcp", "ws")) as (_, endpoint):
        peer = await open_raw(endpoint)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, head("/") + frame(2, b"go"))
        await eventually(lambda: handler.connections and not handler.connections[0].writable)
        before = handler.connections[0].stats.bytes_received
        await loop.sock_sendall(peer, frame(9, b"there?"))
        await eventually(lambda: handler.connections[0].stats.bytes_received > before)
        received = b""
        while chunk := await loop.sock_recv(peer, 1 << 20):
            received += chunk
            if received.endswith(b"\x88\x02\x03\xe8"):
                await loop.sock_sendall(peer, close())
        peer.close()
    frames = read_frames(received.partition(b"\r\n\r\n")[2])
    assert frames.index((10, b"there?")) < len(frames) - 3
    assert b"".join(data for opcode, data in frames if opcode == 2) == b"<" + CONTENT[:SIZE] + b">"


# ── how much is on its way ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_buffer_to_a_near_peer_is_bounded_unless_somebody_said_how_large_it_is() -> None:
    facts = bytearray(512)
    set_to: list[int] = []

    class Sock:
        lock = 0

        def getsockopt(self, level: int, name: int, size: int = 0) -> int | bytes:
            return bytes(facts[:size]) if size else self.lock

        def setsockopt(self, level: int, name: int, value: int) -> None:
            assert (level, name) == (socket.SOL_SOCKET, socket.SO_SNDBUF)
            set_to.append(value)

    class Old(Sock):
        def getsockopt(self, level: int, name: int, size: int = 0) -> int | bytes:
            raise OSError(errno.ENOPROTOOPT, "an older kernel")

    class Locked(Sock):
        lock = 1

    for microseconds, sock, expected in [
        (30, Sock(), [sendfile.NEAR_BUFFER]),
        (sendfile.NEAR, Sock(), [sendfile.NEAR_BUFFER]),
        (sendfile.NEAR + 1, Sock(), []),
        (0xFFFF_FFFF, Sock(), []),  # none was measured yet
        (30, Locked(), []),
        (30, Old(), []),
    ]:
        struct.pack_into("=I", facts, 148, microseconds)
        set_to.clear()
        sendfile._fit_buffer(sock)  # type: ignore[arg-type]
        assert set_to == expected, microseconds


async def test_a_native_transport_copies_nothing_while_it_waits_for_room(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    send_piece = sendfile.FileSendingConnection._send_piece

    def counted(self: Any, transport: asyncio.Transport, file: int, offset: int, count: int) -> int:
        pieces.append(count)
        return send_piece(self, transport, file, offset, count)

    monkeypatch.setattr(sendfile.FileSendingConnection, "_send_piece", counted)
    handler = Sender(whole, file)
    async with serving(handler, NARROW) as (_, endpoint):
        peer = await open_raw(endpoint)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, b"go")
        await eventually(lambda: handler.connections and handler.connections[0].stats.bytes_sent > 1)
        (conn,) = handler.connections
        await eventually(lambda: not conn.writable)  # the peer reads nothing
        received = bytearray()
        while chunk := await loop.sock_recv(peer, 1 << 20):
            received += chunk
        peer.close()
    assert received == b"<" + CONTENT[:SIZE] + b">"
    native = hasattr(conn._transport, "await_room")  # type: ignore[attr-defined]
    assert bool(pieces) != native
