"""``on_message_nowait``: what is answered at once, what is left to the task, in which order, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import CloseReason, Connection, JsonCodec, LineCodec, Router, Server, StreamHandler
from aionet.core.prompt import AT_ONCE
from aionet.errors import RouteError
from aionet.limits import Limits
from aionet.services.files.web.codec import HttpCodec
from aionet.testing import HandlerHarness, MemoryTransport

from .stream_tools import LINGER


class Prompt(StreamHandler[bytes]):
    """Answers at once what begins with a small letter; notes who has answered what."""

    codec = LineCodec(max_size=1 << 20)

    def __init__(self, nowait: Callable[[Connection[bytes], bytes], None] | None = None) -> None:
        self.at_once: list[bytes] = []
        self.awaited: list[bytes] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._nowait = nowait

    def on_message_nowait(self, conn: Connection[bytes], message: bytes) -> bool:
        if not message[:1].islower():
            return False
        self.at_once.append(message)
        conn.write(message)
        if self._nowait is not None:
            self._nowait(conn, message)
        return True

    async def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        self.awaited.append(message)
        await self.go_on.wait()
        await conn.send(message)


def test_what_can_be_is_answered_at_once_with_one_write_and_no_turn_of_the_loop() -> None:
    handler = Prompt()
    with HandlerHarness(handler) as peer:
        peer.transport.feed(b"one\ntwo\nthree\n")  # no turn of the loop follows
        assert peer.sent == b"one\ntwo\nthree\n"
        assert peer.writes == 1
        assert handler.awaited == []
        assert (peer.conn.stats.messages_received, peer.conn.stats.messages_sent) == (3, 3)
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


def test_the_rest_is_awaited_and_what_follows_waits_for_its_turn() -> None:
    handler = Prompt()
    with HandlerHarness(handler) as peer:
        handler.go_on.clear()
        peer.receive(b"a\nB\nc\n", b"d\n")
        assert peer.sent == b"a\n"
        assert handler.awaited == [b"B"]
        peer.receive(b"e\n")
        assert handler.at_once == [b"a"]
        peer._stage.call(handler.go_on.set)
        assert peer.sent == b"a\nB\nc\nd\ne\n"
        assert (handler.at_once, handler.awaited) == ([b"a", b"c", b"d", b"e"], [b"B"])
        peer.transport.feed(b"f\n")
        assert peer.sent.endswith(b"e\nf\n")


def test_a_message_is_offered_once() -> None:
    offered: list[bytes] = []

    class Never(Prompt):
        def on_message_nowait(self, conn: Connection[bytes], message: bytes) -> bool:
            offered.append(message)
            return False

    handler = Never()
    with HandlerHarness(handler) as peer:
        peer.receive(b"A\nA\nA\n", b"A\n")
        assert offered == [b"A"] * 4
        assert handler.awaited == [b"A"] * 4


def test_others_have_their_turn_between_many() -> None:
    handler = Prompt()
    with HandlerHarness(handler) as peer:
        seen: list[int] = []

        def look() -> None:
            seen.append(len(handler.at_once))
            if len(handler.at_once) < 10 * AT_ONCE:
                peer._stage.loop.call_soon(look)

        peer._stage.loop.call_soon(look)
        peer.receive(b"".join(b"m%d\n" % number for number in range(10 * AT_ONCE)))
        assert handler.awaited == []
        assert peer.sent == b"".join(b"m%d\n" % number for number in range(10 * AT_ONCE))
        steps = [after - before for before, after in pairwise(seen)]
        assert max(steps) <= AT_ONCE
        assert len(set(seen)) >= 10


def test_nothing_is_answered_at_once_while_the_peer_does_not_read() -> None:
    handler = Prompt()
    with HandlerHarness(handler, limits=Limits(high_water=1024, low_water=256)) as peer:
        peer.stall()
        peer.receive(b"x" * 2000 + b"\n")
        assert len(handler.at_once) == 1
        peer.receive(b"a\nb\n")
        assert handler.awaited == [b"a"]  # whose send waits for room
        assert len(handler.at_once) == 1
        peer.take()
        assert peer.sent.endswith(b"x\na\nb\n")
        assert handler.at_once[1:] == [b"b"]


@pytest.mark.parametrize("chunk", [b"stop\nnot this\n", b"STOP\nstop\nnot this\n"])
def test_what_follows_a_close_is_discarded(chunk: bytes) -> None:
    def close(conn: Connection[bytes], message: bytes) -> None:
        conn.close()

    handler = Prompt(close)
    with HandlerHarness(handler) as peer:
        peer.receive(chunk)
        assert handler.at_once == [b"stop"]
        assert peer.sent == chunk.removesuffix(b"not this\n")
        peer.advance(LINGER)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.LOCAL_CLOSED


@pytest.mark.parametrize("chunk", [b"stop\nnot this\n", b"STOP\nstop\nnot this\n"])
def test_nothing_is_offered_after_an_abort(chunk: bytes) -> None:
    def abort(conn: Connection[bytes], message: bytes) -> None:
        conn.abort()

    handler = Prompt(abort)
    with HandlerHarness(handler) as peer:
        peer.receive(chunk)
        assert handler.at_once == [b"stop"]


def test_a_handler_that_uses_several_at_once_has_each_of_them_once() -> None:
    def more(conn: Connection[bytes], message: bytes) -> None:
        with contextlib.suppress(anyio.WouldBlock):
            handler.at_once.append(conn.receive_nowait())

    handler = Prompt(more)
    with HandlerHarness(handler) as peer:
        peer.call(peer.transport.feed, b"a\nb\nc\n")
        peer.receive(b"d\n")

        def begin() -> None:  # before the task of this connection has begun to wait
            MemoryTransport(peer.loop, conn, {}).connect()
            conn.data_received(b"e\nf\ng\n")

        conn: Any = peer._stage._make()
        peer.call(begin)
    assert handler.at_once == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]


def test_a_message_that_is_none_is_offered_like_any() -> None:
    offered: list[Any] = []
    awaited: list[Any] = []

    class Nulls(StreamHandler[Any]):
        codec = JsonCodec()

        def on_message_nowait(self, conn: Connection[Any], message: Any) -> bool:
            offered.append(message)
            return message is None

        async def on_message(self, conn: Connection[Any], message: Any) -> None:
            awaited.append(message)

    with HandlerHarness(Nulls()) as peer:
        peer.receive(b"1\nnull\nnull\n")
    assert (offered, awaited) == ([1, None, None], [1])


def test_a_handler_that_pauses_in_it_has_answered_that_message_once() -> None:
    def pause(conn: Connection[bytes], message: bytes) -> None:
        if message == b"pause":
            conn.pause_reading()

    handler = Prompt(pause)
    with HandlerHarness(handler) as peer:
        peer.receive(b"pause\nthen\n")
        assert handler.at_once == [b"pause", b"then"]  # by the task: pausing holds up what has not been read
        peer._stage.call(peer.conn.resume_reading)
        peer.receive(b"more\n")
        assert peer.sent == b"pause\nthen\nmore\n"


@pytest.mark.parametrize(("chunk", "where"), [(b"boom\n", "on_message_nowait"), (b"A\nboom\n", "handler")])
def test_what_it_raises_closes_that_connection(chunk: bytes, where: str) -> None:
    def boom(conn: Connection[bytes], message: bytes) -> None:
        raise ZeroDivisionError

    with HandlerHarness(Prompt(boom)) as peer:
        peer.receive(chunk)
        (failed,) = peer.failures
        peer.failures.clear()
        assert (failed.where, type(failed.exc)) == (where, ZeroDivisionError)
        assert peer.sent == chunk  # what was written before leaves
        peer.advance(LINGER)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.HANDLER_ERROR


def test_a_codec_that_gives_a_slice_at_a_time_is_asked_for_the_rest() -> None:
    class Ok(StreamHandler[Any]):
        codec = HttpCodec
        count = 0

        def on_message_nowait(self, conn: Connection[Any], message: Any) -> bool:
            self.count += 1
            conn.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            return True

        async def on_message(self, conn: Connection[Any], message: Any) -> None:
            raise AssertionError

    handler = Ok()
    with HandlerHarness(handler) as peer:
        peer.receive(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)
        assert handler.count == 2000
        assert peer.sent.count(b"204") == 2000


def test_a_message_that_comes_with_the_end_is_answered_first() -> None:
    handler = Prompt()
    with HandlerHarness(handler) as peer:
        peer.transport.feed(b"last\n")
        peer.eof()
        assert peer.sent == b"last\n"
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


def test_a_handler_that_could_not_take_what_is_left_is_refused() -> None:
    class NoTask(StreamHandler[bytes]):
        def on_message_nowait(self, conn: Connection[bytes], message: bytes) -> bool:
            return True

    with pytest.raises(RouteError, match="no async on_message"):
        Router().add("tcp://127.0.0.1:0", NoTask())

    class Waits(Prompt):
        async def on_message_nowait(self, conn: Connection[bytes], message: bytes) -> bool:  # type: ignore[override]
            return True

    with pytest.raises(RouteError, match="plain function"):
        Router().add("tcp://127.0.0.1:0", Waits())


STEPS = st.one_of(
    st.integers(1, 40).map(lambda size: ("send", size)),
    st.sampled_from([("pause", 0), ("resume", 0), ("stall", 0), ("take", 0), ("hold", 0), ("go on", 0), ("tick", 0)]),
)
LINES = [b"%c%d%s" % (b"aaaA"[number % 4], number, b"." * (number % 9)) for number in range(60)]


@given(steps=st.lists(STEPS, max_size=40))
def test_in_any_order_each_is_answered_once(steps: list[tuple[str, int]]) -> None:
    """Whatever the peer, the handler and the network do meanwhile: one answer each, in order."""
    handler = Prompt()
    stream, sent = b"".join(line + b"\n" for line in LINES), 0
    limits = Limits(high_water=20, low_water=5, max_inbound=30)
    with HandlerHarness(handler, limits=limits) as peer:
        calls: dict[str, Callable[[], object]] = {
            "pause": peer.conn.pause_reading,
            "resume": peer.conn.resume_reading,
            "stall": peer.transport.stall,
            "take": peer.transport.take,
            "hold": handler.go_on.clear,
            "go on": handler.go_on.set,
            "tick": lambda: None,
        }
        rest = [("resume", 0), ("take", 0), ("go on", 0), ("send", len(stream)), ("tick", 0)]
        for kind, size in steps + rest:
            if kind == "send":
                peer.transport.feed(stream[sent : sent + size])  # the task does not run before the next step
                sent += size
            else:
                peer.call(calls[kind])
        assert peer.sent == stream
        assert sorted(handler.at_once + handler.awaited) == sorted(LINES)
        assert peer.closed is None


async def test_over_a_socket_on_each_loop() -> None:
    handler = Prompt()
    router = Router()
    router.add("tcp://127.0.0.1:0", handler)
    lines = [b"%c%d" % (b"aA"[number % 3 == 0], number) for number in range(300)]
    async with Server(router) as server:
        address = server.addresses[0]
        async with await anyio.connect_tcp(address.host, address.port) as stream:
            for line in lines[:10]:
                await stream.send(line + b"\n")
                assert await stream.receive() == line + b"\n"
            await stream.send(b"".join(line + b"\n" for line in lines[10:]))
            await stream.send_eof()
            came = b"".join([chunk async for chunk in stream])
    assert came == b"".join(line + b"\n" for line in lines[10:])
    assert handler.at_once == [line for line in lines if line[:1].islower()]
    assert handler.awaited == [line for line in lines if line[:1].isupper()]
