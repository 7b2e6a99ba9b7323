"""One timer for all deadlines, and each deadline of a connection, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import CloseReason, LengthPrefixCodec, LineCodec, StreamHandler, Timeouts
from aionet.core.deadlines import AT_ONCE, Deadlines, resolution
from aionet.core.stream import StreamConnection
from aionet.testing import HandlerHarness, VirtualClockLoop

from .stream_tools import Recorder

# ── the timer ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def loop() -> Iterator[VirtualClockLoop]:
    loop = VirtualClockLoop()
    yield loop
    loop.close()


@dataclass(eq=False)
class Item:
    """Notes when it is looked at; ``again`` is what it then asks for."""

    loop: VirtualClockLoop
    again: float | None = None
    due: int = -1
    seen: list[float] = field(default_factory=list)

    def check_deadlines(self, now: float) -> float | None:
        self.seen.append(now - 1000)
        again, self.again = self.again, None
        return again


def test_an_item_is_looked_at_once_and_not_early(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    items = [Item(loop) for _ in range(10)]
    for number, item in enumerate(items):
        deadlines.watch(item, loop.time() + number / 3)
    loop.advance(10)
    for number, item in enumerate(items):
        assert len(item.seen) == 1
        assert number / 3 <= item.seen[0] <= number / 3 + 0.5
        assert item.due == -1


def test_nothing_ticks_while_nobody_waits(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    item = Item(loop)
    deadlines.watch(item, loop.time() + 1)
    deadlines.watch(Item(loop), math.inf)
    loop.advance(10)
    assert item.seen
    with pytest.raises(RuntimeError, match="cannot come"):  # no timer is left
        loop.run_forever()


def test_a_forgotten_item_is_not_looked_at(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    item = Item(loop)
    deadlines.forget(item)
    deadlines.watch(item, loop.time() + 1)
    deadlines.forget(item)
    deadlines.forget(item)
    loop.advance(10)
    assert item.seen == []


def test_watching_again_moves_it(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    item = Item(loop)
    deadlines.watch(item, loop.time() + 1)
    deadlines.watch(item, loop.time() + 3)
    loop.advance(10)
    assert item.seen == [3.5]
    deadlines.watch(item, loop.time() + 1)
    deadlines.watch(item, math.inf)
    loop.advance(10)
    assert item.seen == [3.5]


def test_what_a_check_returns_is_when_to_look_again(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    item = Item(loop, again=1005.0)
    deadlines.watch(item, 1001.0)
    loop.advance(10)
    assert item.seen == [1.5, 5.5]


def test_an_item_overdue_when_it_asks_waits_for_the_next_tick(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    item = Item(loop, again=0.0)
    deadlines.watch(item, 1001.0)
    loop.advance(10)
    assert item.seen == [1.5, 2.0]


def test_a_check_may_forget_and_move_others(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    first, gone, moved = Item(loop), Item(loop), Item(loop)

    class Chief(Item):
        def check_deadlines(self, now: float) -> float | None:
            deadlines.forget(gone)
            deadlines.watch(moved, now + 2)
            return super().check_deadlines(now)

    chief = Chief(loop)
    for item in (first, chief):
        deadlines.watch(item, 1001.0)
    deadlines.watch(gone, 1001.4)
    deadlines.watch(moved, 1001.4)
    loop.call_at(1001.1, lambda: None)
    loop.advance(10)
    assert chief.seen == [1.5]
    assert len(gone.seen) <= 1  # a set has no order
    assert moved.seen[-1] >= 3.5


def test_a_loop_that_was_busy_catches_up(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    items = [Item(loop) for _ in range(5)]
    for number, item in enumerate(items):
        deadlines.watch(item, 1001.0 + number)
    loop._now += 100
    loop.advance()
    assert [item.seen for item in items] == [[100.0]] * 5


def test_stop_forgets_everything(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    item = Item(loop)
    deadlines.watch(item, 1001.0)
    deadlines.stop()
    loop.advance(10)
    assert item.seen == []
    deadlines.watch(item, loop.time() + 1)
    loop.advance(10)
    assert len(item.seen) == 1


def test_a_crowd_leaves_turns_of_the_loop_to_others(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)
    crowd = [Item(loop) for _ in range(3 * AT_ONCE + 1)]
    for item in crowd:
        deadlines.watch(item, loop.time() + 0.1)
    turns: list[int] = []

    def other() -> None:
        turns.append(sum(bool(item.seen) for item in crowd))
        if turns[-1] < len(crowd):
            loop.call_soon(other)

    loop.call_later(0.5, other)
    loop.advance(2)
    assert all(len(item.seen) == 1 for item in crowd)
    assert {b - a for a, b in pairwise(turns)} <= {0, 1, AT_ONCE}
    assert len(turns) >= 4


def test_stop_between_two_turns(loop: VirtualClockLoop) -> None:
    deadlines = Deadlines(loop, 0.5)

    class Stops(Item):
        def check_deadlines(self, now: float) -> float | None:
            self.loop.call_soon(deadlines.stop)
            return super().check_deadlines(now)

    crowd = [Stops(loop) for _ in range(2 * AT_ONCE)]
    for item in crowd:
        deadlines.watch(item, loop.time() + 0.1)
    loop.advance(2)
    assert sum(bool(item.seen) for item in crowd) == AT_ONCE
    assert all(item.due == -1 for item in crowd)


def test_one_that_fails_does_not_take_the_timer_from_the_others(loop: VirtualClockLoop) -> None:
    class Failing(Item):
        def check_deadlines(self, now: float) -> float | None:
            super().check_deadlines(now)
            raise LookupError

    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    deadlines = Deadlines(loop, 0.5)
    items = [Failing(loop), Item(loop), Item(loop)]
    for item in items[:2]:
        deadlines.watch(item, loop.time() + 1)
    deadlines.watch(items[2], loop.time() + 5)
    loop.advance(10)
    assert [len(item.seen) for item in items] == [1, 1, 1]
    assert [type(context["exception"]) for context in complaints] == [LookupError]


@given(
    tick=st.floats(0.01, 0.25),
    waits=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=1, max_size=20),
)
def test_nobody_is_looked_at_early_or_late(tick: float, waits: list[tuple[float, float]]) -> None:
    loop = VirtualClockLoop()
    try:
        deadlines = Deadlines(loop, tick)
        items: list[tuple[Item, float]] = []

        def begin(wait: float) -> None:
            item = Item(loop)
            items.append((item, loop.time() + wait - 1000))
            # As a connection does: counted from the coarse clock, once somebody watches.
            deadlines.watch(item, loop.time() + wait)
            deadlines.watch(item, deadlines.now + wait)

        for start, wait in waits:
            loop.call_at(1000 + start, begin, wait)
        loop.advance(50)
        assert len(items) == len(waits)
        for item, due in items:
            assert due <= item.seen[0] <= due + 2 * tick + 1e-6
            assert len(item.seen) == 1
    finally:
        loop.close()


@pytest.mark.parametrize(("shortest", "tick"), [(0.001, 0.01), (0.8, 0.1), (2.0, 0.25), (60.0, 0.25), (math.inf, 0.25)])
def test_resolution(shortest: float, tick: float) -> None:
    assert resolution(shortest) == tick


class Broken(LineCodec):
    """Its ``buffered``, which only deadlines ask for, has a defect."""

    @property
    def buffered(self) -> int:
        raise LookupError


def test_a_codec_that_fails_when_a_deadline_asks_ends_its_connection() -> None:
    with HandlerHarness(Recorder(Broken())) as peer:
        peer.receive(b"complete\nand more")
        peer.advance(100)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.HANDLER_ERROR
        assert peer.failures.pop().where == "codec.buffered"
        assert peer.failures == []


# ── each deadline of a connection ────────────────────────────────────────────────────────────────────────────────────

NEVER: Final = Timeouts(
    handshake=math.inf, first_message=math.inf, message=math.inf, idle=math.inf, send=math.inf, linger=math.inf
)
FINE: Final = 0.01
"""Seconds by which the tests let time pass."""


def only(**finite: float) -> Timeouts:
    """These deadlines, and no others."""
    return Timeouts(**{name: finite.get(name, math.inf) for name in Timeouts.__slots__})


def lateness(timeouts: Timeouts) -> float:
    """As Timeouts promises."""
    return max(min(timeouts.shortest / 4, 0.5), 0.02)


def sampling(timeouts: Timeouts) -> float:
    """Likewise, for what is sampled."""
    return min(timeouts.first_message, timeouts.message, timeouts.idle, timeouts.send) / 4


def assert_ends(peer: HandlerHarness, reason: CloseReason, after: float, late: float) -> None:
    """Nothing happens for ``after`` seconds, then the connection ends, at most ``late`` seconds late."""
    peer.advance(after - FINE)
    assert not peer.closed, "too early"
    peer.advance(late + 2 * FINE)
    assert peer.closed is not None, "too late"
    assert peer.closed.reason is reason


SETTINGS: Final = [
    Timeouts(),
    Timeouts(first_message=5, message=7, idle=9, send=11, linger=3),
    Timeouts(first_message=0.5, message=0.7, idle=0.9, send=1.1, linger=0.4),
]
OFFSETS: Final = [0.0, 0.1234, 0.26, 0.999]
"""Seconds from a connection's beginning: ticks stand in no relation to what happens."""

each_setting = pytest.mark.parametrize("timeouts", SETTINGS, ids=["default", "seconds", "short"])
each_offset = pytest.mark.parametrize("offset", OFFSETS)


@each_setting
def test_first_message(timeouts: Timeouts) -> None:
    with HandlerHarness(Recorder(), timeouts=timeouts) as peer:
        assert_ends(peer, CloseReason.MESSAGE_TIMEOUT, timeouts.first_message, lateness(timeouts))


@pytest.mark.parametrize("first_message", [1.0, 10.0])
def test_first_message_is_not_put_off_by_bytes(first_message: float) -> None:
    timeouts = only(first_message=first_message)
    with HandlerHarness(Recorder(), timeouts=timeouts) as peer:
        for _ in range(9):
            peer.advance(first_message / 10)
            peer.receive(b"x")
        assert_ends(peer, CloseReason.MESSAGE_TIMEOUT, first_message / 10, lateness(timeouts))


@each_setting
@each_offset
def test_a_message_that_trickles_in(timeouts: Timeouts, offset: float) -> None:
    """Absolute: no byte starts it anew."""
    offset *= timeouts.shortest
    with HandlerHarness(Recorder(), timeouts=timeouts) as peer:
        peer.receive(b"complete\n")
        peer.advance(offset)
        for _ in range(9):
            peer.receive(b"x")
            peer.advance(timeouts.message / 10)
        assert_ends(peer, CloseReason.MESSAGE_TIMEOUT, timeouts.message / 10, lateness(timeouts))


@each_setting
@each_offset
def test_a_message_that_began_behind_another(timeouts: Timeouts, offset: float) -> None:
    with HandlerHarness(Recorder(), timeouts=timeouts) as peer:
        peer.advance(offset * timeouts.first_message / 2)
        peer.receive(b"complete\nincom")
        assert_ends(peer, CloseReason.MESSAGE_TIMEOUT, timeouts.message, lateness(timeouts) + sampling(timeouts))


def test_a_message_in_time_is_none_too_late() -> None:
    timeouts = only(message=10)
    with HandlerHarness(Recorder(), timeouts=timeouts) as peer:
        for _ in range(20):
            peer.receive(b"hel")
            peer.advance(9)
            peer.receive(b"lo\n")
        assert not peer.closed


def test_the_time_in_which_we_do_not_read_does_not_count() -> None:
    handler = Recorder()
    with HandlerHarness(handler, timeouts=only(message=10)) as peer:
        peer.receive(b"one\ntw")
        peer.call(peer.conn.pause_reading)
        peer.advance(100)
        peer.call(peer.conn.resume_reading)
        peer.advance(9)
        peer.receive(b"o\n")
        peer.advance(100)
        assert handler.messages == [b"one", b"two"]
        assert not peer.closed


@each_setting
@each_offset
@pytest.mark.parametrize("who", ["peer", "we"])
def test_idle(timeouts: Timeouts, offset: float, who: str) -> None:
    """A byte either way starts it anew."""
    idle = only(idle=timeouts.idle, linger=timeouts.linger)
    with HandlerHarness(Recorder(), timeouts=idle) as peer:
        for _ in range(3):
            peer.advance(timeouts.idle * 0.9 + offset * timeouts.idle * 0.09)
            peer.receive(b"x\n") if who == "peer" else peer.call(peer.conn.write, b"x")
        assert_ends(peer, CloseReason.IDLE_TIMEOUT, timeouts.idle, lateness(idle))


@each_setting
@each_offset
def test_a_peer_that_takes_nothing(timeouts: Timeouts, offset: float) -> None:
    stall = only(send=timeouts.send)
    with HandlerHarness(Recorder(LengthPrefixCodec()), timeouts=stall) as peer:
        peer.advance(offset * timeouts.send)
        peer.stall()
        peer.call(peer.conn.write, bytes(1000))
        assert_ends(peer, CloseReason.SLOW_CONSUMER, timeouts.send, lateness(stall) + sampling(stall))


def test_a_peer_that_takes_a_little_is_waited_for() -> None:
    stall = only(send=10)
    with HandlerHarness(Recorder(LengthPrefixCodec()), timeouts=stall) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(1000))
        for _ in range(50):
            peer.advance(9)
            assert not peer.closed
            peer.take(1)
        assert_ends(peer, CloseReason.SLOW_CONSUMER, 10, lateness(stall) + sampling(stall))


@each_offset
def test_a_closed_connection_whose_peer_takes_nothing(offset: float) -> None:
    stall = only(send=10, linger=2)
    handler = Recorder(LengthPrefixCodec())
    with HandlerHarness(handler, timeouts=stall) as peer:
        peer.advance(offset)
        peer.stall()
        peer.call(peer.conn.write, bytes(1000))
        peer.call(peer.conn.close)
        assert_ends(peer, CloseReason.LOCAL_CLOSED, 10, lateness(stall))
        assert peer.transport.aborted


def test_a_closed_connection_whose_peer_takes_a_little_is_waited_for() -> None:
    with HandlerHarness(Recorder(LengthPrefixCodec()), timeouts=only(send=10)) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(16))
        peer.call(peer.conn.close)
        for _ in range(20):
            assert not peer.transport.lost
            peer.advance(9)
            peer.take(1)
        assert peer.transport.lost
        assert not peer.transport.aborted


@each_setting
@each_offset
def test_linger(timeouts: Timeouts, offset: float) -> None:
    handler = Recorder(LineCodec(max_size=10))
    with HandlerHarness(handler, timeouts=timeouts) as peer:
        peer.advance(offset * timeouts.first_message / 2)
        peer.receive(b"x" * 20)
        assert_ends(peer, CloseReason.FRAMING_ERROR, timeouts.linger, lateness(timeouts))
        assert peer.transport.aborted


def test_linger_where_it_is_the_only_deadline() -> None:
    timeouts = only(linger=2)
    with HandlerHarness(Recorder(LineCodec(max_size=10)), timeouts=timeouts) as peer:
        peer.advance(100)
        peer.receive(b"x" * 20)
        assert_ends(peer, CloseReason.FRAMING_ERROR, 2, lateness(timeouts))


def test_a_connection_without_deadlines_lives_for_ever() -> None:
    handler = Recorder(LineCodec(max_size=10))
    with HandlerHarness(handler, timeouts=NEVER) as peer:
        peer.receive(b"hel")
        peer.advance(1e6)
        peer.receive(b"x" * 20)
        peer.advance(1e6)
        assert handler.names == ["on_connect", "on_fault"]
        with pytest.raises(RuntimeError, match="cannot come"):
            peer.loop.run_forever()


def test_nothing_ticks_once_the_last_connection_is_gone() -> None:
    with HandlerHarness(StreamHandler[bytes]()) as peer:
        other = peer.connect()
        peer.eof()
        other.eof()
        peer.advance(1)
        with pytest.raises(RuntimeError, match="cannot come"):
            peer.loop.run_forever()


def test_an_idle_connection_is_looked_at_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10,000 connections, each look is one of 10,000."""
    looks: list[Any] = []
    check = StreamConnection.check_deadlines

    def counting(self: StreamConnection[Any], now: float) -> float | None:
        looks.append(self)
        return check(self, now)

    monkeypatch.setattr(StreamConnection, "check_deadlines", counting)
    with HandlerHarness(StreamHandler[bytes](), timeouts=Timeouts()) as peer:
        peer.receive(b"hello")
        peer.advance(290)
        assert not peer.closed
        assert len(looks) <= 290 / (30 / 4) + 3
