"""What the native transports leave behind: no descriptor, no loop that spins, nothing that is lost on the way out."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import errno
import fcntl
import gc
import os
import resource
import select
import socket
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from aionet.core.loop import loop_factory

from ..serving import eventually, reset
from .epoll_tools import Acceptor, CountingLoop, Notes, Reactor, SocketTransport, pair, polls, ticks
from .sockets_tools import open_sockets

FEW: Final = 8
"""More polls than any of these states brings, and far fewer than one that spins."""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = open_sockets(), polls()
    yield
    gc.collect()
    assert (open_sockets(), polls()) <= before


def stay(notes: Notes) -> bool:
    return True


# ── no loop spins ────────────────────────────────────────────────────────────────────────────────────────────────────


def paused(transport: Any) -> None:
    transport.pause_reading()


def paused_and_full(transport: Any) -> None:
    transport.pause_reading()
    full(transport)


def full(transport: Any) -> None:
    transport.write(bytes(1 << 23))


def said_eof(transport: Any) -> None:
    transport.write_eof()


def closing(transport: Any) -> None:
    full(transport)
    transport.close()


def idle(transport: Any) -> None:
    pass


def says_eof(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


def says_eof_and_is_reset(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)
    reset(peer)


def leaves(peer: socket.socket) -> None:
    peer.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
@pytest.mark.parametrize("state", [idle, paused, full, paused_and_full, said_eof, closing])
@pytest.mark.parametrize("end", [idle, says_eof, says_eof_and_is_reset, reset, leaves])
async def test_no_state_is_told_of_for_ever(
    family: int, state: Callable[[Any], None], end: Callable[[Any], None]
) -> None:
    loop = CountingLoop()
    with pair(family) as (ours, peer):
        protocol = Notes(eof_received=stay)
        transport = Reactor(loop).attach(ours, protocol)  # type: ignore[arg-type]
        state(transport)
        end(peer)
        await ticks()
        assert loop.ready < FEW
        transport.abort()
        await protocol.lost
    assert not loop.reported


async def test_a_descriptor_that_another_process_keeps_is_told_of_no_more() -> None:
    """As a child does that was forked meanwhile: what is closed here is not, to the kernel, and has to be taken out."""
    loop = CountingLoop()
    reactor = Reactor(loop)  # type: ignore[arg-type]
    with pair() as (one, to_one), pair() as (two, _):
        first, second = Notes(), Notes()
        reactor.attach(two, second)
        reactor.attach(one, first)
        with socket.socket(fileno=os.dup(one.fileno())):
            first.transport.close()
            await first.lost
            to_one.send(b"x")
            await ticks()
            assert loop.ready < FEW
        second.transport.close()
        await second.lost


# ── accepting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def listening(loop: Any, make: Callable[[], Any]) -> Iterator[tuple[Acceptor, Any]]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as sock:
        acceptor = Reactor(loop).listen(sock, make)
        acceptor.start()
        try:
            yield acceptor, sock.getsockname()
        finally:
            acceptor.close()
            acceptor.close()


async def end_all(made: list[Notes]) -> None:
    for notes in made:
        notes.transport.abort()
    for notes in made:
        await notes.lost


async def test_all_that_wait_are_accepted_and_none_after_the_close() -> None:
    made: list[Notes] = []

    def make() -> Notes:
        made.append(Notes())
        return made[-1]

    with listening(asyncio.get_running_loop(), make) as (acceptor, place):
        clients = [socket.create_connection(place) for _ in range(150)]
        await eventually(lambda: len(made) == 150)
        names = {client.getsockname() for client in clients}
        assert {notes.transport.get_extra_info("peername") for notes in made} == names
        assert {notes.transport.get_extra_info("sockname") for notes in made} == {place}
        acceptor.close()
        clients.append(socket.create_connection(place))
        await ticks()
        assert len(made) == 150
        acceptor.start()
        acceptor.start()
        await eventually(lambda: len(made) == 151)
        await end_all(made)
        for client in clients:
            client.close()


async def test_one_that_left_before_it_was_accepted_is_told_of_its_end() -> None:
    made: list[Notes] = []
    with listening(asyncio.get_running_loop(), lambda: made.append(Notes()) or made[-1]) as (_, place):  # type: ignore[func-returns-value]
        reset(socket.create_connection(place))
        with socket.create_connection(place):
            await eventually(lambda: len(made) == 2)
            assert isinstance(await made[0].lost, ConnectionResetError)
            await end_all(made[1:])


async def test_without_descriptors_it_waits_and_tries_again() -> None:
    loop = CountingLoop()
    made: list[Notes] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening(loop, lambda: made.append(Notes()) or made[-1]) as (_, place), socket.create_connection(place):  # type: ignore[func-returns-value]
        lowest = os.dup(0)  # no number below it is free
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            await ticks()
            ready = loop.ready
            loop.later.pop()()  # epoll sets need a descriptor as well
            await ticks()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert ready < FEW
        assert {report["exception"].errno for report in loop.reported} == {errno.EMFILE}
        assert len(loop.reported) == 2
        assert not made
        loop.later.pop()()
        await eventually(lambda: made)
        await end_all(made)


async def test_a_listening_socket_that_is_shut_down_is_told_of_once_a_try() -> None:
    loop = CountingLoop()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        acceptor = Reactor(loop).listen(sock, Notes)  # type: ignore[arg-type]
        acceptor.start()
        sock.shutdown(socket.SHUT_RDWR)
        await ticks()
        assert loop.ready < FEW
        assert [report["exception"].errno for report in loop.reported] == [errno.EINVAL]
        acceptor.close()
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            acceptor.start()


async def test_a_protocol_that_cannot_be_made_leaves_no_descriptor() -> None:
    loop = CountingLoop()

    def make() -> Any:
        raise ZeroDivisionError

    caught: list[dict[str, Any]] = []
    loop.loop.set_exception_handler(lambda _, context: caught.append(context))
    with listening(loop, make) as (_, place), socket.create_connection(place) as client:
        await eventually(lambda: caught)
        client.settimeout(5)
        assert client.recv(1) == b""
    assert isinstance(caught[0]["exception"], ZeroDivisionError)


WHO: Final = contextvars.ContextVar("WHO", default="nobody")


async def test_connections_begin_in_the_context_of_who_listens_and_share_none() -> None:
    """Not in that of whoever was first on the reactor; and what one sets, the next does not see."""
    seen = []

    def look(notes: Notes) -> None:
        seen.append(WHO.get())
        WHO.set("a connection")

    loop = asyncio.get_running_loop()
    reactor = Reactor(loop)
    made: list[Notes] = []

    def make() -> Notes:
        made.append(Notes(connection_made=look, data_received=lambda notes, data: seen.append(WHO.get())))
        return made[-1]

    with pair() as (ours, _), socket.create_server(("127.0.0.1", 0)) as sock:
        WHO.set("first")
        reactor.attach(ours, first := Notes())
        WHO.set("listener")
        acceptor = reactor.listen(sock, make)
        WHO.set("later")
        acceptor.start()
        with socket.create_connection(sock.getsockname()) as one, socket.create_connection(sock.getsockname()):
            await eventually(lambda: len(made) == 2)
            assert seen == ["listener", "listener"]
            one.send(b"x")
            await eventually(lambda: seen == ["listener", "listener", "a connection"])
            await end_all([first, *made])
        acceptor.close()


# ── what is thrown through ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "callback", ["data_received", "eof_received", "pause_writing", "resume_writing", "connection_lost"]
)
@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_an_interrupt_passes_and_the_connection_goes_on(callback: str, name: Any) -> None:
    interrupts = [KeyboardInterrupt()]

    def interrupt(notes: Notes, *args: Any) -> None:
        if interrupts:
            raise interrupts.pop()

    async def begin(ours: socket.socket) -> Notes:
        notes = Notes(**{callback: interrupt})
        Reactor(asyncio.get_running_loop()).attach(ours, notes)
        return notes

    async def end() -> None:
        await asyncio.wait([notes.lost])
        await asyncio.wait([reading])

    with asyncio.Runner(loop_factory=loop_factory(name)) as runner, pair() as (ours, peer):
        notes = runner.run(begin(ours))
        loop = runner.get_loop()
        loop.call_soon(notes.transport.write, bytes(1 << 23))
        loop.call_soon(peer.send, b"x")
        loop.call_soon(peer.shutdown, socket.SHUT_WR)
        reading = asyncio.ensure_future(loop.run_in_executor(None, drain, peer), loop=loop)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(end())
        loop.run_until_complete(end())
        assert notes.lost.result() is None
    assert notes.names[-1] == "connection_lost"


def drain(peer: socket.socket) -> int:
    count = 0
    while part := peer.recv(1 << 20):
        count += len(part)
    return count


# ── memory and descriptors ───────────────────────────────────────────────────────────────────────────────────────────


async def test_the_set_is_closed_with_the_last_of_it_and_opened_for_the_next() -> None:
    reactor = Reactor(asyncio.get_running_loop())
    before = polls()
    for _ in range(3):
        with pair() as (ours, peer):
            transport = reactor.attach(ours, notes := Notes())
            assert polls() == before + 1
            peer.send(b"x")
            await eventually(lambda: notes.received)
            transport.close()
            await notes.lost
            assert polls() == before


async def test_what_is_over_is_freed_at_once() -> None:
    with pair() as (ours, _):
        transport = Reactor(asyncio.get_running_loop()).attach(ours, notes := Notes())
        gone = weakref.ref(transport), weakref.ref(notes)
        gc.disable()
        try:
            transport.close()
            await notes.lost
            await asyncio.sleep(0)
            del transport, notes.transport, notes
            await asyncio.sleep(0)
            assert [ref() for ref in gone] == [None, None]
        finally:
            gc.enable()


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_a_loop_that_is_closed_over_a_connection_warns_and_closes_it(name: Any, accepted: bool, asked: bool) -> None:
    """Each descriptor once: its number may be another's by then."""

    async def begin(ours: socket.socket) -> list[Notes]:
        loop = asyncio.get_running_loop()
        made: list[Notes] = []
        if accepted:
            with listening(loop, lambda: made.append(Notes()) or made[-1]) as (_, place):  # type: ignore[func-returns-value]
                clients.append(socket.create_connection(place))
                await eventually(lambda: made)
        else:
            Reactor(loop).attach(ours, notes := Notes())
            made.append(notes)
        if asked:
            made[0].transport.get_extra_info("socket")
        return made

    clients: list[socket.socket] = []
    with pair() as (ours, _):
        runner = asyncio.Runner(loop_factory=loop_factory(name))
        made = runner.run(begin(ours))
        runner.close()
        with pytest.raises(RuntimeError, match="closed"):
            made[0].transport.close()
        del made, runner
        with pytest.warns(ResourceWarning, match="unclosed transport <SocketTransport"):
            gc.collect()
        for client in clients:
            client.settimeout(5)
            assert client.recv(1) == b""
            client.close()


async def test_a_reactor_of_a_closed_loop_refuses_and_leaves_nothing() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pair() as (ours, _):
        notes = Notes()
        with pytest.raises(RuntimeError, match="closed"):
            Reactor(loop).attach(ours, notes)
        assert not notes.calls
        assert ours.fileno() >= 0


# ── what no program should do must not be the end of the process ─────────────────────────────────────────────────────


async def test_what_is_heard_is_what_others_say() -> None:
    """Not that a socket has room again: who sends a file would take itself for company."""
    reactor = Reactor(asyncio.get_running_loop())
    with pair() as (ours, peer):
        transport = reactor.attach(ours, notes := Notes())
        transport.write(bytes(8 << 20))
        events = reactor.events
        while transport.get_write_buffer_size():
            await asyncio.to_thread(peer.recv, 1 << 20)
        assert reactor.events > events
        assert reactor.heard == 0
        peer.send(b"x")
        await eventually(lambda: notes.received)
        assert reactor.heard == 1
        transport.abort()
        await notes.lost


async def test_a_socket_that_is_attached_twice_is_refused_and_the_first_goes_on() -> None:
    loop = CountingLoop()
    reactor = Reactor(loop)  # type: ignore[arg-type]
    with pair() as (ours, peer):
        transport = reactor.attach(ours, notes := Notes())
        with pytest.raises(FileExistsError):
            reactor.attach(ours, Notes())
        peer.send(b"x")
        await eventually(lambda: notes.received)
        assert loop.ready < FEW
        transport.close()
        await notes.lost


async def test_events_of_descriptors_that_are_not_ours_are_nobodys() -> None:
    """The set is also a forked child's, which has no transports for what its parent watches from then on."""
    before = _sets()
    reactor = Reactor(asyncio.get_running_loop())
    with pair() as (ours, peer), pair() as (foreign, to_foreign):
        transport = reactor.attach(ours, notes := Notes())
        (number,) = _sets() - before
        far = socket.socket(fileno=fcntl.fcntl(foreign.fileno(), fcntl.F_DUPFD, 900))
        with far, select.epoll.fromfd(os.dup(number)) as shared:
            shared.register(far, select.EPOLLIN)
            to_foreign.send(b"x")
            await eventually(lambda: reactor.events)
            peer.send(b"x")
            await eventually(lambda: notes.received)
        transport.close()
        await notes.lost


def _sets() -> set[int]:
    """The numbers of the epoll sets of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                found.add(int(name))
    return found


async def test_a_reactor_that_is_initialised_again_keeps_what_it_watches() -> None:
    reactor = Reactor(asyncio.get_running_loop())
    with pair() as (ours, peer):
        transport = reactor.attach(ours, notes := Notes())
        reactor.__init__(asyncio.get_running_loop())  # type: ignore[misc]
        peer.send(b"x")
        await eventually(lambda: notes.received)
        transport.close()
        await notes.lost


def _use(transport: Any) -> None:
    """All that a transport offers."""
    transport.set_protocol(None)
    transport.write(b"x")
    transport.writelines([b"x"])
    transport.write_eof()
    transport.pause_reading()
    transport.resume_reading()
    transport.set_write_buffer_limits(high=0)
    transport.close()
    transport.abort()
    transport._lost(None)
    assert transport.is_closing()
    assert transport.get_write_buffer_size() == 0


def test_a_transport_that_nobody_began_does_nothing() -> None:
    _use(SocketTransport.__new__(SocketTransport))


async def test_a_transport_that_is_over_does_nothing() -> None:
    with pair() as (ours, _):
        transport = Reactor(asyncio.get_running_loop()).attach(ours, notes := Notes())
        transport.abort()
        await notes.lost
        _use(transport)
    with socket.socket() as sock:
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            Reactor(asyncio.get_running_loop()).attach(sock, Notes())


def test_a_transport_that_was_left_open_does_nothing_in_the_hands_of_who_is_warned() -> None:
    loop = asyncio.new_event_loop()
    with pair() as (ours, _), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        async def begin() -> None:
            Reactor(loop).attach(ours, Notes())

        loop.run_until_complete(begin())
        loop.close()
        gc.collect()
        (transport,) = [warning.source for warning in caught if isinstance(warning.source, SocketTransport)]
        _use(transport)


async def test_what_has_a_descriptor_is_not_copied() -> None:
    with listening(asyncio.get_running_loop(), Notes) as (acceptor, _), pytest.raises(TypeError):
        copy.copy(acceptor)
