"""Bodies received into buffers: by pieces that are copied, and by a transport that reads into the buffer itself.

Both ways in virtual time; ``test_receiving_sockets.py`` has what only sockets show.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import CloseReason, Connection, LineCodec, RawCodec, StreamHandler
from aionet.core import receiving
from aionet.errors import IncompleteFrame
from aionet.limits import Limits, Timeouts
from aionet.services.files.wire import Batch, Request, RequestCodec
from aionet.testing import HandlerHarness, MemoryTransport


class Idle:
    """An ``async def handler(conn)`` that leaves the connection to the test."""

    async def __call__(self, conn: Connection[Any]) -> None:
        await conn.wait_closed()


class Bodies(RawCodec):
    """Bodies alone; ``skip`` is called as each part of them goes past."""

    def __init__(self, skip: Callable[[int], None]) -> None:
        self._skip = skip

    def skip_body(self, count: int) -> None:
        self._skip(count)


@pytest.fixture(params=["pieces", "filled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the harness's transport counts as native."""
    native = MemoryTransport if request.param == "filled" else None
    monkeypatch.setattr(receiving, "_Native", native)
    return str(request.param)


@pytest.fixture
def peer(way: str) -> Iterator[HandlerHarness]:
    with HandlerHarness(Idle(), codec=RawCodec) as harness:
        yield harness


# ── what is received ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_exactly_what_fits(peer: HandlerHarness) -> None:
    buffer = bytearray(4)
    call = peer.start(peer.conn.receive_into(buffer, 4))
    peer.receive(b"ab", b"c")
    assert not call.done()
    peer.receive(b"d")
    assert (call.result(), bytes(buffer)) == (4, b"abcd")


def test_as_they_come_where_one_is_enough(peer: HandlerHarness) -> None:
    buffer = bytearray(b"......")
    call = peer.start(peer.conn.receive_into(buffer))
    peer.receive(b"ab")
    assert (call.result(), bytes(buffer)) == (2, b"ab....")


def test_what_had_come_needs_no_waiting(peer: HandlerHarness) -> None:
    buffer = bytearray(8)
    peer.receive(b"ab", b"cd")
    assert peer.start(peer.conn.receive_into(buffer)).result() == 4
    assert buffer[:4] == b"abcd"


def test_what_does_not_fit_stays_in_order(peer: HandlerHarness) -> None:
    buffer = bytearray(3)
    call = peer.start(peer.conn.receive_into(buffer, 2))
    peer.receive(b"abcdefgh", b"ij")
    assert (call.result(), bytes(buffer)) == (3, b"abc")
    assert peer.start(peer.conn.receive_into(buffer)).result() == 3
    assert buffer == b"def"
    assert peer.start(peer.conn.receive()).result() == b"gh"
    assert peer.conn.receive_nowait() == b"ij"


def test_items_of_any_size_are_filled_as_bytes(peer: HandlerHarness) -> None:
    buffer = array.array("H", [0, 0])
    call = peer.start(peer.conn.receive_into(memoryview(buffer), 4))
    peer.receive(b"\1\0\2\0")
    assert call.result() == 4
    assert buffer.tobytes() == b"\1\0\2\0"


def test_a_body_ends_inside_the_buffer_and_the_next_message_stays(way: str) -> None:
    with HandlerHarness(Idle(), codec=RequestCodec) as peer:
        buffer = bytearray(b"." * 8)
        peer.receive(b"PUT;size=5 name\nab")
        assert peer.start(peer.conn.receive()).result() == Request("PUT", "name", size=5)
        call = peer.start(peer.conn.receive_into(buffer, 8))
        peer.receive(b"c")
        assert not call.done()
        peer.receive(b"deLIST\nPUT;size=9 more\nxyz")
        assert (call.result(), bytes(buffer)) == (5, b"abcde...")
        with pytest.raises(RuntimeError, match="no piece of a body: Batch"):
            peer.start(peer.conn.receive_into(buffer)).result()
        assert peer.conn.receive_nowait() == Batch(b"LIST\n")
        assert peer.conn.receive_nowait() == Request("PUT", "more", size=9)
        assert peer.start(peer.conn.receive_into(buffer, 1)).result() == 3
        call = peer.start(peer.conn.receive_into(buffer, 6))
        peer.receive(b"uvwxyz")
        assert (call.result(), bytes(buffer[:6])) == (6, b"uvwxyz")
        with pytest.raises(RuntimeError, match="what follows its head"):
            peer.start(peer.conn.receive_into(buffer)).result()


def test_the_end_of_a_body_that_is_held_back_is_waited_for(way: str) -> None:
    with HandlerHarness(Idle(), codec=RequestCodec) as peer:
        peer.receive(b"PUT;size=6 name\nab")
        peer.start(peer.conn.receive()).result()
        peer.conn.pause_reading()
        peer.conn.data_received(b"cdef")  # type: ignore[attr-defined]  # as TLS: it had been decrypted already
        buffer = bytearray(6)
        call = peer.start(peer.conn.receive_into(buffer, 6))
        assert not call.done()
        peer.call(peer.conn.resume_reading)
        assert (call.result(), bytes(buffer)) == (6, b"abcdef")


def test_a_codec_that_wants_to_see_its_bytes_is_given_them(way: str) -> None:
    class Upper(RawCodec):
        def feed(self, data: bytes) -> list[bytes]:
            return [data.upper()]

    with HandlerHarness(Idle(), codec=Upper) as peer:
        call = peer.start(peer.conn.receive_into(bytearray(9)))
        with pytest.raises(RuntimeError, match="knows no bodies"):
            call.result()
        peer.receive(b"abc")
        assert peer.conn.receive_nowait() == b"ABC"


@pytest.mark.parametrize("chunk", [b"", b"line\n"])
def test_messages_are_no_bodies_whether_they_have_come_or_not(way: str, chunk: bytes) -> None:
    with HandlerHarness(Idle(), codec=LineCodec) as peer:
        peer.receive(chunk)
        call = peer.start(peer.conn.receive_into(bytearray(9)))
        with pytest.raises(RuntimeError, match=r"LineCodec.* knows no bodies"):
            call.result()
        peer.receive(b"more\n")
        assert peer.conn.receive_nowait() == (chunk or b"more\n").strip()


def test_it_is_for_coroutines() -> None:
    raised: list[BaseException] = []

    class Callbacks(StreamHandler[bytes]):
        codec = RawCodec()

        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            try:
                conn.receive_into(bytearray(1)).send(None)
            except RuntimeError as exc:
                raised.append(exc)

    with HandlerHarness(Callbacks()) as peer:
        peer.receive(b"x")
    assert "for coroutines" in str(raised[0])


def test_in_async_on_message_it_takes_what_follows(way: str) -> None:
    buffer = bytearray(6)

    class Takes(StreamHandler[Any]):
        codec = RequestCodec()
        nowait: list[Any]

        def on_message_nowait(self, conn: Connection[Any], message: Any) -> bool:
            self.nowait.append(message)
            return isinstance(message, Batch)

        async def on_message(self, conn: Connection[Any], message: Any) -> None:
            assert await conn.receive_into(buffer, message.size) == message.size

    handler = Takes()
    handler.nowait = []
    with HandlerHarness(handler) as peer:
        peer.receive(b"PUT;size=6 name\n", b"abc")
        peer.receive(b"defLIST\n")
    assert buffer == b"abcdef"
    assert handler.nowait == [Request("PUT", "name", size=6), Batch(b"LIST\n")]


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at_least", [0, -1, 5])
def test_at_least_is_of_the_buffer(peer: HandlerHarness, at_least: int) -> None:
    peer.receive(b"abc")
    with pytest.raises(ValueError, match="at_least must be 1 to 4"):
        peer.start(peer.conn.receive_into(bytearray(4), at_least)).result()
    with pytest.raises(ValueError, match="at_least must be 1 to 0"):
        peer.start(peer.conn.receive_into(bytearray())).result()
    assert peer.conn.receive_nowait() == b"abc"


def released() -> memoryview:
    view = memoryview(bytearray(8))
    view.release()
    return view


@pytest.mark.parametrize(
    ("buffer", "error"),
    [
        (b"readonly", TypeError),
        (memoryview(bytearray(8)).toreadonly(), TypeError),
        (memoryview(bytearray(8))[::2], TypeError),
        (memoryview(bytearray(8))[::-1], TypeError),
        (released(), ValueError),
        ("text", TypeError),
        (None, TypeError),
    ],
)
@pytest.mark.parametrize("chunk", [b"", b"abc"])
def test_what_is_no_buffer_costs_nothing(
    peer: HandlerHarness, buffer: Any, error: type[Exception], chunk: bytes
) -> None:
    peer.receive(chunk)
    with pytest.raises(error):
        peer.start(peer.conn.receive_into(buffer)).result()
    peer.receive(b"def")
    assert peer.start(peer.conn.receive_into(bytearray(6), 3)).result() == len(chunk) + 3
    assert peer.closed is None


def test_a_view_that_is_released_meanwhile_is_not_ours(peer: HandlerHarness) -> None:
    buffer = bytearray(4)
    view = memoryview(buffer)
    call = peer.start(peer.conn.receive_into(view, 4))
    view.release()
    with pytest.raises(BufferError):
        buffer.clear()  # it is still being filled
    peer.receive(b"abcd")
    assert (call.result(), bytes(buffer)) == (4, b"abcd")
    buffer.clear()


def test_what_is_raised_does_not_keep_the_buffer(peer: HandlerHarness) -> None:
    buffer = bytearray(4)

    async def take() -> str:
        try:
            await peer.conn.receive_into(buffer, 4)
        except (anyio.EndOfStream, asyncio.CancelledError) as exc:
            buffer.extend(b"more")  # a BufferError, if a frame of its traceback held a view
            return type(exc).__name__
        return "taken"

    call = peer.start(take())
    peer.receive(b"ab")
    peer.call(call.cancel)
    assert call.result() == "CancelledError"
    assert peer.conn.receive_nowait() == b"ab"
    call = peer.start(take())
    peer.eof()
    assert call.result() == "EndOfStream"


# ── one at a time, and cancelled ─────────────────────────────────────────────────────────────────────────────────────


def test_one_receives_at_a_time(peer: HandlerHarness) -> None:
    call = peer.start(peer.conn.receive_into(bytearray(4), 4))
    for other in (lambda: peer.conn.receive_into(bytearray(1)), peer.conn.receive):
        with pytest.raises(anyio.BusyResourceError):
            peer.start(other()).result()
    peer.receive(b"ab")
    with pytest.raises(anyio.WouldBlock):
        peer.conn.receive_nowait()
    peer.receive(b"cd")
    assert call.result() == 4
    reader = peer.start(peer.conn.receive())
    with pytest.raises(anyio.BusyResourceError):
        peer.start(peer.conn.receive_into(bytearray(1))).result()
    peer.receive(b"ef")
    assert reader.result() == b"ef"


@pytest.mark.parametrize("together", [False, True])
def test_cancelled_it_loses_nothing(peer: HandlerHarness, together: bool) -> None:
    buffer = bytearray(100)
    peer.receive(b"ab")  # taken before it waits
    call = peer.start(peer.conn.receive_into(buffer, 9))
    peer.receive(b"cd")
    peer.receive(b"ef")
    if together:  # all has come, and the task has not heard of it yet

        def both() -> None:
            peer.transport.feed(b"gh" + b"i" * 200)
            call.cancel()

        peer.call(both)
    else:
        peer.call(call.cancel)
        peer.receive(b"gh" + b"i" * 200)
    assert call.cancelled()
    whole = b"abcdefgh" + b"i" * 200
    assert peer.start(peer.conn.receive_into(buffer, 100)).result() == 100
    assert buffer == whole[:100]
    rest = bytearray(108)
    assert peer.start(peer.conn.receive_into(rest, 108)).result() == 108
    assert rest == whole[100:]


def test_cancelled_with_much_it_leaves_pieces_of_moderate_size(peer: HandlerHarness) -> None:
    sent = os.urandom(300_000)
    call = peer.start(peer.conn.receive_into(bytearray(400_000), 400_000))
    peer.receive(sent)
    peer.call(call.cancel)
    pieces = [peer.conn.receive_nowait() for _ in range(len(peer.conn._inbox))]  # type: ignore[attr-defined]
    assert b"".join(pieces) == sent
    peer.receive(b"next")
    assert peer.conn.receive_nowait() == b"next"


def test_a_timeout_loses_nothing(peer: HandlerHarness) -> None:
    async def take(buffer: bytearray) -> None:
        async with asyncio.timeout(5):
            await peer.conn.receive_into(buffer, 4)

    call = peer.start(take(bytearray(4)))
    peer.receive(b"abc")
    peer.advance(6)
    with pytest.raises(TimeoutError):
        call.result()
    assert peer.conn.receive_nowait() == b"abc"


def test_closed_and_cancelled_at_once_there_is_nothing_to_receive(peer: HandlerHarness) -> None:
    call = peer.start(peer.conn.receive_into(bytearray(4), 4))
    peer.receive(b"ab")
    peer.call(lambda: (peer.conn.close(), call.cancel()))
    with pytest.raises(anyio.ClosedResourceError):
        peer.start(peer.conn.receive()).result()


def test_a_call_that_is_thrown_away_leaves_the_connection_as_it_was(peer: HandlerHarness) -> None:
    def begin() -> None:
        step = peer.conn.receive_into(bytearray(4), 4)
        step.send(None)
        peer.transport.feed(b"ab")
        step.close()

    peer.call(begin)
    assert not isinstance(peer.transport.get_protocol(), asyncio.BufferedProtocol)
    peer.receive(b"cd")
    assert [peer.conn.receive_nowait() for _ in "12"] == [b"ab", b"cd"]


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ENDS: dict[str, tuple[Callable[[HandlerHarness], None], type[Exception]]] = {
    "eof": (lambda peer: peer.eof(), anyio.EndOfStream),
    "reset": (lambda peer: peer.reset(), anyio.BrokenResourceError),
    "close": (lambda peer: peer.call(peer.conn.close), anyio.ClosedResourceError),
    "abort": (lambda peer: peer.call(peer.conn.abort), anyio.ClosedResourceError),
    "drain": (lambda peer: peer.drain(), anyio.EndOfStream),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("chunk", [b"", b"ab"])
def test_what_came_is_given_before_the_end(peer: HandlerHarness, end: str, chunk: bytes) -> None:
    happen, error = ENDS[end]
    buffer = bytearray(4)
    call = peer.start(peer.conn.receive_into(buffer, 4))
    peer.receive(chunk)
    happen(peer)
    if chunk:
        assert (call.result(), bytes(buffer)) == (2, b"ab\0\0")
        call = peer.start(peer.conn.receive_into(buffer))
    with pytest.raises(error):
        call.result()
    assert not isinstance(peer.transport.get_protocol(), asyncio.BufferedProtocol)


def test_an_end_inside_a_body_is_a_fault(way: str) -> None:
    with HandlerHarness(Idle(), codec=RequestCodec) as peer:
        peer.receive(b"PUT;size=6 name\nab")
        peer.start(peer.conn.receive()).result()
        call = peer.start(peer.conn.receive_into(bytearray(6), 6))
        peer.receive(b"c")
        peer.eof()
        assert call.result() == 3
        with pytest.raises(anyio.BrokenResourceError, match="3 bytes before the end of the body") as caught:
            peer.start(peer.conn.receive_into(bytearray(6))).result()
        assert isinstance(caught.value.__cause__, IncompleteFrame)


def test_what_was_held_back_is_given_before_the_fault(way: str) -> None:
    with HandlerHarness(Idle(), codec=RequestCodec) as peer:
        conn: Any = peer.conn
        peer.receive(b"PUT;size=6 name\n")
        peer.start(conn.receive()).result()
        peer.call(conn.pause_reading)
        peer.call(conn.data_received, b"ab")  # as TLS: it had been decrypted already
        peer.call(conn.eof_received)
        call = peer.start(conn.receive_into(bytearray(6), 6))
        assert not call.done()
        peer.call(conn.resume_reading)
        assert call.result() == 2
        with pytest.raises(anyio.BrokenResourceError, match="4 bytes before the end of the body"):
            peer.start(conn.receive_into(bytearray(6))).result()


def test_a_codec_that_fails_ends_its_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_Native", MemoryTransport)

    def skip(count: int) -> None:
        raise ZeroDivisionError

    with HandlerHarness(Idle(), codec=lambda: Bodies(skip)) as peer:
        call = peer.start(peer.conn.receive_into(bytearray(4)))
        peer.receive(b"ab")
        (failed,) = peer.failures
        peer.failures.clear()
        assert (failed.where, type(failed.exc)) == ("codec.skip_body", ZeroDivisionError)
        assert call.result() == 2
        assert peer.conn.closing


# ── pausing, limits and deadlines ────────────────────────────────────────────────────────────────────────────────────


def test_paused_it_waits(peer: HandlerHarness) -> None:
    buffer = bytearray(6)
    call = peer.start(peer.conn.receive_into(buffer, 6))
    peer.receive(b"ab")
    peer.call(peer.conn.pause_reading)
    peer.receive(b"cd")
    assert peer.transport.unread == 2
    peer.call(peer.conn.resume_reading)
    peer.receive(b"ef")
    assert (call.result(), bytes(buffer)) == (6, b"abcdef")
    peer.call(peer.conn.pause_reading)
    call = peer.start(peer.conn.receive_into(buffer))
    peer.receive(b"gh")
    assert not call.done()
    peer.call(peer.conn.resume_reading)
    assert (call.result(), bytes(buffer[:2])) == (2, b"gh")


def test_what_went_into_a_buffer_takes_no_room_in_the_inbox(way: str) -> None:
    with HandlerHarness(Idle(), codec=RawCodec, limits=Limits(max_inbound=1000)) as peer:
        call = peer.start(peer.conn.receive_into(bytearray(5000), 5000))
        for _ in range(5):
            peer.receive(b"x" * 1000)
        assert call.result() == 5000
        peer.receive(b"y" * 900)
        assert peer.transport.is_reading()
        peer.receive(b"y" * 200)
        assert not peer.transport.is_reading()
        assert peer.start(peer.conn.receive_into(bytearray(5000))).result() == 1100
        peer.advance()
        assert peer.transport.is_reading()


def test_a_silent_peer_is_idle_and_one_that_sends_is_not(way: str) -> None:
    with HandlerHarness(Idle(), codec=RawCodec, timeouts=Timeouts(idle=10, first_message=8)) as peer:
        call = peer.start(peer.conn.receive_into(bytearray(9), 9))
        for _ in range(8):
            peer.advance(7)
            peer.receive(b"x")
        peer.advance(12)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.IDLE_TIMEOUT
        assert peer.closed.stats.bytes_received == peer.closed.stats.messages_received == 8
        assert call.result() == 8


def test_a_message_behind_a_body_has_a_deadline_of_its_own(way: str) -> None:
    class ThenLines(LineCodec):
        """Eight bytes of a body, and then lines."""

        body_left = 8

        def feed(self, data: bytes) -> list[bytes]:
            piece, rest = data[: self.body_left], data[self.body_left :]
            self.body_left -= len(piece)
            return ([piece] if piece else []) + (super().feed(rest) if rest else [])

        def skip_body(self, count: int) -> None:
            self.body_left -= count

    with HandlerHarness(Idle(), codec=ThenLines, timeouts=Timeouts(first_message=20, message=10, idle=100)) as peer:
        call = peer.start(peer.conn.receive_into(bytearray(8), 8))
        peer.receive(b"a")
        peer.advance(30)
        peer.receive(b"bcdefgh")
        assert call.result() == 8
        peer.receive(b"begun")
        peer.advance(5)
        assert peer.closed is None
        peer.advance(6)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.MESSAGE_TIMEOUT


# ── any order ────────────────────────────────────────────────────────────────────────────────────────────────────────

BODIES = b"".join(b"PUT;size=%d n\n%s" % (size, bytes(range(size))) + b"LIST\n" * (size % 3) for size in (1, 7, 40, 90))
SIZES = st.integers(1, 60)
CALLS = st.one_of(
    SIZES.map(lambda size: ("send", size, 0)),
    st.tuples(st.just("into"), SIZES, SIZES),
    st.sampled_from([("receive", 0, 0), ("next", 0, 0), ("nowait", 0, 0), ("cancel", 0, 0), ("pause", 0, 0)]),
)


@pytest.mark.parametrize("native", [None, MemoryTransport])
@pytest.mark.parametrize("codec", [RawCodec, RequestCodec])
@given(calls=st.lists(CALLS, max_size=40))
def test_in_any_order_each_byte_comes_once(native: Any, codec: Any, calls: list[tuple[str, int, int]]) -> None:
    sent, came = 0, bytearray()
    pending: tuple[asyncio.Task[Any], bytearray | None] | None = None
    limits = Limits(max_inbound=50)
    with mock.patch.object(receiving, "_Native", native), HandlerHarness(Idle(), codec=codec, limits=limits) as peer:
        conn = peer.conn
        for kind, size, at_least in [*calls, ("cancel", 0, 0), ("send", len(BODIES), 0), ("all", 0, 0)]:
            if kind == "send":
                if data := BODIES[sent : sent + size]:
                    peer.receive(data)
                    sent += len(data)
            elif kind == "pause":
                peer.call(conn.pause_reading)
                peer.receive(BODIES[sent : sent + 9])
                sent = min(sent + 9, len(BODIES))
                peer.call(conn.resume_reading)
            elif kind == "nowait":
                with contextlib.suppress(anyio.WouldBlock):
                    came += bytes_of(conn.receive_nowait())
            elif kind == "cancel" and pending is not None:
                peer.call(pending[0].cancel)
            elif kind == "all":
                while len(came) < len(BODIES):
                    came += bytes_of(peer.start(conn.receive()).result())
            elif pending is None and kind == "into":
                buffer = bytearray(size)
                pending = peer.start(conn.receive_into(buffer, min(at_least, size))), buffer
            elif pending is None and kind in ("receive", "next"):
                pending = peer.start(conn.receive() if kind == "receive" else anext(aiter(conn))), None
            if pending is not None and pending[0].done():
                came += outcome(*pending)
                pending = None
        assert came == BODIES
        assert conn.stats.bytes_received == len(BODIES)


def outcome(task: asyncio.Task[Any], buffer: bytearray | None) -> bytes:
    """The bytes that a call has given; none where it was cancelled, or what comes is no body."""
    if task.cancelled() or isinstance(task.exception(), RuntimeError):
        return b""
    return bytes_of(task.result()) if buffer is None else bytes(buffer[: task.result()])


def bytes_of(message: Any) -> bytes:
    if isinstance(message, Request):
        return b"PUT;size=%d n\n" % message.size
    return message.data if isinstance(message, Batch) else bytes(message)
