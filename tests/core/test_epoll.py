"""The native transports behave as asyncio's: whatever is tried here is tried on those as well."""

from __future__ import annotations

import array
import asyncio
import errno
import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from aionet.core.loop import loop_name

from ..serving import eventually, reset
from ..swapped import SWAPPED
from .epoll_tools import Acceptor, CountingLoop, Notes, Reactor, SocketTransport, made_by, pair, ticks

pytestmark = pytest.mark.usefixtures("no_leaks")

FAMILIES: Final = [socket.AF_INET, socket.AF_UNIX]


@pytest.fixture
async def kind() -> str:
    """Whose transport it is: asyncio's, which are the measure, on asyncio; our own on uvloop, or when swapped."""
    return "native" if SWAPPED or loop_name(asyncio.get_running_loop()) == "uvloop" else "loop"


async def read_all(peer: socket.socket) -> bytes:
    """What the peer is sent, until the end."""

    def read() -> bytes:
        parts = []
        while part := peer.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)

    return await asyncio.to_thread(read)


def fill(transport: Any) -> int:
    """Write until something waits. Returns the bytes written."""
    count = 0
    while not transport.get_write_buffer_size():
        transport.write(bytes(1 << 20))
        count += 1 << 20
    return count


# ── a conversation ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES)
async def test_callbacks_come_in_order(kind: str, family: int) -> None:
    with pair(family) as (ours, peer):
        protocol = Notes(data_received=lambda notes, data: notes.transport.write(data.upper()))
        transport = await made_by(kind, ours, protocol)
        assert transport.get_protocol() is protocol
        assert transport.is_reading()
        assert not transport.is_closing()
        peer.sendall(b"one")
        await eventually(lambda: protocol.received == 3)
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert peer.recv(10) + peer.recv(10) == b"ONE"
    assert protocol.names == ["connection_made", "data_received", "eof_received", "connection_lost"]
    assert transport.is_closing()
    assert not transport.is_reading()


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_half_open_connection_is_written_to(kind: str, family: int) -> None:
    with pair(family) as (ours, peer):
        protocol = Notes(eof_received=lambda notes: True)
        transport = await made_by(kind, ours, protocol)
        peer.shutdown(socket.SHUT_WR)
        await eventually(lambda: "eof_received" in protocol.names)
        transport.write(b"still here")
        transport.close()
        assert await read_all(peer) == b"still here"
        assert await protocol.lost is None
    assert protocol.names.count("eof_received") == 1


async def test_a_reset_is_the_exception_of_the_end(kind: str) -> None:
    with pair() as (ours, peer):
        protocol = Notes()
        await made_by(kind, ours, protocol)
        reset(peer)
        assert isinstance(await protocol.lost, ConnectionResetError)
    assert protocol.names == ["connection_made", "connection_lost"]


async def test_paused_nothing_is_read_and_resumed_all_is(kind: str) -> None:
    with pair() as (ours, peer):
        protocol = Notes(data_received=lambda notes, data: notes.transport.pause_reading())
        transport = await made_by(kind, ours, protocol)
        for round in (1, 2):
            peer.sendall(b"x")
            await eventually(lambda: protocol.received == round)  # noqa: B023
            peer.sendall(b"y" * 10)
            transport.pause_reading()  # again: nothing more
            await ticks()
            assert protocol.received == round
            assert not transport.is_reading()
            assert peer.send(b"z") == 1
            break
        transport.resume_reading()
        transport.resume_reading()
        await eventually(lambda: protocol.received == 12)
        transport.close()
        await protocol.lost


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Bytes(bytes):
    pass


@pytest.mark.parametrize(
    "data",
    [b"abcdefgh", bytearray(b"abcdefgh"), memoryview(b"abcdefgh"), Bytes(b"abcdefgh")],
    ids=lambda data: type(data).__name__,
)
@pytest.mark.parametrize("waits", [False, True])
async def test_whatever_has_bytes_is_written(kind: str, data: Any, waits: bool) -> None:
    with pair() as (ours, peer):
        transport = await made_by(kind, ours, protocol := Notes())
        before = fill(transport) if waits else 0
        data = bytearray(data) if isinstance(data, bytearray) else data  # the parameter is every run's
        transport.write(data)
        transport.write(b"")
        transport.writelines([b"", data])
        if isinstance(data, bytearray) and not (kind == "loop" and sys.version_info >= (3, 12)):
            data[:] = b"overtaken"  # what was written is what it was then; asyncio's keeps a view of it since 3.12
        transport.close()
        assert (await read_all(peer))[before:] == b"abcdefgh" * 2
        await protocol.lost


async def test_what_asyncio_does_not_write_well_is_written_all_the_same() -> None:
    """A view with steps, and items of more than a byte."""
    with pair() as (ours, peer):
        transport = await made_by("native", ours, protocol := Notes())
        transport.write(memoryview(b"a-b-c-")[::2])
        before = fill(transport)
        transport.write(array.array("H", b"defg"))
        transport.close()
        data = await read_all(peer)
        assert data[:3] + data[3 + before :] == b"abcdefg"
        await protocol.lost


async def test_what_has_no_bytes_is_refused_and_harms_nobody(kind: str) -> None:
    with pair() as (ours, peer):
        transport = await made_by(kind, ours, protocol := Notes())
        with pytest.raises(TypeError):
            transport.write("text")
        transport.write(b"bytes")
        transport.close()
        assert await read_all(peer) == b"bytes"
        await protocol.lost


async def test_a_large_write_reaches_a_slow_reader_whole(kind: str) -> None:
    data = os.urandom(1 << 20) * 16
    with pair() as (ours, peer):
        transport = await made_by(kind, ours, protocol := Notes())
        transport.write(data)
        assert protocol.names == ["connection_made", "pause_writing"]
        transport.close()
        assert transport.is_closing()
        assert await read_all(peer) == data
        assert await protocol.lost is None
    assert protocol.names == ["connection_made", "pause_writing", "resume_writing", "connection_lost"]


@pytest.mark.parametrize("size", [1, 50, 3000])
async def test_many_small_writes_that_wait_leave_in_order(kind: str, size: int) -> None:
    with pair() as (ours, peer):
        transport = await made_by(kind, ours, protocol := Notes())
        before = fill(transport)
        for number in range(20_000):
            transport.write(number.to_bytes(4, "big") + bytes(size))
        transport.write_eof()
        data = (await read_all(peer))[before:]
        numbers = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4 + size)]
        assert numbers == list(range(20_000))
        assert not transport.is_closing()
        transport.close()
        await protocol.lost


async def test_write_eof_comes_behind_what_waits_and_ends_writing(kind: str) -> None:
    with pair() as (ours, peer):
        protocol = Notes()
        transport = await made_by(kind, ours, protocol)
        assert transport.can_write_eof()
        count = fill(transport)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError):
            transport.write(b"more")
        assert len(await read_all(peer)) == count
        peer.sendall(b"still read")
        await eventually(lambda: protocol.received == 10)
        transport.close()
        assert await protocol.lost is None


async def test_abort_forgets_what_waits(kind: str) -> None:
    with pair() as (ours, peer):
        transport = await made_by(kind, ours, protocol := Notes())
        fill(transport)
        transport.abort()
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        transport.write(b"nobody's")
        transport.close()
        transport.abort()
        transport.pause_reading()
        transport.resume_reading()
        assert transport.get_write_buffer_size() == 0
        peer.settimeout(1)


async def test_a_peer_that_is_gone_is_an_exception_of_the_end_not_of_write(kind: str) -> None:
    with pair(socket.AF_UNIX) as (ours, peer):
        transport = await made_by(kind, ours, protocol := Notes())
        transport.pause_reading()
        peer.close()
        transport.write(b"x")
        assert isinstance(await protocol.lost, BrokenPipeError)


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, (16_384, 65_536)),
        ({"high": 100}, (25, 100)),
        ({"low": 100}, (100, 400)),
        ({"high": 0}, (0, 0)),
        ({"high": 7, "low": 7}, (7, 7)),
    ],
)
async def test_water_marks(kind: str, given: dict[str, int], limits: tuple[int, int]) -> None:
    with pair() as (ours, _):
        transport = await made_by(kind, ours, protocol := Notes())
        transport.set_write_buffer_limits(**given)
        assert transport.get_write_buffer_limits() == limits
        for wrong in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}):
            with pytest.raises(ValueError, match="must be >="):
                transport.set_write_buffer_limits(**wrong)
        assert transport.get_write_buffer_limits() == limits
        transport.abort()
        await protocol.lost


# ── what a callback may do ───────────────────────────────────────────────────────────────────────────────────────────


def close(notes: Notes, *args: Any) -> None:
    notes.transport.close()


def abort(notes: Notes, *args: Any) -> None:
    notes.transport.abort()


def pause(notes: Notes, *args: Any) -> None:
    notes.transport.pause_reading()


def pause_and_resume(notes: Notes, *args: Any) -> None:
    notes.transport.pause_reading()
    notes.transport.resume_reading()


def write_much(notes: Notes, *args: Any) -> None:
    if not notes.transport.is_closing() and notes.names.count("resume_writing") < 3:
        notes.transport.write(bytes(1 << 24))


def write_and_close(notes: Notes, *args: Any) -> None:
    write_much(notes)
    notes.transport.close()


def replace(notes: Notes, *args: Any) -> None:
    notes.transport.set_protocol(notes)


ACTIONS: Final = [close, abort, pause, pause_and_resume, write_much, write_and_close, replace]
CALLBACKS: Final = ["connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"]


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("callback", CALLBACKS)
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_callback_may_do_anything(callback: str, action: Any) -> None:
    """With data, an end and a congestion coming: the callbacks are those that the loop's own transport makes."""
    seen = []
    for kind in ("native", "loop"):
        with pair() as (ours, peer):
            protocol = Notes(**{"eof_received": lambda notes: True} | {callback: action})
            transport = await made_by(kind, ours, protocol)
            await ticks(2)
            transport.write(bytes(1 << 24))
            await ticks(2)
            peer.setblocking(False)
            try:
                for _ in range(3):
                    peer.send(b"question")
                    await ticks(2)
                peer.shutdown(socket.SHUT_WR)
            except OSError:  # closed meanwhile
                pass
            peer.settimeout(10)
            reading = asyncio.ensure_future(asyncio.to_thread(drain, peer))
            await ticks()
            transport.close()
            await protocol.lost
            await reading
            assert transport.is_closing()
            seen.append(list(dict.fromkeys(protocol.names)))  # resumed behind the end, asyncio reads that again
    assert seen[0] == seen[1]
    assert seen[0][-1] == "connection_lost"


def drain(peer: socket.socket) -> None:
    try:
        while peer.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass


@pytest.mark.parametrize("callback", CALLBACKS)
async def test_an_exception_is_reported_and_ends_the_connection_where_reading_cannot_go_on(callback: str) -> None:
    def fail(notes: Notes, *args: Any) -> None:
        raise ValueError(callback)

    loop = CountingLoop()
    with pair() as (ours, peer):
        protocol = Notes(**{callback: fail})
        transport = Reactor(loop).attach(ours, protocol)  # type: ignore[arg-type]
        transport.write(bytes(1 << 23))
        if not transport.is_closing():
            peer.sendall(b"x")
            peer.shutdown(socket.SHUT_WR)
        await asyncio.to_thread(drain, peer)
        lost = await protocol.lost
    (report,) = loop.reported
    assert str(report["exception"]) == callback
    assert report["transport"] is transport
    assert report["protocol"] is protocol
    assert lost is (None if "writing" in callback else report["exception"])


async def test_of_two_that_are_ready_at_once_the_first_may_end_the_second() -> None:
    transports: list[Any] = []

    def end_the_other(notes: Notes, data: bytes) -> None:
        for transport in transports:
            if transport is not notes.transport:
                transport.abort()

    reactor = Reactor(asyncio.get_running_loop())
    with pair() as (one, to_one), pair() as (two, to_two):
        protocols = [Notes(data_received=end_the_other) for _ in range(2)]
        transports += [reactor.attach(sock, protocol) for sock, protocol in zip((one, two), protocols, strict=True)]
        to_one.send(b"x")
        to_two.send(b"x")
        await eventually(lambda: any(protocol.lost.done() for protocol in protocols))
        assert sum(protocol.received for protocol in protocols) == 1
        for transport in transports:
            transport.abort()
        for protocol in protocols:
            await protocol.lost


# ── buffered protocols ───────────────────────────────────────────────────────────────────────────────────────────────


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        self.received = b""
        self.ended = False
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> Any:
        return self.buffer() if callable(self.buffer) else self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += bytes(memoryview(self.buffer)[:nbytes])

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


async def test_a_small_buffer_takes_all(kind: str) -> None:
    with pair() as (ours, peer):
        protocol = Buffered(bytearray(3))
        await made_by(kind, ours, protocol)
        peer.sendall(b"0123456789")
        peer.close()
        assert await protocol.lost is None
    assert protocol.received == b"0123456789"
    assert protocol.ended


@pytest.mark.parametrize("buffer", [b"read-only", bytearray(), None, lambda: 1 // 0], ids=repr)
async def test_a_buffer_that_is_none_ends_the_connection(buffer: Any) -> None:
    loop = CountingLoop()
    with pair() as (ours, peer):
        protocol = Buffered(buffer)
        Reactor(loop).attach(ours, protocol)  # type: ignore[arg-type]
        peer.send(b"x")
        lost = await protocol.lost
    assert [report["exception"] for report in loop.reported] == [lost]
    assert lost is not None


async def test_the_protocol_may_be_replaced_by_one_of_the_other_sort(kind: str) -> None:
    with pair() as (ours, peer):
        second = Buffered(bytearray(100))
        first = Notes(data_received=lambda notes, data: notes.transport.set_protocol(second))
        transport = await made_by(kind, ours, first)
        peer.send(b"first")
        await eventually(lambda: first.received)
        peer.send(b"second")
        await eventually(lambda: second.received == b"second")
        transport.close()
        await second.lost
    assert first.names == ["connection_made", "data_received"]


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
async def test_names_are_those_of_the_socket_and_stay(kind: str, family: int) -> None:
    with pair(family) as (ours, _):
        names = ours.getsockname(), ours.getpeername()
        transport = await made_by(kind, ours, protocol := Notes())
        for _ in range(2):
            assert (transport.get_extra_info("sockname"), transport.get_extra_info("peername")) == names
            if not protocol.lost.done():
                sock = transport.get_extra_info("socket")
                assert (sock.family, sock.type, sock.fileno()) == (family, socket.SOCK_STREAM, ours.fileno())
                transport.close()
                await protocol.lost
        assert sock.fileno() == -1
        assert transport.get_extra_info("sslcontext", "none") == "none"
        assert transport.get_extra_info("nonsense") is None


@pytest.mark.parametrize("abstract", [False, True])
async def test_a_unix_peer_may_have_a_name(tmp_path: Path, abstract: bool) -> None:
    place, client = ("\0aionet-test-%d" % os.getpid(), "\0aionet-peer-%d" % os.getpid())  # noqa: UP031
    if not abstract:
        place, client = str(tmp_path / "ünïcode"), str(tmp_path / "peer")
    made: list[Notes] = []
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.bind(place)
        listener.listen()
        acceptor = Reactor(asyncio.get_running_loop()).listen(listener, lambda: made.append(Notes()) or made[0])  # type: ignore[func-returns-value]
        acceptor.start()
        peer.bind(client)
        peer.connect(place)
        await eventually(lambda: made)
        transport = made[0].transport
        peer.close()
        await made[0].lost
        assert transport.get_extra_info("sockname") == (place.encode() if abstract else place)
        assert transport.get_extra_info("peername") == (client.encode() if abstract else client)
        acceptor.close()


async def test_a_link_local_peer_is_named_with_its_scope() -> None:
    for address in _link_local():
        with socket.socket(socket.AF_INET6) as listener, socket.socket(socket.AF_INET6) as peer:
            listener.bind(address)
            listener.listen()
            peer.connect(listener.getsockname())
            ours, name = listener.accept()
            ours.setblocking(False)
            transport = await made_by("native", ours, protocol := Notes())
            assert name[3] == address[3]
            assert transport.get_extra_info("peername") == name
            assert transport.get_extra_info("sockname") == listener.getsockname()
            transport.abort()
            await protocol.lost


def _link_local() -> list[tuple[str, int, int, int]]:
    """The link-local addresses of this machine."""
    found = []
    table = Path("/proc/net/if_inet6")
    for line in table.read_text(encoding="ascii").splitlines() if table.exists() else ():
        raw, index, *_ = line.split()
        if raw.startswith("fe80"):
            host = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw))
            found.append((host, 0, 0, int(index, 16)))
    return found


# ── sockets that are dead already ────────────────────────────────────────────────────────────────────────────────────


async def test_a_closed_socket_is_refused_and_leaves_nothing() -> None:
    reactor = Reactor(asyncio.get_running_loop())
    sock = socket.socket()
    sock.close()
    protocol = Notes()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        reactor.attach(sock, protocol)
    assert caught.value.errno == errno.EBADF
    assert not protocol.calls


async def test_what_cannot_be_watched_is_refused_and_stays_the_callers(tmp_path: Path) -> None:
    """A regular file's descriptor, which epoll does not take."""
    with socket.socket() as sock:
        kept = os.dup(sock.fileno())
        plain = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
        os.dup2(plain, sock.fileno())
        os.close(plain)
        with pytest.raises(PermissionError):
            Reactor(asyncio.get_running_loop()).attach(sock, Notes())
        assert os.fstat(sock.fileno())
        os.close(kept)


async def test_a_socket_whose_peer_was_gone_ends_by_the_first_read(kind: str) -> None:
    with pair() as (ours, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await ticks(2)
        transport = await made_by(kind, ours, protocol := Notes())
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert transport.get_extra_info("peername") is None


async def test_transports_are_made_by_a_reactor_alone() -> None:
    with pytest.raises(TypeError, match=r"Reactor\.attach"):
        SocketTransport()
    with pytest.raises(TypeError):
        Acceptor(None, None, Notes)  # type: ignore[call-arg]


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_it_tells_when_there_is_room_for_somebody_else_who_writes_to_the_socket() -> None:
    with pair() as (ours, peer):
        protocol = Notes()
        transport = await made_by("native", ours, protocol)
        assert isinstance(transport, SocketTransport)
        transport.await_room()  # there is
        transport.await_room()
        assert (protocol.names[-1], transport.get_write_buffer_size()) == ("pause_writing", 1)
        await ticks()
        assert (protocol.names[-1], transport.get_write_buffer_size()) == ("resume_writing", 0)
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(1 << 16))
        transport.await_room()
        await ticks()
        assert protocol.names[-1] == "pause_writing"
        transport.write(b"last")  # waits behind what somebody else wrote
        transport.close()
        await asyncio.to_thread(drain, peer)
        await protocol.lost
        assert protocol.names[-2:] == ["resume_writing", "connection_lost"]
        transport.await_room()  # too late: nothing happens
        assert protocol.names.count("pause_writing") == 2
