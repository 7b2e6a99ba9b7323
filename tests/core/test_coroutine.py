"""Coroutine style and async on_message: the inbox, what ends it, the task, and that cancellation loses nothing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from aionet import CloseReason, Connection, LengthPrefixCodec, LineCodec, Router, Server
from aionet.errors import FrameTooLarge, MalformedFrame
from aionet.events import ConnectionClosed
from aionet.limits import Limits
from aionet.testing import HandlerHarness

from .stream_tools import LINGER, AsyncRecorder

LINES = LineCodec(max_size=100)


class Script:
    """An ``async def handler(conn)`` that waits to be told; the test is in its task's place."""

    def __init__(self) -> None:
        self.ended: list[BaseException | None] = []
        self.go_home = asyncio.Event()

    async def __call__(self, conn: Connection[Any]) -> None:
        try:
            await self.go_home.wait()
        except BaseException as exc:
            self.ended.append(exc)
            raise
        self.ended.append(None)


def reader(seen: list[Any], after: Callable[[Connection[Any]], Any] | None = None) -> Any:
    """A handler that reads everything, notes what ends it, and then does ``after``."""

    async def handler(conn: Connection[Any]) -> None:
        try:
            async for message in conn:
                seen.append(message)  # noqa: PERF401 - one by one
            seen.append("end")
        except Exception as exc:
            seen.append(type(exc))
        if after is not None:
            await after(conn)

    return handler


# ── receiving ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_messages_are_received_in_order_and_answered() -> None:
    async def echo(conn: Connection[bytes]) -> None:
        async for line in conn:
            await conn.send(line)

    with HandlerHarness(echo, codec=LINES) as peer:
        peer.receive(b"one\ntwo\nth", b"ree\n")
        assert peer.sent == b"one\ntwo\nthree\n"
        assert peer.writes == 1
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


def test_receive_waits_and_raises_at_the_end() -> None:
    with HandlerHarness(Script(), codec=LINES) as peer:
        first = peer.start(peer.conn.receive())
        assert not first.done()
        peer.receive(b"one\ntwo\n")
        assert first.result() == b"one"
        assert peer.start(peer.conn.receive()).result() == b"two"
        last = peer.start(peer.conn.receive())
        peer.eof()
        assert isinstance(last.exception(), anyio.EndOfStream)
        assert isinstance(peer.start(peer.conn.receive()).exception(), anyio.EndOfStream)


def test_two_receivers_at_once_are_a_mistake() -> None:
    with HandlerHarness(Script(), codec=LINES) as peer:
        first = peer.start(peer.conn.receive())
        assert isinstance(peer.start(peer.conn.receive()).exception(), anyio.BusyResourceError)
        peer.receive(b"one\n")
        assert first.result() == b"one"


def test_a_second_receiver_does_not_overtake_one_that_is_being_woken() -> None:
    with HandlerHarness(Script(), codec=LINES) as peer:
        first = peer.start(peer.conn.receive())
        second: list[asyncio.Task[Any]] = []
        peer.loop.call_soon(lambda: second.append(peer.loop.create_task(peer.conn.receive())))
        peer.receive(b"one\n")
        assert first.result() == b"one"
        for task in second:
            assert isinstance(task.exception(), anyio.BusyResourceError)


@pytest.mark.parametrize("arrived", [False, True])
def test_cancelled_receive_loses_nothing(arrived: bool) -> None:
    """Cancelled while it waits, or in the very tick in which its message has come."""
    with HandlerHarness(Script(), codec=LINES) as peer:
        task = peer.start(peer.conn.receive())
        if arrived:
            peer.loop.call_soon(peer.transport.feed, b"one\n")
        peer.loop.call_soon(task.cancel)
        peer.advance()
        assert task.cancelled()
        if not arrived:
            peer.receive(b"one\n")
        assert peer.start(peer.conn.receive()).result() == b"one"


ENDS: list[tuple[str, Callable[[HandlerHarness], None], type[Exception]]] = [
    ("close", lambda peer: peer.call(peer.conn.close), anyio.ClosedResourceError),
    ("abort", lambda peer: peer.call(peer.conn.abort), anyio.ClosedResourceError),
    ("reset", lambda peer: peer.reset(), anyio.BrokenResourceError),
    ("idle", lambda peer: peer.advance(400), anyio.BrokenResourceError),
    ("fault", lambda peer: peer.receive(b"x" * 200), anyio.BrokenResourceError),
    ("eof", lambda peer: peer.eof(), anyio.EndOfStream),
    ("lost", lambda peer: peer.call(peer.transport.lose), anyio.EndOfStream),
]


@pytest.mark.parametrize(("end", "error"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
def test_receive_raises_what_ended_the_connection(
    end: Callable[[HandlerHarness], None], error: type[Exception]
) -> None:
    with HandlerHarness(Script(), codec=LINES) as peer:
        waiting = peer.start(peer.conn.receive())
        end(peer)
        late = peer.start(peer.conn.receive())
        assert type(waiting.exception()) is error
        assert type(late.exception()) is error


def test_what_came_before_a_reset_is_still_received() -> None:
    seen: list[Any] = []
    with HandlerHarness(reader(seen), codec=LINES) as peer:
        peer.loop.call_soon(peer.transport.feed, b"one\ntwo\n")
        peer.loop.call_soon(peer.transport.lose, ConnectionResetError(104, "reset"))
        peer.advance()
        assert seen == [b"one", b"two", anyio.BrokenResourceError]


def test_a_fault_is_met_behind_the_good_messages_and_may_be_answered() -> None:
    seen: list[Any] = []

    async def explain(conn: Connection[bytes]) -> None:
        await conn.send(b"too long")

    with HandlerHarness(reader(seen, explain), codec=LineCodec(max_size=10)) as peer:
        peer.receive(b"one\ntwo\n" + b"x" * 20)
        assert seen == [b"one", b"two", anyio.BrokenResourceError]
        assert peer.sent == b"too long\n"
        assert peer.transport.eof_sent
        assert not peer.transport.lost
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.FRAMING_ERROR
        assert isinstance(peer.closed.exc, FrameTooLarge)


def test_the_cause_of_a_break_is_the_fault() -> None:
    with HandlerHarness(Script(), codec=LineCodec(max_size=10)) as peer:
        peer.receive(b"x" * 20)
        error = peer.start(peer.conn.receive()).exception()
        assert error is not None
        assert isinstance(error.__cause__, FrameTooLarge)


def test_a_coroutine_that_lags_is_not_read_further() -> None:
    with HandlerHarness(Script(), codec=LengthPrefixCodec(), limits=Limits(max_inbound=1000)) as peer:
        frame = LengthPrefixCodec().encode(bytes(96))
        peer.receive(*[frame] * 20)
        assert not peer.transport.is_reading()
        assert peer.transport.unread == 900  # 1,100 are in the inbox: the first chunk above the limit is the last
        for _ in range(20):
            assert peer.start(peer.conn.receive()).result() == bytes(96)
        assert peer.transport.is_reading()
        peer.receive(frame)
        assert peer.start(peer.conn.receive()).done()


def test_a_message_that_came_in_pieces_larger_than_the_limit_is_received() -> None:
    with HandlerHarness(Script(), codec=LengthPrefixCodec(), limits=Limits(max_inbound=1000)) as peer:
        frame = LengthPrefixCodec().encode(bytes(5000))
        for _ in range(3):
            peer.receive(frame[:2000], frame[2000:])
            assert len(peer.start(peer.conn.receive()).result()) == 5000


def test_a_paused_connection_holds_back_from_its_coroutine_too() -> None:
    seen: list[Any] = []
    with HandlerHarness(reader(seen), codec=LINES) as peer:
        peer.call(peer.conn.pause_reading)
        peer.receive(b"one\n")
        assert seen == []
        peer.call(peer.conn.resume_reading)
        assert seen == [b"one"]


def test_a_congested_coroutine_is_still_read() -> None:
    """Two ends that both stop reading while they cannot write would wait for ever."""
    seen: list[Any] = []
    with HandlerHarness(reader(seen), codec=LengthPrefixCodec()) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(100_000))
        peer.receive(LengthPrefixCodec().encode(b"one"))
        assert seen == [b"one"]


# ── the task ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_returning_closes_behind_what_waits() -> None:
    async def greet(conn: Connection[bytes]) -> None:
        conn.write(b"hello")

    with HandlerHarness(greet, codec=LINES) as peer:
        assert peer.sent == b"hello\n"
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.LOCAL_CLOSED


def test_an_exception_ends_the_connection_and_is_reported_once() -> None:
    async def fail(conn: Connection[bytes]) -> None:
        await conn.send(b"hello")
        await conn.receive()
        raise ZeroDivisionError

    with HandlerHarness(fail, codec=LINES) as peer:
        other = peer.connect()
        peer.receive(b"x\n")
        failure = peer.failures.pop()
        assert (failure.where, type(failure.exc)) == ("handler", ZeroDivisionError)
        assert peer.failures == []
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.HANDLER_ERROR
        assert peer.closed.exc is failure.exc
        assert not other.closed


@pytest.mark.parametrize("end", ["eof", "reset", "close"])
def test_running_into_the_end_of_the_connection_is_no_failure(end: str) -> None:
    async def careless(conn: Connection[bytes]) -> None:
        while True:
            await conn.send(await conn.receive())

    with HandlerHarness(careless, codec=LINES) as peer:
        peer.call(peer.conn.close) if end == "close" else getattr(peer, end)()
        assert peer.closed is not None
        assert peer.closed.reason is not CloseReason.HANDLER_ERROR


def test_the_end_of_another_stream_is_a_failure() -> None:
    async def relay(conn: Connection[bytes]) -> None:
        raise anyio.EndOfStream

    with HandlerHarness(relay, codec=LINES) as peer:
        assert isinstance(peer.failures.pop().exc, anyio.EndOfStream)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.HANDLER_ERROR


def test_the_end_is_told_once_the_task_has_ended() -> None:
    release = asyncio.Event()

    async def slow_to_leave(conn: Connection[bytes]) -> None:
        await release.wait()

    with HandlerHarness(slow_to_leave, codec=LINES) as peer:
        peer.reset()
        peer.advance(10)
        assert peer.transport.lost
        assert not peer.closed
        peer.call(release.set)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_RESET


def test_a_task_cancelled_at_the_drain_deadline_ends_its_connection() -> None:
    script = Script()
    peer = HandlerHarness(script, codec=LINES)
    peer.close()
    assert isinstance(script.ended[0], asyncio.CancelledError)
    assert peer.closed is not None
    assert peer.closed.reason is CloseReason.SHUTDOWN


def test_a_task_that_swallows_its_cancellation_ends_its_connection_when_it_returns() -> None:
    async def stubborn(conn: Connection[bytes]) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(5)

    with HandlerHarness(stubborn, codec=LINES) as peer:
        peer.call(peer._cut)
        assert not peer.closed
        peer.advance(5)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.SHUTDOWN


# ── drain ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_at_drain_the_stream_ends_and_goodbye_can_be_said() -> None:
    seen: list[Any] = []

    async def goodbye(conn: Connection[bytes]) -> None:
        await conn.send(b"goodbye")

    with HandlerHarness(reader(seen, goodbye), codec=LINES) as peer:
        peer.receive(b"one\n")
        peer.drain()
        assert seen == [b"one", "end"]
        assert peer.sent == b"goodbye\n"
        peer.advance(LINGER)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.SHUTDOWN


def test_at_drain_what_had_come_is_still_received_and_nothing_after_it() -> None:
    seen: list[Any] = []

    async def slow(conn: Connection[bytes]) -> None:
        async for message in conn:
            await asyncio.sleep(1)
            seen.append(message)
        seen.append("end")

    with HandlerHarness(slow, codec=LINES) as peer:
        peer.receive(b"one\ntwo\nthree\n")
        peer.drain()
        for _ in range(10):
            if not peer.transport.lost:
                peer.receive(b"late\n")
            peer.advance(0.5)
        assert seen == [b"one", b"two", b"three", "end"]
        peer.advance(LINGER)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.SHUTDOWN


def test_drain_behind_the_end_of_the_stream_changes_nothing() -> None:
    seen: list[Any] = []
    release = asyncio.Event()

    async def wait(conn: Connection[bytes]) -> None:
        await release.wait()

    with HandlerHarness(reader(seen, wait), codec=LINES) as peer:
        peer.eof()
        peer.drain()
        assert seen == ["end"]
        peer.call(release.set)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


# ── async on_message ─────────────────────────────────────────────────────────────────────────────────────────────────


async def a_second(conn: Connection[Any], message: Any) -> None:
    await asyncio.sleep(1)


def test_async_messages_are_served_one_at_a_time_in_order() -> None:
    handler = AsyncRecorder(awaits=a_second)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n", b"three\n")
        peer.eof()
        peer.advance(10)
        assert handler.names == [
            "on_connect", *["on_message", "done"] * 3, "on_eof", "on_close"
        ]  # fmt: skip
        assert handler.messages == [b"one", b"two", b"three"]


def test_async_messages_behind_a_close_are_discarded() -> None:
    handler = AsyncRecorder(on_message=lambda conn, message: conn.close())
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        assert handler.messages == [b"one"]
        peer.eof()  # until then it lingers: what was discarded must not reset the connection
        assert handler.reason is CloseReason.LOCAL_CLOSED


def test_on_close_waits_for_the_message_in_hand() -> None:
    handler = AsyncRecorder(awaits=a_second)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\n")
        peer.reset()
        assert handler.names == ["on_connect", "on_message"]
        peer.advance(2)
        assert handler.names == ["on_connect", "on_message", "done", "on_close"]
        assert handler.reason is CloseReason.PEER_RESET


def test_on_fault_comes_behind_the_messages_in_hand() -> None:
    handler = AsyncRecorder(LineCodec(max_size=10), awaits=a_second)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n" + b"x" * 20)
        peer.advance(2.5)
        assert handler.names == ["on_connect", *["on_message", "done"] * 2, "on_fault"]
        peer.eof()
        assert handler.reason is CloseReason.FRAMING_ERROR


def test_on_drain_comes_behind_the_messages_in_hand() -> None:
    handler = AsyncRecorder(awaits=a_second)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        peer.drain()
        assert "on_drain" not in handler.names
        peer.advance(5)
        assert handler.names == ["on_connect", *["on_message", "done"] * 2, "on_drain", "on_close"]
        assert handler.reason is CloseReason.SHUTDOWN


@pytest.mark.parametrize("first", ["eof", "drain"])
def test_a_connection_kept_open_by_its_handler_lives_until_it_is_closed(first: str) -> None:
    handler = AsyncRecorder(on_eof=lambda conn: None, on_drain=lambda conn: conn.write(b"one moment"))
    with HandlerHarness(handler) as peer:
        getattr(peer, first)()
        peer.advance(10)
        assert handler.names == ["on_connect", f"on_{first}"]
        peer.call(peer.conn.close)
        peer.advance(LINGER)
        assert handler.names[-1] == "on_close"


def test_on_drain_is_called_behind_on_eof_as_well() -> None:
    """Who stays open at the end of the stream must hear that the server leaves."""
    handler = AsyncRecorder(on_eof=lambda conn: None)
    with HandlerHarness(handler) as peer:
        peer.eof()
        peer.drain()
        assert handler.names == ["on_connect", "on_eof", "on_drain", "on_close"]
        assert handler.reason is CloseReason.SHUTDOWN


def test_a_connection_lost_without_an_end_is_not_told_to_drain() -> None:
    handler = AsyncRecorder()
    with HandlerHarness(handler) as peer:
        peer.call(peer.transport.lose)
        assert handler.names == ["on_connect", "on_close"]
        assert handler.reason is CloseReason.PEER_CLOSED


def test_on_writable_is_called_in_async_style() -> None:
    handler = AsyncRecorder(LengthPrefixCodec())
    with HandlerHarness(handler) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(100_000))
        peer.take()
        assert "on_writable" in handler.names


def test_an_async_message_that_fails_ends_the_connection() -> None:
    async def fail(conn: Connection[Any], message: Any) -> None:
        raise MalformedFrame("ours")

    handler = AsyncRecorder(awaits=fail)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        assert handler.messages == [b"one"]
        peer.advance(LINGER)
        assert handler.reason is CloseReason.HANDLER_ERROR
        assert isinstance(peer.failures.pop().exc, MalformedFrame)


# ── on a real socket ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_connection_reset_before_it_was_accepted_whose_task_ends_later_is_reported() -> None:
    script, closed = Script(), asyncio.Queue[ConnectionClosed]()
    router = Router()
    router.add("tcp://127.0.0.1:0", script)
    async with Server(router) as server:
        server.events.subscribe(closed.put_nowait, ConnectionClosed)
        with socket.create_connection((server.addresses[0].host, server.addresses[0].port)) as sock:
            own = sock.getsockname()
            sock.sendall(b"x")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.05)  # it is accepted and lost meanwhile
        script.go_home.set()
        assert (await asyncio.wait_for(closed.get(), 10)).peer in (None, own)  # uvloop cannot tell any more
        assert server.connections == 0


def test_what_has_come_is_taken_without_waiting() -> None:
    taken: list[bytes] = []

    async def handler(conn: Connection[bytes]) -> None:
        with pytest.raises(anyio.WouldBlock):
            conn.receive_nowait()
        taken.append(await conn.receive())
        taken.append(conn.receive_nowait())
        with pytest.raises(anyio.WouldBlock):
            conn.receive_nowait()
        await conn.send(b"done")

    with HandlerHarness(handler, codec=LINES) as peer:
        peer.receive(b"a\nb\n")
        assert peer.sent == b"done\n"
        assert taken == [b"a", b"b"]


def test_what_was_held_back_is_received_before_the_fault() -> None:
    seen: list[Any] = []
    with HandlerHarness(reader(seen), codec=LineCodec(max_size=8)) as peer:
        conn: Any = peer.conn
        peer.call(conn.pause_reading)
        peer.call(conn.data_received, b"good\n" + b"x" * 20)  # as TLS: it had been decrypted already
        assert seen == []
        peer.call(conn.resume_reading)
        assert seen == [b"good", anyio.BrokenResourceError]
        peer.advance(LINGER)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.FRAMING_ERROR


def test_what_was_held_back_is_received_before_a_drain_ends_the_stream() -> None:
    seen: list[Any] = []
    with HandlerHarness(reader(seen), codec=LINES) as peer:
        conn: Any = peer.conn
        peer.call(conn.pause_reading)
        peer.call(conn.data_received, b"one\ntwo\n")  # as TLS: it had been decrypted already
        assert seen == []
        peer.drain()
        assert seen == [b"one", b"two", "end"]
