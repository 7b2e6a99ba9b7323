"""What goes wrong has a defined answer: real sockets, clients nobody here wrote, no traceback; the next is served."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aionet import (
    CloseReason,
    Connection,
    Endpoint,
    Group,
    JsonCodec,
    LengthPrefixCodec,
    Limits,
    LineCodec,
    Router,
    Server,
    StreamHandler,
    Timeouts,
    VarintCodec,
)
from aionet.errors import BindError, EndpointError, FrameTooLarge, IncompleteFrame, MalformedFrame
from aionet.events import ConnectionClosed, HandlerFailed

from .conftest import TLSFiles
from .serving import Recorder, collect, eventually, open_raw, program, reset, serving
from .tools import require

RESETS = {CloseReason.PEER_RESET, CloseReason.PEER_CLOSED}


@contextlib.asynccontextmanager
async def shouting(handler: Recorder, **options: Any) -> AsyncIterator[tuple[Server, Endpoint]]:
    """A server that at the end still serves, and none of whose handlers failed."""
    async with serving(handler, **options) as (server, place):
        failures = collect(server, HandlerFailed)
        yield server, place
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(b"still here\n")
        assert await reader.readline() == b"STILL HERE\n"
        writer.close()
        assert not failures


async def run_program(*command: str, said: bytes) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            out, _ = await process.communicate(said)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out


# ---- messages ------------------------------------------------------------------------------------

ANSWERS = [
    (b"hello\n", b"HELLO\n", None),
    (b"hello\r\nworld\r\n", b"HELLO\nWORLD\n", None),
    (b"", b"", None),
    (b"one\n" + b"x" * 5000, b"ONE\nerror: FrameTooLarge\n", FrameTooLarge),
    (b"one\n" + b"x" * 5000 + b"\ntwo\n", b"ONE\nerror: FrameTooLarge\n", FrameTooLarge),
    (b"one\nhalf", b"ONE\nerror: IncompleteFrame\n", IncompleteFrame),
    (b"half", b"error: IncompleteFrame\n", IncompleteFrame),
    (b"\x00\xff\x80\x01\n", b"\x00\xff\x80\x01\n", None),
    (bytes(range(11, 256)) * 40, b"error: FrameTooLarge\n", FrameTooLarge),
]


@pytest.mark.parametrize(("said", "answer", "fault"), ANSWERS, ids=[str(number) for number in range(len(ANSWERS))])
@pytest.mark.parametrize("client", ["nc", "socat"])
async def test_with_netcat_and_socat(client: str, said: bytes, answer: bytes, fault: type[Exception] | None) -> None:
    path = require(client)
    handler = Recorder()
    async with shouting(handler) as (_, place):
        if client == "nc":
            command = [path, "-N", place.host, str(place.port)]
        else:
            command = [path, "-t", "10", "-", f"TCP:{place.host}:{place.port}"]
        _, heard = await run_program(*command, said=said)
        assert heard.endswith(answer)
        if fault is not None:
            assert [type(found) for found in handler.faults] == [fault]
            await eventually(lambda: handler.closed == [CloseReason.FRAMING_ERROR])
        else:
            assert heard == answer
            await eventually(lambda: handler.closed == [CloseReason.PEER_CLOSED])


@pytest.mark.parametrize(
    ("codec", "said", "fault"),
    [
        (LengthPrefixCodec(max_size=1000), struct.pack(">I", 1001), FrameTooLarge),
        (LengthPrefixCodec(max_size=1000), struct.pack(">I", 500) + b"half", IncompleteFrame),
        (LengthPrefixCodec(max_size=1000), b"GET / HTTP/1.1\r\n\r\n", FrameTooLarge),
        (VarintCodec(), b"\xff" * 20, MalformedFrame),
        (JsonCodec(), b"{nonsense}\n", MalformedFrame),
    ],
    ids=["announced-too-large", "half", "http", "varint", "json"],
)
async def test_faults_of_other_grammars(codec: Any, said: bytes, fault: type[Exception]) -> None:
    async def handler(conn: Connection[Any]) -> None:
        async for message in conn:
            await conn.send(message)

    async with serving(handler, route={"codec": codec}) as (server, place):
        closed = collect(server, ConnectionClosed)
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await eventually(lambda: closed)
        assert closed[0].reason is CloseReason.FRAMING_ERROR
        assert type(closed[0].exc) is fault


async def test_bytes_one_at_a_time() -> None:
    handler = Recorder()
    async with shouting(handler) as (_, place):
        reader, writer = await asyncio.open_connection(place.host, place.port)
        for byte in b"hello\r\nworld\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        assert await reader.readexactly(12) == b"HELLO\nWORLD\n"
        assert handler.messages == [b"hello", b"world"]
        writer.close()


async def test_bytes_that_trickle_do_not_keep_a_connection() -> None:
    handler = Recorder()
    async with shouting(handler, timeouts=Timeouts(message=0.1)) as (_, place):
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(b"first\n")
        assert await reader.readline() == b"FIRST\n"
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop's word for a transport that is closed
            while not (reader.at_eof() or reader.exception()):  # a reset, where our close crossed a byte of it
                writer.write(b"x")
                await asyncio.sleep(0.005)
        writer.close()
        assert handler.closed == [CloseReason.MESSAGE_TIMEOUT]


def has(found: list[Any], count: int) -> bool:
    return len(found) == count


TRANSCRIPT = b"one\ntwo\r\n\nfour"


@pytest.mark.parametrize("style", ["callbacks", "coroutine"])
async def test_a_reset_at_every_byte(style: str) -> None:
    async def shout(conn: Connection[bytes]) -> None:
        async for line in conn:
            await conn.send(line.upper())

    recorder = Recorder()
    handler: object = recorder if style == "callbacks" else shout
    async with serving(handler, route={"codec": LineCodec()}) as (server, place):
        closed, failures = collect(server, ConnectionClosed), collect(server, HandlerFailed)
        for offset in range(len(TRANSCRIPT) + 1):
            sock = await open_raw(place)
            await eventually(lambda: server.connections)
            if offset:
                sock.send(TRANSCRIPT[:offset])
            if offset % 2:
                await asyncio.sleep(0)  # sometimes what was said is read first, sometimes not
            reset(sock)
            await eventually(partial(has, closed, offset + 1))
            assert closed[-1].reason in RESETS, offset
        assert not failures
        assert sum(event.reason is CloseReason.PEER_RESET for event in closed) > len(TRANSCRIPT) // 2
        assert server.connections == 0
        if style == "callbacks":
            assert len(recorder.closed) == len(TRANSCRIPT) + 1


# ---- peers that do not do their part -------------------------------------------------------------


class Firehose(StreamHandler[bytes]):
    """Answers each line with much."""

    codec = LineCodec()

    def __init__(self) -> None:
        self.served = 0
        self.waiting: list[int] = []
        self.closed: list[CloseReason] = []

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        self.served += 1
        conn.write(b"x" * 60_000)

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        self.closed.append(reason)


async def test_a_peer_that_asks_and_never_reads_is_not_read_and_then_cut() -> None:
    handler = Firehose()
    async with serving(handler, timeouts=Timeouts(send=0.3)) as (server, place):
        closed = collect(server, ConnectionClosed)
        with await open_raw(place) as sock:
            asked = 0
            with contextlib.suppress(OSError):
                while not closed:
                    with contextlib.suppress(BlockingIOError):
                        asked += sock.send(b"?\n" * 1000) // 2
                    await asyncio.sleep(0.01)
        assert closed[0].reason is CloseReason.SLOW_CONSUMER
        # The kernel's buffers (a few MB on loopback), 64 KiB to the high-water mark, and one flush.
        assert closed[0].stats.bytes_sent < 16 << 20
        assert handler.served < 300
        assert asked > handler.served


async def test_a_member_that_never_reads_costs_a_bounded_amount() -> None:
    group: Group[bytes] = Group()

    class Room(StreamHandler[bytes]):
        codec = LineCodec()

        def on_connect(self, conn: Connection[bytes]) -> None:
            group.add(conn)

    limits = Limits(max_outbound=256 * 1024)
    async with serving(Room(), "tcp://127.0.0.1:0?sndbuf=65536", limits=limits) as (server, place):
        closed = collect(server, ConnectionClosed)
        with await open_raw(place):
            await eventually(lambda: len(group) == 1)
            sent = 0
            while not closed:
                group.broadcast(b"x" * 65_000)
                sent += 1
                assert sent < 1000
                await asyncio.sleep(0)
            assert closed[0].reason is CloseReason.SLOW_CONSUMER
            assert len(group) == 0


async def test_a_peer_that_never_writes_is_let_go() -> None:
    handler = Recorder()
    async with shouting(handler, timeouts=Timeouts(first_message=0.1)) as (_, place):
        reader, writer = await asyncio.open_connection(place.host, place.port)
        assert await reader.read() == b""
        writer.close()
        assert handler.closed == [CloseReason.MESSAGE_TIMEOUT]


# ---- TLS on the wrong port -----------------------------------------------------------------------


async def test_a_tls_client_on_a_plain_port(tls_files: TLSFiles) -> None:
    handler = Recorder()
    async with shouting(handler, timeouts=Timeouts(first_message=0.1, message=0.1, idle=0.2)) as (_, place):
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(place.host, place.port, ssl=context)
        await eventually(lambda: handler.closed)
        # Its first words are binary. They may have a newline in them, and so be lines; the rest never ends.
        expected = {CloseReason.MESSAGE_TIMEOUT, CloseReason.IDLE_TIMEOUT, CloseReason.FRAMING_ERROR}
        assert handler.closed[0] in expected | RESETS


async def test_netcat_on_a_tls_port(tls_files: TLSFiles) -> None:
    netcat = require("nc")
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    handler = Recorder()
    async with serving(handler, endpoint) as (_, place):
        _, heard = await run_program(netcat, "-N", place.host, str(place.port), said=b"hello\n")
        assert b"HELLO" not in heard
        assert handler.closed == []
        openssl = require("openssl")
        _, heard = await run_program(
            *(openssl, "s_client", "-connect", f"{place.host}:{place.port}", "-quiet", "-no_ign_eof"),
            said=b"hello\n",
        )
        assert heard in (b"HELLO\n", b"")  # it may leave before the answer
        await eventually(lambda: handler.messages == [b"hello"])


# ---- places that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "says", "hint"),
    [
        ("127.0.0.1:7000", "no scheme", "try tcp://127.0.0.1:7000"),
        ("tpc://127.0.0.1:7000", "unknown scheme 'tpc'", "did you mean 'tcp'?"),
        ("tcp://127.0.0.1:70000", "port 70000 is above 65535", None),
        ("tcp://127.0.0.1:7000?nodelya=1", "unknown option 'nodelya'", "did you mean 'nodelay'?"),
    ],
)
def test_typos_in_an_endpoint(endpoint: str, says: str, hint: str | None) -> None:
    with pytest.raises(EndpointError) as caught:
        Router().add(endpoint, Recorder())
    assert says in str(caught.value)
    assert hint is None or hint in str(caught.value.hint)


def listens(port: int) -> bool:
    """Whether somebody does, on this port of any address: seen without taking it from who is about to."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in map(str.split, lines))


async def test_a_port_that_is_taken_by_somebody_else() -> None:
    netcat = require("nc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(netcat, "-l", "127.0.0.1", str(port))
    try:
        await eventually(lambda: listens(port))
        router = Router()
        router.add(f"tcp://127.0.0.1:{port}", Recorder())
        with pytest.raises(BindError) as caught:
            async with Server(router):
                raise AssertionError
        assert str(caught.value) == f"cannot listen on tcp://127.0.0.1:{port}: address already in use"
        assert caught.value.errno == errno.EADDRINUSE
    finally:
        process.kill()
        await process.wait()


UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
UNPRIVILEGED = """
    import asyncio, encodings.idna, os, sys
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    from aionet.core.loop import run

    async def main():
        router = Router()
        router.add("tcp://127.0.0.1:1", StreamHandler())
        try:
            async with Server(router):
                print("bound")
        except BindError as exc:
            print(exc, exc.hint, sep="|")
    run(main(), loop=sys.argv[1])
"""


@pytest.mark.skipif(int(UNPRIVILEGED_PORTS.read_text()) <= 1, reason="this system lets everybody bind port 1")
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_port_that_needs_privileges(loop: str) -> None:
    # What is imported must be readable for nobody, too: so it is imported before root is given up.
    source = (
        "    from aionet import Router, Server, StreamHandler\n    from aionet.errors import BindError\n" + UNPRIVILEGED
    )
    process = await program(source, loop)
    out, err = await process.communicate()
    assert err == b""
    said, _, hint = out.decode().strip().partition("|")
    assert said == "cannot listen on tcp://127.0.0.1:1: permission denied"
    assert hint == "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose one from 1024 up"
    assert process.returncode == 0
