"""TLS over a transport: against OpenSSL's client side in memory, and against peers that nobody here wrote."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from contextlib import suppress
from typing import Any

import pytest

from aionet.core import tls_transport as module
from aionet.core.tls import server_name
from aionet.core.tls_transport import receiver

from ..conftest import TLSFiles
from ..serving import Recorder, eventually, serving
from ..tools import require
from .tls_tools import NAMES, Peer, open_peer

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_both_directions_in_any_pieces(tls_files: TLSFiles, version: ssl.TLSVersion, size: int) -> None:
    peer = Peer(tls_files, maximum_version=version)
    peer.shake_hands(size)
    peer.tls.write(b"hello")
    peer.tls.write(b", world")
    peer.send(size)
    assert peer.protocol.received == b"hello, world"
    assert peer.protocol.transport is peer.transport
    peer.transport.write(b"hello")
    peer.transport.writelines([b", ", bytearray(b"you")])
    peer.transport.write(b"")
    assert peer.hear() == b"hello, you"
    assert peer.tls.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    assert peer.raw.writes.count(b"") == 0


async def test_what_comes_in_the_segment_of_the_last_handshake_message_is_not_lost(tls_files: TLSFiles) -> None:
    peer = Peer(tls_files)
    for _ in range(2):
        with suppress(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        if not peer.raw.taken and peer.outgoing.pending:
            peer.send()
        peer.incoming.write(peer.raw.taken)
        peer.raw.taken.clear()
    peer.tls.do_handshake() if not peer.tls.version() else None
    peer.say(b"early")
    assert peer.protocol.calls == ["secured", "data"]
    assert peer.protocol.received == b"early"


async def test_the_records_of_a_chunk_come_out_as_one(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    peer.say(*[b"%d\n" % number for number in range(100)], bytes(40_000))
    assert peer.protocol.calls.count("data") == 1
    assert len(peer.protocol.received) == 290 + 40_000


async def test_one_write_of_many_records_is_one_write(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    before = len(peer.raw.writes)
    peer.transport.write(memoryview(bytes(range(256)) * 1000))
    assert len(peer.raw.writes) == before + 1
    assert peer.hear() == bytes(range(256)) * 1000


async def test_flow_control_is_the_plain_transports(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    peer.transport.set_write_buffer_limits(high=1000, low=100)
    assert peer.transport.get_write_buffer_limits() == (100, 1000)
    peer.raw.stall()
    peer.transport.write(bytes(2000))
    assert peer.transport.get_write_buffer_size() > 2000
    peer.raw.take()
    assert peer.protocol.calls[1:] == ["pause", "resume"]
    peer.transport.pause_reading()
    assert not peer.transport.is_reading()
    peer.say(b"held back")
    assert not peer.protocol.received
    peer.transport.resume_reading()
    await eventually(lambda: peer.protocol.received == b"held back")


# ---- the end -------------------------------------------------------------------------------------


@VERSIONS
async def test_we_close_and_the_peer_answers(tls_files: TLSFiles, version: ssl.TLSVersion) -> None:
    peer = open_peer(tls_files, maximum_version=version)
    peer.transport.write(b"last words")
    peer.transport.close()
    peer.transport.close()
    peer.transport.write(b"too late")
    assert peer.transport.is_closing()
    assert peer.raw.eof_sent
    assert peer.hear() == b"last words"
    peer.tls.unwrap() if version is ssl.TLSVersion.TLSv1_2 else peer.say_close_notify()
    peer.send()
    peer.raw.feed_eof()
    await eventually(lambda: peer.protocol.lost == [None])
    assert not peer.raw.reset
    assert peer.protocol.calls == ["secured"]  # what the peer says after we closed is nobody's


async def test_a_peer_that_does_not_answer_our_close_is_cut(
    tls_files: TLSFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TLS_SHUTDOWN", 0.05)
    peer = open_peer(tls_files)
    peer.transport.close()
    await eventually(lambda: peer.protocol.lost == [None])
    assert peer.raw.aborted


async def test_a_peer_that_still_takes_our_last_words_is_waited_for(
    tls_files: TLSFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TLS_SHUTDOWN", 0.05)
    peer = open_peer(tls_files)
    peer.raw.stall()
    peer.transport.write(bytes(100_000))
    peer.transport.close()
    now = asyncio.get_running_loop().time()
    for number in range(5):
        assert peer.transport.check_deadlines(now + 10 * number) is not None
        peer.raw.take(1000)
    assert peer.transport.check_deadlines(now + 100) is not None
    assert peer.transport.check_deadlines(now + 200) is None
    assert peer.raw.aborted


async def test_the_peers_close_notify_is_an_end_that_can_be_answered(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    peer.say_close_notify()
    assert peer.protocol.calls == ["secured", "eof"]
    assert peer.transport.is_closing()
    await eventually(lambda: peer.protocol.lost == [None])
    assert not peer.raw.reset


async def test_a_half_close_as_without_tls(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    peer.protocol.keep_open = True
    peer.tls.write(b"question")
    peer.say_close_notify()
    peer.raw.feed(b"and something behind the end\n")
    peer.raw.feed_eof()
    assert peer.protocol.calls == ["secured", "data", "eof"]
    peer.transport.write(b"answer")
    assert peer.hear() == b"answer"
    peer.transport.close()
    await eventually(lambda: peer.protocol.lost == [None])


async def test_our_own_half_close(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    assert peer.transport.can_write_eof()
    peer.transport.write(b"question")
    peer.transport.write_eof()
    peer.transport.write_eof()
    peer.transport.write(b"too late")
    assert peer.hear() == b"question"
    assert not peer.raw.eof_sent  # the peer's own end may be still to come
    peer.say(b"answer")
    peer.say_close_notify()
    assert peer.protocol.received == b"answer"
    assert peer.protocol.calls[-1] == "eof"
    await eventually(lambda: peer.protocol.lost == [None])


async def test_an_end_without_close_notify_is_no_end_but_a_cut(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    peer.say(b"half a mess")
    peer.raw.feed_eof()
    await eventually(lambda: peer.protocol.lost)
    (exc,) = peer.protocol.lost
    assert isinstance(exc, ConnectionResetError)
    assert "without close_notify" in str(exc)
    assert "eof" not in peer.protocol.calls


async def test_bytes_that_are_no_record(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    peer.tls.write(b"good")
    peer.raw.feed(peer.outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert peer.protocol.received == b"good"
    peer.raw.feed_eof()
    await eventually(lambda: peer.protocol.lost)
    assert isinstance(peer.protocol.lost[0], ssl.SSLError)
    with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
        peer.hear()


async def test_a_handshake_that_fails(tls_files: TLSFiles) -> None:
    peer = Peer(tls_files)
    peer.raw.feed(b"\x16\x03\x01\x02\x00" + b"\xff" * 600)
    assert peer.raw.taken.startswith(b"\x15\x03")  # an alert (RFC 8446, section 6)
    assert peer.raw.eof_sent
    peer.raw.feed_eof()
    await eventually(lambda: peer.protocol.lost)
    assert isinstance(peer.protocol.lost[0], ssl.SSLError)
    assert peer.protocol.calls == []


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_closing_in_the_handshake_is_at_once(tls_files: TLSFiles, end: str) -> None:
    peer = Peer(tls_files)
    getattr(peer.transport, end)()
    assert peer.raw.aborted
    await eventually(lambda: peer.protocol.lost == [None])


async def test_nothing_keeps_a_lost_connection(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    watch = weakref.ref(peer.transport.get_extra_info("ssl_object"))  # which the transport alone has
    protocol = peer.protocol
    peer.raw.lose()
    await eventually(lambda: protocol.lost)
    peer.raw.set_protocol(asyncio.Protocol())  # both loops' transports let go of theirs
    gc.disable()
    try:
        protocol.transport = None
        del peer
        assert watch() is None
    finally:
        gc.enable()


# ---- looking -------------------------------------------------------------------------------------


async def test_what_is_known_of_it(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    extra = peer.transport.get_extra_info
    assert (extra("peername"), extra("sockname")) == NAMES
    assert server_name(extra("ssl_object")) == "localhost"
    assert extra("sslcontext") is extra("ssl_object").context
    assert extra("cipher")[0].startswith("TLS_")
    assert (extra("compression"), extra("peercert")) == (None, None)
    assert extra("unknown", 5) == 5
    assert peer.transport.get_protocol() is peer.protocol


async def test_another_protocol_takes_its_place(tls_files: TLSFiles) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer, self.taken = bytearray(4), b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.taken += self.buffer[:nbytes]

    peer = open_peer(tls_files)
    other = Buffered()
    peer.transport.set_protocol(other)
    peer.say(b"0123456789")
    assert other.taken == b"0123456789"
    assert not peer.protocol.received


def test_a_buffer_of_nothing_is_an_error() -> None:
    class Wrong(asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> bytearray:
            return bytearray()

    with pytest.raises(RuntimeError, match="empty buffer"):
        receiver(Wrong())(b"x")


# ---- peers nobody here wrote ---------------------------------------------------------------------


async def test_a_key_update_of_openssl(tls_files: TLSFiles) -> None:
    """It asks for ours in return (RFC 8446, section 4.6.3): bytes to send that no write asked for."""
    openssl = require("openssl")
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), endpoint) as (_, place):
        process = await asyncio.create_subprocess_exec(
            *(openssl, "s_client", "-connect", f"{place.host}:{place.port}", "-CAfile", str(tls_files.ca), "-tls1_3"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        await process.stdout.readuntil(b"HELLO\n")
        process.stdin.write(b"K\n")
        await process.stdout.readuntil(b"KEYUPDATE\n")
        process.stdin.write(b"again\n")
        await process.stdout.readuntil(b"AGAIN\n")
        process.stdin.close()
        await process.stdout.read()
        assert await process.wait() == 0


async def test_megabytes_both_ways_to_a_peer_that_reads_slowly(tls_files: TLSFiles) -> None:
    sent = bytes(range(256)) * 16 * 1024

    async def echo(conn: Any) -> None:
        async for chunk in conn:
            await conn.send(chunk)

    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(echo, endpoint) as (_, place):
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context)
        writer.write(sent)
        heard = await reader.readexactly(len(sent))
        assert heard == sent
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
