"""Random conversations, each on asyncio's transport and on ours: both make the same calls and pass the same bytes.

A conversation is a list of steps. Each is taken when nothing moves any more, so that a trace says what was called and
not how fast; only buffers differ, so what is written either fits them by far or exceeds them by far.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aionet.core.loop import loop_factory

from ..tools import in_soak
from .epoll_tools import Reactor

SMALL: Final = 100
LARGE: Final = 1 << 20  # bytes; more than the socket's buffers, which are made small, ever take
STREAM: Final = Random(1).randbytes(65_521) * (64 * LARGE // 65_521)
"""What is said, either way: who gets a part of it twice, or out of order, sees it, since its period is a prime."""

Step = tuple[Any, ...]
FORMS: Final[dict[str, Callable[[bytes], Any]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
}
WATER: Final = [(0, 0), (65_536, 16_384), (1 << 30, 0)]

actions: Final = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(sorted(FORMS)), st.sampled_from([0, 1, SMALL, SMALL, LARGE])),
    st.tuples(st.just("writelines"), st.sampled_from([SMALL, LARGE])),
    st.tuples(st.sampled_from(["write_eof", "close", "abort", "pause_reading", "resume_reading"])),
    st.tuples(st.just("set_protocol"), st.sampled_from([0, 0, 7, 1000])),
    st.tuples(st.just("set_water"), st.sampled_from(WATER)),
)
CALLBACKS: Final = ["data_received", "eof_received", "pause_writing", "resume_writing", "connection_lost"]
steps: Final = st.one_of(
    actions,
    st.tuples(st.just("peer sends"), st.sampled_from([1, SMALL, SMALL, 20_000])),
    st.tuples(st.sampled_from(["peer reads", "peer reads", "peer ends", "peer resets", "peer leaves"])),
    st.tuples(st.just("on"), st.sampled_from(["connection_made", *CALLBACKS]), actions),
    st.tuples(st.just("on"), st.sampled_from(CALLBACKS), st.tuples(st.just("raise"))),
)


class _Calls:
    """A protocol: each call of it is noted, and has the conversation do what it had planned for the next such call."""

    def __init__(self, talk: Conversation, name: str) -> None:
        self.talk = talk
        self.name = name

    def connection_made(self, transport: Any) -> None:
        self.talk.transport = transport
        self.talk.called(self.name, "connection_made")

    def eof_received(self) -> bool:
        self.talk.ended = True
        self.talk.called(self.name, "eof_received")
        return self.talk.keep

    def pause_writing(self) -> None:
        self.talk.called(self.name, "pause_writing")

    def resume_writing(self) -> None:
        self.talk.called(self.name, "resume_writing")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.talk.lost = True
        self.talk.called(self.name, "connection_lost", type(exc).__name__)


class Chunks(_Calls, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.talk.heard(self.name, data)


class Buffers(_Calls, asyncio.BufferedProtocol):
    def __init__(self, talk: Conversation, name: str, size: int) -> None:
        super().__init__(talk, name)
        self.buffer = bytearray(size)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.talk.heard(self.name, bytes(self.buffer[:nbytes]))


class Conversation:
    """One transport, its peer, and the trace of what was called.

    Attributes:
        trace: What both transports have to agree about.
        torn: Bytes may have been lost, as they may: how many, depends on buffers.
    """

    def __init__(self, kind: str, ours: socket.socket, peer: socket.socket, keep: bool, size: int) -> None:
        self.kind = kind
        self.ours = ours
        self.peer = peer
        self.keep = keep
        self.size = size
        self.trace: list[Any] = []
        self.transport: Any = None
        self.planned: dict[str, list[Step]] = {}
        self.protocols = 0
        self.said = self.got = 0  # bytes, by the peer and from it
        self.written = self.read = 0  # bytes, by the protocol and by the peer
        self.moved = 0  # changes whenever something happens
        self.reading = self.peer_said_eof = self.peer_got_eof = self.peer_gone = False
        self.ended = self.lost = self.torn = self.paused = self.closed = False

    # ---- what the transport calls --------------------------------------------------------------

    def called(self, who: str, name: str, *args: Any) -> None:
        self.moved += 1
        assert not any(entry[1] == "connection_lost" for entry in self.trace), f"{name} behind connection_lost"
        if name in ("data_received", "eof_received"):
            assert not self.closed, f"{name} behind close()"
            assert name != "data_received" or self.transport.is_reading(), "read while paused"
        if name in ("pause_writing", "resume_writing"):
            assert self.paused is (name == "resume_writing")
            self.paused = name == "pause_writing"
            low, high = self.transport.get_write_buffer_limits()
            size = self.transport.get_write_buffer_size()
            assert size > high if self.paused else size <= low
        self.trace.append((who, name, *args))
        for action in self.planned.pop(name, ()):
            if action[0] == "raise":
                self.torn = self.torn or self.transport.get_write_buffer_size() > 0
                self.closed = self.closed or name.endswith("received")
                raise ZeroDivisionError(name)
            self.act(action)

    def heard(self, who: str, data: bytes) -> None:
        assert data == STREAM[self.got : self.got + len(data)]
        self.got += len(data)
        if self.trace[-1][:2] == (who, "data_received") and "data_received" not in self.planned:
            self.moved += 1
            self.trace[-1] = (who, "data_received", self.got)
            assert not self.closed
            assert self.transport.is_reading()
        else:
            self.called(who, "data_received", self.got)

    def reported(self, loop: Any, context: dict[str, Any]) -> None:
        what = type(context.get("exception")).__name__
        if self.kind != "loop" or what != "AttributeError":  # asyncio's, closed in resume_writing, is lost twice
            self.trace.append(("loop", "reported", what))

    # ---- what is done --------------------------------------------------------------------------

    def make(self, size: int) -> Any:
        self.protocols += 1
        name = f"{self.protocols}"
        return Buffers(self, name, size) if size else Chunks(self, name)

    def act(self, action: Step) -> None:
        """Do something to the transport, and note whether it raised."""
        name, *args = action
        if self.lost and self.kind == "loop":
            return  # asyncio's, where something waited when it was closed, fails by an AttributeError from here on
        try:
            getattr(self, f"_{name}", self._simply)(name, *args)
        except (RuntimeError, OSError) as exc:
            self.trace.append(("act", name, type(exc).__name__))

    def _simply(self, name: str) -> None:
        if name == "resume_reading" and self.ended:
            return  # asyncio would read the end again
        if name == "abort":
            self.torn = self.torn or self.transport.get_write_buffer_size() > 0
        self.closed = self.closed or name in ("close", "abort")
        getattr(self.transport, name)()

    def _write(self, name: str, form: str, size: int) -> None:
        data: Any = FORMS[form](STREAM[self.written : self.written + size])
        if self.transport.is_closing():
            # asyncio sends what is written behind close() where something waits.
            if self.kind == "native":
                with contextlib.suppress(RuntimeError):
                    self.transport.write(data)
            return
        self.written += size  # before: pause_writing may write more
        try:
            self.transport.write(data)
        except RuntimeError:
            self.written -= size
            raise
        if isinstance(data, bytearray) and self.kind == "native":
            data[:] = b"?" * size  # asyncio's keeps a view of it since Python 3.12

    def _writelines(self, name: str, size: int) -> None:
        if self.transport.is_closing():
            return
        start = self.written
        data = [STREAM[at : at + size // 4] for at in range(start, start + size, size // 4)]
        parts: list[Any] = [b"", bytearray(data[0]), data[1], b"", memoryview(data[2]), data[3]]
        self.written += size
        try:
            if self.kind == "native":
                self.transport.writelines(parts)
            else:  # asyncio's does not pause in Python 3.12.0 to 3.13.1 (CVE-2024-12254)
                self.transport.write(b"".join(parts))
        except RuntimeError:
            self.written -= size
            raise

    def _set_protocol(self, name: str, size: int) -> None:
        self.transport.set_protocol(self.make(size))

    def _set_water(self, name: str, water: tuple[int, int]) -> None:
        self.transport.set_write_buffer_limits(high=water[0], low=water[1])

    def take(self, step: Step) -> None:
        name, *args = step
        if name == "on":
            self.planned.setdefault(args[0], []).append(args[1])
        elif not name.startswith("peer "):
            self.act(step)
        elif not self.peer_gone:
            getattr(self, name.replace(" ", "_"))(*args)

    def peer_sends(self, size: int) -> None:
        if not self.peer_said_eof:
            with contextlib.suppress(OSError):
                self.said += self.peer.send(STREAM[self.said : self.said + size])

    def peer_reads(self) -> None:
        self.reading = True

    def peer_ends(self) -> None:
        self.peer_said_eof = True
        with contextlib.suppress(OSError):
            self.peer.shutdown(socket.SHUT_WR)

    def peer_resets(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer_leaves()

    def peer_leaves(self) -> None:
        self.peer_gone = self.torn = True
        self.peer.close()

    def pump(self) -> None:
        """The peer reads what there is."""
        while self.reading and not self.peer_gone:
            try:
                data = self.peer.recv(LARGE)
            except BlockingIOError:
                return
            except OSError:
                self.torn = self.peer_gone = True
                self.peer.close()
                return
            if not data:
                self.reading = False
                self.moved += not self.peer_got_eof
                self.peer_got_eof = True
                return
            self.moved += 1
            assert data == STREAM[self.read : self.read + len(data)]
            self.read += len(data)

    async def settle(self, pause: float) -> None:
        """Until nothing happens any more."""
        still = 0
        while still < 5:
            before = self.moved, self._size()
            await asyncio.sleep(pause)
            self.pump()
            still = 0 if (self.moved, self._size()) != before else still + 1
        self.reading = False

    def _size(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def look(self) -> None:
        """Note what can be seen from outside."""
        transport = self.transport
        waits = transport.get_write_buffer_size() > 0
        self.trace.append(("seen", "state", transport.is_closing(), transport.is_reading(), waits))
        assert self.read <= self.written
        assert self.closed <= transport.is_closing()
        assert not waits or not self.lost
        if self.peer_got_eof and not self.torn:
            assert self.read == self.written, "an end that is none"
        if not self.torn:
            self.trace.append(("seen", "peer", self.peer_got_eof))
        if self.lost:
            assert self.ours.fileno() == -1 or self.kind == "native", "left open"

    async def play(self, conversation: list[Step], pause: float) -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.reported)
        while conversation and conversation[0][:2] == ("on", "connection_made"):
            self.take(conversation.pop(0))
        if self.kind == "native":
            Reactor(loop).attach(self.ours, self.make(self.size))
        else:
            await loop.connect_accepted_socket(lambda: self.make(self.size), self.ours)
        await self.settle(pause)
        for step in conversation:
            self.trace.append(("step", *map(str, step)))
            self.take(step)
            await self.settle(pause)
            self.look()
        self.trace.append(("step", "abort"))
        if not self.lost:
            self.planned.clear()
            self.act(("abort",))
            await self.settle(pause)
        assert self.lost
        return self.trace


def play(kind: str, on: Any, family: int, keep: bool, size: int, conversation: list[Step], pause: float) -> list[Any]:
    if family == socket.AF_UNIX:
        ours, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
    with ours, peer, asyncio.Runner(loop_factory=loop_factory(on)) as runner:
        for sock in (ours, peer):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        talk = Conversation(kind, ours, peer, keep, size)
        return runner.run(talk.play(list(conversation), pause))


@pytest.mark.timeout(7200 if in_soak() else 120)
@settings(max_examples=20_000 if in_soak() else 60, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([socket.AF_INET, socket.AF_UNIX]),
    st.booleans(),
    st.sampled_from([0, 0, 7, 1000]),
    st.lists(steps, max_size=30),
)
def test_ours_does_what_asyncios_does(family: int, keep: bool, size: int, conversation: list[Step]) -> None:
    for pause in (0.0, 0.002):  # a machine that is slow for a moment is given time, before it counts
        expected = play("loop", "asyncio", family, keep, size, conversation, pause)
        for on in ("asyncio", "uvloop"):
            trace = play("native", on, family, keep, size, conversation, pause)
            if trace != expected:
                break
        else:
            return
    assert trace == expected
