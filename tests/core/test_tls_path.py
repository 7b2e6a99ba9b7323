"""The way of bytes through TLS, compiled or not: what a message costs, and that connections share no bytes."""

from __future__ import annotations

import asyncio
import ssl
import sys
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

import pytest

from aionet.core import tls_path
from aionet.core.loop import shared
from aionet.core.tls_path import RECORD, TAKE_AT, TLSBuffers

from ..conftest import TLSFiles
from ..swapped import SWAPPED
from ..tools import in_ci
from .test_stream_calls import count_calls
from .tls_tools import Notes, Peer, open_peer

CALLS: Final = 6
"""Python functions of ours, as plain Python, for a chunk that is answered by one write: get_buffer, buffer_updated,
data_received, _read; write, take. Compiled there are none."""


class Echo(Notes):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        assert self.transport is not None
        self.transport.write(data)


class Counted:
    """Stands in for a call of OpenSSL, and notes with what it is called."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self.call = call
        self.given: list[Any] = []

    def __call__(self, given: Any) -> Any:
        self.given.append(given)
        return self.call(given)


def buffers() -> TLSBuffers:
    found = shared(asyncio.get_running_loop()).tls
    assert found is not None
    return found


@pytest.fixture(autouse=True)
async def nothing_is_left_in_the_buffers() -> AsyncIterator[None]:
    yield
    found = shared(asyncio.get_running_loop()).tls
    if found is not None:
        assert (found.incoming.pending, found.outgoing.pending, found.owner) == (0, 0, None)


def counted(peer: Peer) -> tuple[Counted, Counted]:
    reads, writes = Counted(peer.transport._decrypt), Counted(peer.transport._encrypt)
    peer.transport._decrypt, peer.transport._encrypt = reads, writes
    return reads, writes


# ---- what a message costs ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1024, RECORD])
async def test_a_message_is_one_read_one_write_and_one_send(tls_files: TLSFiles, size: int) -> None:
    peer = open_peer(tls_files, Echo())
    reads, writes = counted(peer)
    before = len(peer.raw.writes)
    for _ in range(3):
        peer.say(bytes(size))
    assert (len(reads.given), len(writes.given), len(peer.raw.writes) - before) == (3, 3, 3)
    assert max(reads.given) <= min(RECORD, size + 64)  # no room is made for what cannot have come
    assert peer.hear() == bytes(3 * size)


async def test_records_that_came_together_are_a_read_each(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    reads, _ = counted(peer)
    peer.say(b"one", b"two", bytes(RECORD), b"three")
    assert len(reads.given) == 4
    assert peer.protocol.calls == ["secured", "data"]
    assert peer.protocol.received == b"onetwo" + bytes(RECORD) + b"three"


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 100, 1040])
async def test_a_record_that_comes_in_parts(tls_files: TLSFiles, cut: int) -> None:
    """Whatever OpenSSL has of it already, a read has room for all of it, and for the next."""
    peer = open_peer(tls_files)
    peer.tls.write(b"a" * 1024)
    peer.tls.write(b"b" * 1024)
    data = peer.outgoing.read()
    peer.raw.feed(data[:cut])
    peer.raw.feed(data[cut : 1046 + cut])
    peer.raw.feed(data[1046 + cut :])
    assert peer.protocol.received == b"a" * 1024 + b"b" * 1024


async def test_the_functions_it_takes(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files, Echo())
    peer.say(b"warm")
    peer.tls.write(b"hello")
    data = peer.outgoing.read()
    calls = count_calls(lambda: peer.raw.feed(data))
    ours = {name: count for name, count in calls.items() if name.startswith("TLS")}
    compiled = not (tls_path.__file__ or "").endswith(".py")
    assert sum(ours.values()) <= (0 if compiled else CALLS), ours


def test_it_is_compiled_where_all_is_tested() -> None:
    plain = (tls_path.__file__ or "").endswith(".py")
    if SWAPPED:
        assert plain
    elif in_ci() and sys.platform == "linux":
        assert not plain


# ---- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [RECORD + 1, TAKE_AT, TAKE_AT + 1, 1_000_000])
async def test_a_large_write_is_one_and_keeps_no_large_buffer(tls_files: TLSFiles, size: int) -> None:
    peer = open_peer(tls_files)
    waiting: list[int] = []
    real = peer.transport._encrypt

    def encrypt(data: Any) -> Any:
        done = real(data)
        waiting.append(buffers().outgoing.pending)
        return done

    peer.transport._encrypt = encrypt
    before = len(peer.raw.writes)
    peer.transport.write(bytes(size))
    assert len(peer.raw.writes) == before + 1
    assert max(waiting) < TAKE_AT + 1000
    assert peer.hear() == bytes(size)


async def test_openssl_may_take_a_record_at_a_time(tls_files: TLSFiles) -> None:
    """As with ``SSL_MODE_ENABLE_PARTIAL_WRITE``, which Python does not set today."""
    peer = open_peer(tls_files)
    real = peer.transport._encrypt
    peer.transport._encrypt = lambda data: real(data[:RECORD])
    data = array("Q", range(20_000)).tobytes()
    peer.transport.write(data[: 3 * RECORD])
    peer.transport.write(data[3 * RECORD :])
    assert peer.hear() == data


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: memoryview(data).cast("Q")])
async def test_whatever_has_bytes_can_be_written(tls_files: TLSFiles, make: Callable[[bytes], Any]) -> None:
    peer = open_peer(tls_files)
    data = array("Q", range(10_000)).tobytes()
    peer.transport.write(make(data))
    assert peer.hear() == data


async def test_what_has_none_is_the_callers_error(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    with pytest.raises(TypeError, match="bytes-like"):
        peer.transport.write("text")  # type: ignore[arg-type]
    peer.transport.write(b"and on it goes")
    assert peer.hear() == b"and on it goes"


async def test_a_failure_that_is_not_of_tls_reaches_whoever_called(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    read, write = peer.transport._decrypt, peer.transport._encrypt

    def fail(given: Any) -> Any:
        raise MemoryError

    peer.transport._decrypt = peer.transport._encrypt = fail
    with pytest.raises(MemoryError):
        peer.transport.write(b"x")
    peer.tls.write(b"x")
    with pytest.raises(MemoryError):
        peer.transport.data_received(peer.outgoing.read())
    assert buffers().owner is None
    peer.transport._decrypt, peer.transport._encrypt = read, write
    peer.transport.write(b"x")
    assert peer.hear() == b"x"


async def test_functions_that_are_overridden_are_called(tls_files: TLSFiles) -> None:
    class Own(ssl.SSLObject):
        reads = writes = 0

        def read(self, *given: Any) -> Any:
            Own.reads += 1
            return super().read(*given)

        def write(self, data: Any) -> int:
            Own.writes += 1
            return super().write(data)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    context.sslobject_class = Own
    peer = open_peer(tls_files, Echo(), server=context)
    peer.say(b"hello")
    assert peer.hear() == b"hello"
    assert (Own.reads, Own.writes) == (1, 1)


# ---- connections share buffers, not bytes ----------------------------------------------------------


async def test_connections_in_turns(tls_files: TLSFiles) -> None:
    """Handshakes, parts of records, failures and ends, each while the others are in the midst of theirs."""
    peers = [Peer(tls_files) for _ in range(4)]
    for _ in range(5):
        for peer in peers:
            with suppress(ssl.SSLWantReadError):
                peer.tls.do_handshake()
            peer.send(100)
        for peer in peers:
            peer.incoming.write(peer.raw.taken)
            peer.raw.taken.clear()
    records = []
    for number, peer in enumerate(peers):
        peer.tls.write(b"%d" % number * 3000)
        records.append(peer.outgoing.read())
    peers[3].raw.feed(b"\x17\x03\x03\x00\x20" + bytes(32) + records[3])  # what follows the failure is nobody's
    for start in range(0, 4000, 1000):
        for peer, record in zip(peers[:3], records[:3], strict=True):
            peer.raw.feed(record[start : start + 1000])
    for number, peer in enumerate(peers[:3]):
        assert peer.protocol.received == b"%d" % number * 3000
        peer.transport.write(b"bye %d" % number)
        peer.transport.close()
        assert peer.hear() == b"bye %d" % number
    with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
        peers[3].hear()


async def test_what_is_behind_the_end_is_not_the_next_ones(tls_files: TLSFiles) -> None:
    one, other = open_peer(tls_files), open_peer(tls_files)
    one.protocol.keep_open = True
    with suppress(ssl.SSLWantReadError):
        one.tls.unwrap()
    one.raw.feed(one.outgoing.read() + b"behind the end")
    other.say(b"hello")
    assert not one.protocol.received
    assert other.protocol.received == b"hello"


@pytest.mark.parametrize("end", [False, True])
async def test_another_connection_comes_between(tls_files: TLSFiles, end: bool) -> None:
    """As a finalizer or a signal handler may, in the midst of a call of OpenSSL."""
    one, other = open_peer(tls_files, Echo()), open_peer(tls_files)
    read, write = one.transport._decrypt, one.transport._encrypt

    def interrupt() -> None:
        other.transport.write(b"between")
        if end and not other.transport.is_closing():
            other.transport.close()

    def decrypt(size: int) -> bytes:
        interrupt()
        found: bytes = read(size)
        interrupt()
        return found

    def encrypt(data: Any) -> int:
        interrupt()
        done: int = write(data)
        interrupt()
        return done

    one.transport._decrypt, one.transport._encrypt = decrypt, encrypt
    one.say(b"first", b"second", bytes(100_000))
    assert one.protocol.received == b"firstsecond" + bytes(100_000)
    assert one.hear() == one.protocol.received
    heard = other.hear()
    assert heard == b"between" * (len(heard) // 7)
    assert len(heard) == 7 if end else len(heard) > 70


async def test_a_callback_of_the_handshake_comes_between(tls_files: TLSFiles) -> None:
    other = open_peer(tls_files)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    context.sni_callback = lambda *given: other.transport.write(b"somebody new")
    peer = open_peer(tls_files, Echo(), server=context)
    peer.say(b"hello")
    assert (peer.hear(), other.hear()) == (b"hello", b"somebody new")


async def test_a_write_within_a_write_leaves_in_the_order_of_its_records(tls_files: TLSFiles) -> None:
    peer = open_peer(tls_files)
    write = peer.transport._encrypt
    left = [b"within"]

    def encrypt(data: Any) -> int:
        done: int = write(data)
        if left:
            peer.transport.write(left.pop())
        return done

    peer.transport._encrypt = encrypt
    peer.transport.write(bytes(200_000))
    heard = peer.hear()
    assert heard.replace(b"within", b"") == bytes(200_000)
    assert heard.index(b"within") == TAKE_AT
