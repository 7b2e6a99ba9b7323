from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionet import CloseReason, Connection, Group, LineCodec, StreamHandler, Timeouts
from aionet.errors import ConfigError, RouteError
from aionet.events import ConnectionClosed, ConnectionOpened
from aionet.limits import Limits
from aionet.testing import HandlerHarness


class Shout(StreamHandler[bytes]):
    codec = LineCodec()

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        if message == b"fail":
            raise ZeroDivisionError
        conn.write(message.upper())


async def echo(conn: Connection[bytes]) -> None:
    async for line in conn:
        await asyncio.sleep(1)
        await conn.send(line)


def test_the_example_of_its_docstring() -> None:
    with HandlerHarness(Shout()) as peer:
        peer.receive(b"hello\nwor")
        assert peer.sent == b"HELLO\n"
        peer.advance(59)
        assert peer.closed is None
        peer.advance(2)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.MESSAGE_TIMEOUT


def test_chunks_and_writes_are_counted() -> None:
    with HandlerHarness(Shout()) as peer:
        peer.receive(b"a\nb\nc\n", b"d\n")
        assert peer.sent == b"A\nB\nC\nD\n"
        assert peer.writes == 2


def test_a_coroutine_is_driven_by_time() -> None:
    with HandlerHarness(echo, codec=LineCodec()) as peer:
        peer.receive(b"a\nb\n")
        assert peer.sent == b""
        peer.advance(1)
        assert peer.sent == b"a\n"
        peer.advance(1)
        assert peer.sent == b"a\nb\n"


def test_settings_come_from_the_call_then_the_handler_then_the_defaults() -> None:
    class Own(Shout):
        limits = Limits(high_water=200, low_water=20)
        timeouts = Timeouts(first_message=10)

    with HandlerHarness(Own()) as peer:
        assert peer.transport.get_write_buffer_limits() == (20, 200)
        peer.advance(11)
        assert peer.closed
    with HandlerHarness(
        Own(), codec=LineCodec(delimiter=b";"), limits=Limits(high_water=300, low_water=30), timeouts=Timeouts()
    ) as peer:
        assert peer.transport.get_write_buffer_limits() == (30, 300)
        peer.advance(11)
        peer.receive(b"a;")
        assert peer.sent == b"A;"


def test_the_peer_ends_it() -> None:
    for end, reason in (("eof", CloseReason.PEER_CLOSED), ("reset", CloseReason.PEER_RESET)):
        with HandlerHarness(Shout()) as peer:
            getattr(peer, end)()
            assert peer.closed is not None
            assert peer.closed.reason is reason
            assert [type(event) for event in peer.events] == [ConnectionOpened, ConnectionClosed]


def test_a_peer_that_does_not_read() -> None:
    with HandlerHarness(Shout(), limits=Limits(high_water=5, low_water=2)) as peer:
        peer.stall(4)
        peer.receive(b"hello\nworld\n", b"more\n")
        assert peer.transport.taken == b"HELL"
        assert peer.sent == b"HELLO\nWORLD\n"
        assert not peer.conn.writable
        peer.take(2)
        assert peer.transport.taken == b"HELLO\n"
        peer.take()
        assert peer.transport.taken == b"HELLO\nWORLD\nMORE\n"


def test_several_peers_share_a_handler_and_a_clock() -> None:
    group: Group[bytes] = Group()

    class Chat(StreamHandler[bytes]):
        codec = LineCodec()

        def on_connect(self, conn: Connection[bytes]) -> None:
            group.add(conn)

        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            group.broadcast(message, exclude=conn)

    with HandlerHarness(Chat()) as peer:
        others = [peer.connect() for _ in range(3)]
        assert len({one.conn.peername for one in [peer, *others]}) == 4
        peer.receive(b"hello\n")
        assert [other.sent for other in others] == [b"hello\n"] * 3
        others[0].receive(b"hi\n")
        assert peer.sent == b"hi\n"
        others[0].eof()
        assert others[0].closed
        assert not peer.closed
        peer.call(group.broadcast, b"all")
        assert [other.sent for other in others] == [b"hello\n", b"hello\nhi\nall\n", b"hello\nhi\nall\n"]


def test_call_returns_and_raises() -> None:
    with HandlerHarness(Shout()) as peer:
        assert peer.call(lambda a, b: a + b, 1, 2) == 3
        with pytest.raises(ZeroDivisionError):
            peer.call(lambda: 1 / 0)


def test_start_runs_a_task_until_it_waits() -> None:
    async def nap() -> str:
        await asyncio.sleep(5)
        return "awake"

    with HandlerHarness(Shout()) as peer:
        task = peer.start(nap())
        assert not task.done()
        peer.advance(5)
        assert task.result() == "awake"


def test_drain_tells_every_connection() -> None:
    with HandlerHarness(Shout()) as peer:
        other = peer.connect()
        peer.drain()
        assert [one.closed and one.closed.reason for one in (peer, other)] == [CloseReason.SHUTDOWN] * 2


def test_a_failure_that_nobody_expected_is_raised_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError), HandlerHarness(Shout()) as peer:
        peer.receive(b"fail\n")


def test_a_failure_that_was_taken_out_is_not() -> None:
    with HandlerHarness(Shout()) as peer:
        peer.receive(b"fail\n")
        assert type(peer.failures.pop().exc) is ZeroDivisionError


def test_the_tests_own_exception_comes_first() -> None:
    with pytest.raises(KeyError), HandlerHarness(Shout()) as peer:  # noqa: PT012
        peer.receive(b"fail\n")
        raise KeyError


def test_what_reaches_the_loop_is_raised() -> None:
    with HandlerHarness(Shout()) as peer:
        peer.loop.call_soon(lambda: 1 / 0)
        with pytest.raises(RuntimeError, match="reached the event loop"):
            peer.advance()


def test_close_ends_tasks_and_the_loop() -> None:
    seen: list[Any] = []

    async def wait(conn: Connection[bytes]) -> None:
        try:
            await conn.receive()
        except BaseException as exc:
            seen.append(type(exc))
            raise

    peer = HandlerHarness(wait)
    peer.close()
    peer.close()
    assert len(seen) == 1
    assert peer.loop.is_closed()
    assert peer.closed is not None
    assert peer.closed.reason is CloseReason.SHUTDOWN


@pytest.mark.parametrize(("handler", "codec", "error"), [(Shout, None, RouteError), (Shout(), 7, ConfigError)])
def test_what_is_no_handler_or_codec_is_refused(handler: Any, codec: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        HandlerHarness(handler, codec=codec)
