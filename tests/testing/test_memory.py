"""The memory transport, and that it behaves as the loops' own do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from aionet.testing import MemoryTransport, VirtualClockLoop


class Notes(asyncio.Protocol):
    """Notes what is called."""

    def __init__(self, keep_open: bool = True) -> None:
        self.calls: list[Any] = []
        self.keep_open = keep_open
        self.called = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    async def until(self, call: Any) -> None:
        """Wait until this is what was called last."""
        while self.calls[-1] != call:
            self.called.clear()
            await self.called.wait()

    def data_received(self, data: bytes) -> None:
        self.calls.append(bytes(data))
        self.called.set()

    def eof_received(self) -> bool:
        self.calls.append("eof")
        self.called.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append(("lost", exc))
        self.called.set()


@pytest.fixture
def loop() -> Iterator[VirtualClockLoop]:
    loop = VirtualClockLoop()
    yield loop
    loop.close()


def connected(loop: VirtualClockLoop, protocol: Any) -> MemoryTransport:
    transport = MemoryTransport(loop, protocol, {"peername": "somebody"})
    transport.connect()
    protocol.calls.clear()
    return transport


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_writes_are_counted_recorded_and_copied(loop: VirtualClockLoop) -> None:
    transport = connected(loop, Notes())
    data = bytearray(b"one")
    transport.write(data)
    data[:] = b"ONE"
    transport.write(b"")
    transport.writelines([b"t", memoryview(b"wo")])
    assert transport.writes == [b"one", b"two"]
    assert transport.taken == b"onetwo"
    assert transport.get_write_buffer_size() == 0


def test_only_bytes_are_written(loop: VirtualClockLoop) -> None:
    with pytest.raises(TypeError, match="not str"):
        connected(loop, Notes()).write("text")  # type: ignore[arg-type]


def test_water_marks(loop: VirtualClockLoop) -> None:
    protocol = Notes()
    transport = connected(loop, protocol)
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    transport.set_write_buffer_limits(high=10, low=4)
    transport.stall(5)
    transport.write(bytes(15))
    assert protocol.calls == []
    transport.write(b"x")
    transport.write(b"x")
    assert protocol.calls == ["pause"]
    transport.take(7)
    assert protocol.calls == ["pause"]
    transport.take(1)
    assert protocol.calls == ["pause", "resume"]
    assert transport.get_write_buffer_size() == 4
    transport.take()
    transport.write(bytes(1000))
    assert protocol.calls == ["pause", "resume"]
    assert len(transport.taken) == 1017


@pytest.mark.parametrize(
    ("given", "limits"), [({}, (16384, 65536)), ({"high": 8}, (2, 8)), ({"low": 8}, (8, 32)), ({"high": 0}, (0, 0))]
)
def test_water_marks_have_asyncios_defaults(loop: VirtualClockLoop, given: Any, limits: tuple[int, int]) -> None:
    transport = connected(loop, Notes())
    transport.set_write_buffer_limits(**given)
    assert transport.get_write_buffer_limits() == limits
    with pytest.raises(ValueError, match="at least"):
        transport.set_write_buffer_limits(high=1, low=2)


def test_write_eof(loop: VirtualClockLoop) -> None:
    transport = connected(loop, Notes())
    transport.stall()
    transport.write(b"last")
    transport.write_eof()
    transport.write_eof()
    assert transport.can_write_eof()
    assert not transport.eof_sent
    with pytest.raises(RuntimeError, match="write_eof"):
        transport.write(b"more")
    transport.take()
    assert transport.eof_sent
    assert not transport.is_closing()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_comes_while_reading_is_paused_waits(loop: VirtualClockLoop) -> None:
    protocol = Notes()
    transport = connected(loop, protocol)
    transport.feed(b"one")
    transport.pause_reading()
    transport.pause_reading()
    transport.feed(b"two")
    transport.feed(b"three")
    transport.feed_eof()
    assert protocol.calls == [b"one"]
    assert transport.unread == 8
    transport.resume_reading()
    assert protocol.calls == [b"one"]  # in a later tick
    loop.advance()
    assert protocol.calls == [b"one", b"two", b"three", "eof"]
    with pytest.raises(RuntimeError, match="no more"):
        transport.feed(b"four")


def test_a_protocol_that_pauses_in_the_middle_is_handed_nothing_more(loop: VirtualClockLoop) -> None:
    class Pausing(Notes):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            transport.pause_reading()

    protocol = Pausing()
    transport = connected(loop, protocol)
    for chunk in (b"1", b"2", b"3"):
        transport.feed(chunk)
    for seen in (1, 2, 3):
        assert len(protocol.calls) == seen
        transport.resume_reading()
        loop.advance()


def test_a_buffered_protocol_is_read_into_its_buffer(loop: VirtualClockLoop) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(4)
            self.calls: list[Any] = []

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.calls.append(bytes(self.buffer[:nbytes]))
            if self.calls[-1] == b"wait":
                transport.pause_reading()

    protocol = Buffered()
    transport = connected(loop, protocol)
    transport.feed(b"abcdefghi")
    assert protocol.calls == [b"abcd", b"efgh", b"i"]
    transport.feed(b"waitdone")
    transport.feed(b"!")
    assert protocol.calls[3:] == [b"wait"]
    transport.resume_reading()
    loop.advance()
    assert protocol.calls[4:] == [b"done", b"!"]


def test_what_does_not_fit_is_for_whoever_is_the_protocol_then(loop: VirtualClockLoop) -> None:
    class Head(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(4)
            self.calls: list[Any] = []

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            transport.set_protocol(rest)

    rest = Notes()
    head = Head()
    transport = connected(loop, head)
    transport.feed(b"headrest")
    assert head.buffer == b"head"
    assert rest.calls == [b"rest"]


@pytest.mark.parametrize("keep_open", [True, False])
def test_the_end_of_the_stream_closes_unless_the_protocol_keeps_it_open(
    loop: VirtualClockLoop, keep_open: bool
) -> None:
    protocol = Notes(keep_open)
    transport = connected(loop, protocol)
    transport.feed_eof()
    loop.advance()
    assert protocol.calls == (["eof"] if keep_open else ["eof", ("lost", None)])
    assert not transport.reset


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_close_sends_what_waits_and_is_told_later(loop: VirtualClockLoop) -> None:
    protocol = Notes()
    transport = connected(loop, protocol)
    transport.stall()
    transport.write(b"last words")
    transport.close()
    transport.close()
    transport.feed(b"ignored")
    loop.advance(10)
    assert transport.is_closing()
    assert protocol.calls == []
    transport.take()
    assert protocol.calls == []
    loop.advance()
    assert protocol.calls == [("lost", None)]
    assert transport.taken == b"last words"
    assert transport.reset  # what came meanwhile was never read
    transport.write(b"late")
    transport.abort()
    transport.feed(b"late")
    loop.advance()
    assert len(protocol.calls) == 1
    assert transport.taken == b"last words"


def test_abort_throws_away_what_waits(loop: VirtualClockLoop) -> None:
    protocol = Notes()
    transport = connected(loop, protocol)
    transport.stall()
    transport.write(b"last words")
    transport.abort()
    transport.take()
    loop.advance()
    assert protocol.calls == [("lost", None)]
    assert transport.taken == b""
    assert transport.reset
    assert transport.lost


def test_a_lost_connection_is_told_why(loop: VirtualClockLoop) -> None:
    protocol = Notes()
    transport = connected(loop, protocol)
    transport.lose(exc := ConnectionResetError())
    transport.close()
    loop.advance()
    assert protocol.calls == [("lost", exc)]


def test_facts_and_protocols(loop: VirtualClockLoop) -> None:
    transport = connected(loop, Notes())
    assert transport.get_extra_info("peername") == "somebody"
    assert transport.get_extra_info("socket", "none") == "none"
    other = Notes()
    transport.set_protocol(other)
    assert transport.get_protocol() is other
    transport.feed(b"x")
    assert other.calls == [b"x"]


# ── the same as the real ones ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_real_transport_does_the_same() -> None:
    """Reading paused and resumed, both ends half closed, on a socket pair and in memory."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    real, memory = Notes(), Notes()
    real_transport, _ = await loop.create_connection(lambda: real, sock=ours)
    memory_transport = MemoryTransport(loop, memory)
    memory_transport.connect()
    try:
        for transport in (real_transport, memory_transport):
            transport.pause_reading()
            transport.pause_reading()
            transport.write(b"hello")
        await loop.sock_sendall(theirs, b"one")
        memory_transport.feed(b"one")
        for transport in (real_transport, memory_transport):
            transport.resume_reading()
            transport.resume_reading()
        await real.until(b"one")
        theirs.shutdown(socket.SHUT_WR)
        memory_transport.feed_eof()
        await real.until("eof")
        for transport in (real_transport, memory_transport):
            transport.write(b" and goodbye")
            transport.write_eof()
            transport.write_eof()
            with pytest.raises(RuntimeError):
                transport.write(b"more")
            transport.close()
            assert transport.is_closing()
        await real.until(("lost", None))
        await memory.until(("lost", None))
        assert memory.calls == real.calls == ["made", b"one", "eof", ("lost", None)]
        assert memory_transport.taken == await loop.sock_recv(theirs, 100)
    finally:
        theirs.close()
        real_transport.abort()
