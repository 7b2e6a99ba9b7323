"""``receive``, ``async for`` and ``send`` are coroutines to whoever awaits them, compiled or not."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from aionet import Connection, JsonCodec, LengthPrefixCodec, Limits, LineCodec
from aionet.errors import EncodeError
from aionet.testing import HandlerHarness

Call = Callable[[Connection[Any]], Awaitable[Any]]

CALLS: list[Call] = [
    lambda conn: conn.receive(),
    lambda conn: conn.__anext__(),
    lambda conn: conn.send(b"hello"),
]
call_each = pytest.mark.parametrize("call", CALLS, ids=["receive", "anext", "send"])


async def leave_alone(conn: Connection[Any]) -> None:
    """A handler that reads nothing: the test does."""
    await conn.wait_closed()


def served(**options: Any) -> HandlerHarness:
    return HandlerHarness(leave_alone, codec=LineCodec(), **options)


def coroutine(awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """The same, which it is, though the abstract base class does not promise it."""
    assert isinstance(awaitable, Coroutine)
    return awaitable


def drive(peer: HandlerHarness, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What it returns, or raises; it must not be waiting."""
    task = peer.start(main())
    assert task.done()
    return task.result()


# ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_happens_before_it_is_awaited() -> None:
    with served() as peer:
        sending = peer.conn.send(b"hello")
        peer.receive(b"one\n")
        receiving = peer.conn.receive()
        assert peer.sent == b""
        assert peer.start(peer.conn.receive()).result() == b"one"
        assert peer.start(sending).done()
        assert peer.sent == b"hello\n"
        task = peer.start(receiving)
        assert not task.done()  # its message went to who asked later, and awaited first
        peer.receive(b"two\n")
        assert task.result() == b"two"


def test_the_first_step_answers_where_nothing_is_to_be_waited_for() -> None:
    """Stepped by hand, as a loop would: no future is yielded."""
    with served() as peer:
        peer.receive(b"one\ntwo\n")
        for call, answer in zip(CALLS, (b"one", b"two", None), strict=True):
            stopped: list[Any] = []

            def step(call: Call = call, stopped: list[Any] = stopped) -> None:
                with pytest.raises(StopIteration) as stop:
                    coroutine(call(peer.conn)).send(None)
                stopped.append(stop.value.value)

            peer.call(step)
            assert stopped == [answer]


@pytest.mark.parametrize("message", [[1, 2], [], {"a": 1}, None, "x"])
def test_any_message_is_returned_as_it_is(message: Any) -> None:
    with HandlerHarness(leave_alone, codec=JsonCodec()) as peer:
        peer.receive(JsonCodec().encode(message) * 2)
        assert peer.start(peer.conn.receive()).result() == message

        async def next_one() -> Any:
            async for other in peer.conn:
                return other

        assert drive(peer, next_one) == message


def test_a_message_may_be_a_tuple_or_an_exception() -> None:
    """``StopIteration`` carries what is returned, and must not take it apart."""

    class Odd(LengthPrefixCodec):
        def feed(self, data: bytes) -> list[Any]:
            return [(1, 2), ValueError("a value"), StopIteration(3)]

    with HandlerHarness(leave_alone, codec=Odd) as peer:
        peer.receive(b"go")
        assert peer.start(peer.conn.receive()).result() == (1, 2)
        error = peer.start(peer.conn.receive()).result()
        assert isinstance(error, ValueError)
        stop = drive(peer, lambda: wrapped(peer.conn.receive()))
        assert isinstance(stop, StopIteration)
        assert stop.value == 3


async def wrapped(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


# ── used wrongly ─────────────────────────────────────────────────────────────────────────────────────────────────────


@call_each
def test_awaiting_twice_is_an_error(call: Call) -> None:
    with served() as peer:
        peer.receive(b"one\ntwo\n")
        awaitable = call(peer.conn)
        drive(peer, lambda: wrapped(awaitable))
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            drive(peer, lambda: wrapped(awaitable))
        coroutine(awaitable).close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            coroutine(awaitable).throw(ValueError())


@call_each
def test_one_that_nobody_awaits_warns(call: Call) -> None:
    with served() as peer:
        with pytest.warns(RuntimeWarning, match="was never awaited"):
            call(peer.conn)
        assert peer.sent == b""


@call_each
def test_one_that_was_closed_or_awaited_does_not_warn(call: Call) -> None:
    with served() as peer:
        peer.receive(b"one\n")
        coroutine(call(peer.conn)).close()
        drive(peer, lambda: wrapped(call(peer.conn)))
        gc.collect()


@call_each
def test_the_first_step_takes_no_value(call: Call) -> None:
    with served() as peer:
        awaitable = coroutine(call(peer.conn))
        with pytest.raises(TypeError, match="just-started"):
            awaitable.send("a value")
        awaitable.close()


@call_each
def test_what_is_thrown_in_before_the_first_step_comes_out(call: Call) -> None:
    with served() as peer:
        for thrown in (ZeroDivisionError("a reason"), ZeroDivisionError):
            awaitable = coroutine(call(peer.conn))
            with pytest.raises(ZeroDivisionError):
                awaitable.throw(thrown)
            with pytest.raises(RuntimeError, match="cannot reuse"):
                awaitable.send(None)
        assert peer.sent == b""


def test_what_cannot_be_encoded_raises_and_leaves_the_connection_open() -> None:
    with served() as peer:
        with pytest.raises(EncodeError):
            drive(peer, lambda: wrapped(peer.conn.send(b"two\nlines")))
        assert peer.start(peer.conn.send(b"one line")).done()
        assert peer.sent == b"one line\n"


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sending_waits_for_a_peer_that_does_not_read() -> None:
    with served(limits=Limits(high_water=1000, low_water=100)) as peer:
        peer.stall()
        task = peer.start(peer.conn.send(b"x" * 2000))
        assert task.done()  # it left at the end of the tick: the next one meets the congestion
        waiting = peer.start(peer.conn.send(b"y"))
        assert not waiting.done()
        peer.take()
        assert waiting.done()
        assert peer.sent == b"x" * 2000 + b"\ny\n"


@pytest.mark.parametrize("exc", [asyncio.CancelledError, ValueError])
def test_what_is_thrown_in_while_it_waits_comes_out(exc: type[BaseException]) -> None:
    with served() as peer:
        raised: list[type[BaseException]] = []

        async def wait() -> None:
            receiving = coroutine(peer.conn.receive())
            future = receiving.send(None)
            future.cancel()
            try:
                receiving.throw(exc)
            except BaseException as found:
                raised.append(type(found))

        drive(peer, wait)
        assert raised == [exc]
        peer.receive(b"one\n")
        assert peer.start(peer.conn.receive()).result() == b"one"


def test_closed_while_it_waits_it_makes_room_for_the_next() -> None:
    with served() as peer:

        async def begin_and_close() -> None:
            receiving = coroutine(peer.conn.receive())
            receiving.send(None)
            receiving.close()

        drive(peer, begin_and_close)
        peer.receive(b"one\n")
        assert peer.start(peer.conn.receive()).result() == b"one"


def test_one_that_is_dropped_while_it_waits_makes_room_for_the_next() -> None:
    with served() as peer:

        async def begin_and_drop() -> None:
            receiving = coroutine(peer.conn.receive())
            receiving.send(None)
            del receiving
            gc.collect()

        drive(peer, begin_and_drop)
        peer.receive(b"one\n")
        assert peer.start(peer.conn.receive()).result() == b"one"


def test_woken_for_nothing_it_waits_on() -> None:
    """By a loop of one's own, or a test: the message comes when it comes."""
    with served() as peer:
        answers: list[Any] = []

        async def step_by_hand() -> None:
            receiving = coroutine(peer.conn.receive())
            futures = [receiving.send(None)]
            futures[0].set_result(None)
            futures.append(receiving.send(None))
            assert futures[0] is not futures[1]
            peer.transport.feed(b"one\n")
            assert futures[1].done()
            try:
                receiving.send(None)
            except StopIteration as stop:
                answers.append(stop.value)

        drive(peer, step_by_hand)
        assert answers == [b"one"]


@call_each
def test_a_task_cancelled_before_its_first_step_does_nothing(call: Call) -> None:
    with served() as peer:

        async def cancel() -> None:
            task = asyncio.ensure_future(call(peer.conn))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        drive(peer, cancel)
        assert peer.sent == b""


# ── with everything that takes coroutines ────────────────────────────────────────────────────────────────────────────


def test_asyncio_takes_it() -> None:
    async def main() -> None:
        peer.transport.feed(b"1\n2\n3\n4\n5\n")
        conn = peer.conn
        assert await asyncio.create_task(coroutine(conn.receive())) == b"1"
        assert await asyncio.wait_for(conn.receive(), 1) == b"2"
        assert (await asyncio.gather(conn.receive(), conn.send(b"a")))[0] == b"3"
        assert await asyncio.shield(conn.receive()) == b"4"
        async with asyncio.timeout(1):
            assert await anext(conn) == b"5"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(conn.receive(), 0.01)

    with served() as peer:
        peer.start(main())
        peer.advance(1)
        assert peer.sent == b"a\n"


def test_anyio_takes_it() -> None:
    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peer.conn.send, b"a")
            tasks.start_soon(peer.conn.receive)
            await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(0.01) as scope:
            await peer.conn.receive()
        assert scope.cancelled_caught
        done.append(True)

    done: list[bool] = []
    with served() as peer:
        peer.start(main())
        peer.advance(1)
        assert done
        assert peer.sent == b"a\n"


def test_debuggers_see_where_it_waits() -> None:
    with served() as peer:
        receiving: Any = peer.conn.receive()
        assert "receive" in receiving.__qualname__
        task = peer.start(receiving)
        assert inspect.getcoroutinestate(receiving) == inspect.CORO_SUSPENDED
        assert receiving.cr_await is not None
        assert "receive" in repr(task)
        peer.receive(b"one\n")
        assert inspect.getcoroutinestate(receiving) == inspect.CORO_CLOSED
        assert receiving.cr_await is None
        waiting = peer.start(wrapped(peer.conn.receive()))
        (frame,) = waiting.get_stack()
        assert frame.f_code is wrapped.__code__
