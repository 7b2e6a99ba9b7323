"""Groups: order, writes, who is told, and what happens to those that do not keep up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any, Final

import pytest

from aionet import CloseReason, Codec, Connection, Group, LengthPrefixCodec, LineCodec, StreamHandler
from aionet.core.flow import OutboundConnection
from aionet.errors import ConfigError, EncodeError
from aionet.events import MessagesDropped
from aionet.limits import Limits
from aionet.testing import HandlerHarness, MemoryPeer

LINES: Final = LineCodec()


class Quiet(StreamHandler[bytes]):
    """Does nothing."""


class Room:
    """A group, and peers whose connections are its members."""

    def __init__(self, harness: HandlerHarness, group: Group[bytes], size: int) -> None:
        self.harness = harness
        self.group = group
        self.peers: list[MemoryPeer] = [harness, *(harness.connect() for _ in range(size - 1))]
        for peer in self.peers:
            group.add(peer.conn)

    def tick(self, *steps: Any) -> None:
        """Do all this in one tick, then end it."""

        def do() -> None:
            for function, *args in steps:
                function(*args)

        self.harness.call(do)

    def say(self, *messages: bytes, exclude: MemoryPeer | None = None) -> None:
        """Broadcast these in one tick."""
        self.tick(*((self.group.broadcast, message, exclude.conn if exclude else None) for message in messages))

    def sent(self) -> list[bytes]:
        return [peer.sent for peer in self.peers]

    def writes(self) -> list[int]:
        return [peer.writes for peer in self.peers]


@pytest.fixture
def harness() -> Iterator[HandlerHarness]:
    with HandlerHarness(Quiet(), codec=LINES) as harness:
        yield harness


@pytest.fixture
def room(harness: HandlerHarness) -> Room:
    return Room(harness, Group(), 3)


# ── who is told what, in which order ─────────────────────────────────────────────────────────────────────────────────


def test_everybody_is_told_by_one_write_a_tick(room: Room) -> None:
    room.say(b"one", b"two", b"three")
    assert room.sent() == [b"one\ntwo\nthree\n"] * 3
    assert room.writes() == [1, 1, 1]
    room.say(b"four")
    assert room.writes() == [2, 2, 2]
    assert [peer.conn.stats.messages_sent for peer in room.peers] == [4, 4, 4]


def test_all_but_one_are_told(room: Room) -> None:
    room.say(b"one", exclude=room.peers[1])
    assert room.sent() == [b"one\n", b"", b"one\n"]


def test_excluding_keeps_the_order_and_the_one_write(room: Room) -> None:
    a, b, _ = room.peers
    room.tick(
        (room.group.broadcast, b"1"),
        (room.group.broadcast, b"2", a.conn),
        (room.group.broadcast, b"3"),
        (room.group.broadcast, b"4", b.conn),
        (room.group.broadcast, b"5", a.conn),
        (room.group.broadcast, b"6"),
    )
    assert room.sent() == [b"1\n3\n4\n6\n", b"1\n2\n3\n5\n6\n", b"1\n2\n3\n4\n5\n6\n"]
    assert room.writes() == [1, 1, 1]


def test_excluding_somebody_else_tells_everybody(room: Room) -> None:
    stranger = room.harness.connect()
    room.say(b"one", exclude=stranger)
    assert room.sent() == [b"one\n"] * 3
    assert stranger.sent == b""


def test_own_writes_keep_their_place(room: Room) -> None:
    a = room.peers[0]
    room.tick(
        (a.conn.write, b"own 1"),
        (room.group.broadcast, b"all 1"),
        (a.conn.write, b"own 2"),
        (a.conn.write_encoded, b"own 3\n"),
        (room.group.broadcast, b"all 2"),
        (a.conn.write, b"own 4"),
    )
    assert a.sent == b"own 1\nall 1\nown 2\nown 3\nall 2\nown 4\n"
    assert room.sent()[1:] == [b"all 1\nall 2\n"] * 2
    assert room.writes() == [1, 1, 1]


def test_a_member_that_speaks_while_it_is_served_keeps_the_order() -> None:
    group: Group[bytes] = Group()

    class Chat(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(b"ok")
            group.broadcast(message)
            conn.write(b"done")

    with HandlerHarness(Chat(), codec=LINES) as harness:
        room = Room(harness, group, 2)
        room.peers[0].receive(b"a\nb\n")
        assert room.sent() == [b"ok\na\ndone\nok\nb\ndone\n", b"a\nb\n"]
        assert room.writes() == [1, 1]


def test_joining_in_the_middle_of_a_chunk_keeps_the_order() -> None:
    group: Group[bytes] = Group()

    class Chat(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(b"before")
            if message == b"join":
                group.add(conn)
            else:
                group.discard(conn)
            group.broadcast(message)
            conn.write(b"after")

    with HandlerHarness(Chat(), codec=LINES) as peer:
        peer.receive(b"join\nleave\njoin\n")
        assert peer.sent == b"before\njoin\nafter\nbefore\nafter\nbefore\njoin\nafter\n"


def test_two_groups_are_heard_in_the_order_they_spoke(room: Room) -> None:
    other: Group[bytes] = Group()
    a, b, c = room.peers
    other.add(a.conn)
    other.add(b.conn)
    room.tick(
        (room.group.broadcast, b"1"),
        (other.broadcast, b"2"),
        (room.group.broadcast, b"3"),
        (other.broadcast, b"4", a.conn),
        (a.conn.write, b"own"),
        (room.group.broadcast, b"5"),
    )
    assert a.sent == b"1\n2\n3\nown\n5\n"
    assert b.sent == b"1\n2\n3\n4\n5\n"
    assert c.sent == b"1\n3\n5\n"
    assert room.writes() == [1, 1, 1]


def test_each_kind_of_codec_is_encoded_for_once() -> None:
    class Counting(LineCodec):
        calls = 0

        def encode(self, message: bytes) -> bytes:
            Counting.calls += 1
            return super().encode(message)

    group: Group[bytes] = Group()
    with HandlerHarness(Quiet(), codec=Counting()) as harness:
        room = Room(harness, group, 5)
        framed = HandlerHarness(Quiet(), codec=LengthPrefixCodec())
        with framed, pytest.raises(RuntimeError, match="one event loop"):
            group.add(framed.conn)
        room.say(b"x")
        assert Counting.calls == 1
        assert room.sent() == [b"x\n"] * 5


def test_members_of_several_codecs_each_get_their_own() -> None:
    """Connections of two routes on one loop: each has the codec of its route."""
    codecs: Iterator[Codec[bytes]] = iter([LINES, LengthPrefixCodec(), LINES.clone(), LineCodec(delimiter=b"\r\n")] * 2)
    with HandlerHarness(Quiet(), codec=lambda: next(codecs)) as harness:  # one is a sample
        room = Room(harness, Group(), 4)
        own = [peer.conn.codec for peer in room.peers]
        room.say(b"a", b"b", exclude=room.peers[2])
        expected = [codec.encode(b"a") + codec.encode(b"b") for codec in own]
        expected[2] = b""
        assert room.sent() == expected


def test_codecs_that_say_nothing_share_by_route() -> None:
    class Own(Codec[bytes]):
        encoded = 0

        def feed(self, data: bytes) -> list[bytes]:
            return [data]

        def encode(self, message: bytes) -> bytes:
            Own.encoded += 1
            return message

    with HandlerHarness(Quiet(), codec=Own) as harness:
        room = Room(harness, Group(), 3)
        room.say(b"x")
        assert room.sent() == [b"x"] * 3
        assert Own.encoded == 1


# ── members ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_group_is_a_collection(room: Room) -> None:
    a, b, c = (peer.conn for peer in room.peers)
    assert len(room.group) == 3
    assert list(room.group) == [a, b, c]
    assert a in room.group
    room.group.add(a)
    assert len(room.group) == 3
    room.group.discard(a)
    room.group.discard(a)
    assert a not in room.group
    assert list(room.group) == [b, c]
    for conn in room.group:
        room.group.discard(conn)
    assert len(room.group) == 0
    room.say(b"to nobody")
    assert room.sent() == [b""] * 3


def test_joining_and_leaving_within_a_tick(room: Room) -> None:
    late = room.harness.connect()
    a = room.peers[0]
    room.tick(
        (room.group.broadcast, b"1"),
        (room.group.add, late.conn),
        (room.group.discard, a.conn),
        (room.group.broadcast, b"2"),
        (room.group.discard, late.conn),
        (room.group.add, a.conn),
        (room.group.broadcast, b"3"),
    )
    assert a.sent == b"1\n3\n"
    assert late.sent == b"2\n"
    assert room.sent()[1:] == [b"1\n2\n3\n"] * 2
    assert room.writes() == [1, 1, 1]
    assert late.writes == 1


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_member_that_ends_within_a_tick(room: Room, end: str) -> None:
    a = room.peers[0]
    room.tick(
        (room.group.broadcast, b"1"),
        (getattr(a.conn, end),),
        (room.group.broadcast, b"2"),
        (room.group.add, a.conn),
    )
    assert a.sent == (b"1\n" if end == "close" else b"")
    assert room.sent()[1:] == [b"1\n2\n"] * 2
    assert a.conn not in room.group
    assert len(room.group) == 2


def test_leaving_on_close_is_automatic(room: Room) -> None:
    other: Group[bytes] = Group()
    other.add(room.peers[0].conn)
    room.peers[0].reset()
    assert len(room.group) == 2
    assert len(other) == 0
    room.group.add(room.peers[0].conn)
    assert len(room.group) == 2


def test_a_member_that_said_it_sends_no_more_leaves_and_holds_nobody_up(room: Room) -> None:
    a = room.peers[0]
    room.tick((room.group.broadcast, b"1"))
    room.harness.start(a.conn.send_eof())
    room.say(b"2")
    assert a.sent == b"1\n"
    assert room.sent()[1:] == [b"1\n2\n"] * 2
    assert not a.conn.closing


def test_who_is_no_stream_connection_is_refused(room: Room) -> None:
    with pytest.raises(TypeError, match="stream connections"):
        room.group.add(object())  # type: ignore[arg-type]


def test_nobody_is_told_what_cannot_be_encoded(room: Room) -> None:
    with pytest.raises(EncodeError):
        room.say(b"one", b"two\nlines")
    room.say(b"three")
    assert room.sent() == [b"one\nthree\n"] * 3


@pytest.mark.parametrize(("policy", "backlog"), [("drop", 1), ("drop_oldest", 0)])
def test_settings_are_checked(policy: Any, backlog: int) -> None:
    with pytest.raises(ConfigError):
        Group(policy=policy, max_backlog=backlog)


def test_nothing_is_kept_of_codecs_that_are_gone() -> None:
    class Key:
        pass

    class Unique(LineCodec):
        def __init__(self) -> None:
            super().__init__()
            self.key = Key()

        def encoding_key(self) -> Any:
            return self.key

    group: Group[bytes] = Group()
    with HandlerHarness(Quiet(), codec=Unique) as harness:
        keys = []
        for _ in range(3):
            peer = harness.connect()
            group.add(peer.conn)
            keys.append(weakref.ref(peer.conn.codec.encoding_key()))
            harness.call(group.broadcast, b"x")
            peer.eof()
            assert peer.sent == b"x\n"
        del peer
        harness.events.clear()
        gc.collect()
        assert [key() for key in keys] == [None] * 3


# ── those that do not keep up ────────────────────────────────────────────────────────────────────────────────────────

CONGESTED: Final = Limits(high_water=1000, low_water=500, max_outbound=5000)
FILL: Final = b"f" * 1100


def congested_room(harness: HandlerHarness, group: Group[bytes]) -> Room:
    """Three members, of which the first does not read and has FILL waiting for it."""
    room = Room(harness, group, 3)
    slow = room.peers[0]
    slow.stall()
    harness.call(slow.conn.write, FILL)
    assert not slow.conn.writable
    return room


@pytest.fixture
def small() -> Iterator[HandlerHarness]:
    with HandlerHarness(Quiet(), codec=LINES, limits=CONGESTED) as harness:
        yield harness


def test_disconnect_cuts_who_is_too_far_behind_and_delays_nobody(small: HandlerHarness) -> None:
    room = congested_room(small, Group())
    for number in range(10):
        room.say(b"%d" % number * 500)
        assert [len(peer.sent) for peer in room.peers[1:]] == [501 * (number + 1)] * 2
    slow = room.peers[0]
    assert slow.closed is not None
    assert slow.closed.reason is CloseReason.SLOW_CONSUMER
    assert len(room.group) == 2
    assert room.group.dropped == 0
    assert len(slow.sent) <= 5000


def test_disconnect_keeps_who_comes_back_in_time(small: HandlerHarness) -> None:
    room = congested_room(small, Group())
    for number in range(5):
        room.say(b"%d" % number * 500)
    slow = room.peers[0]
    slow.take()
    room.say(b"end")
    assert slow.sent == FILL + b"\n" + room.peers[1].sent


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", range(6, 10)), ("drop_newest", range(4))])
def test_dropping_keeps_the_member_and_counts_exactly(small: HandlerHarness, policy: Any, kept: range) -> None:
    group: Group[bytes] = Group(policy=policy, max_backlog=450)
    room = congested_room(small, group)
    slow = room.peers[0]
    for number in range(10):
        room.say(b"%d" % number * 100)
        assert [peer.writes for peer in room.peers[1:]] == [number + 1] * 2
    assert group.dropped == 6
    assert slow.conn.stats.messages_dropped == 6
    slow.take()
    room.say(b"end")
    assert slow.sent == b"".join([FILL + b"\n", *(b"%d" % number * 100 + b"\n" for number in kept), b"end\n"])
    assert not slow.closed
    reports = [event for event in small.events if isinstance(event, MessagesDropped)]
    assert sum(event.count for event in reports) == 6
    assert sum(event.bytes for event in reports) == 606
    assert {event.peer for event in reports} == {slow.conn.peername}
    others = b"".join(b"%d" % number * 100 + b"\n" for number in range(10)) + b"end\n"
    assert room.sent()[1:] == [others] * 2


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_a_message_larger_than_the_backlog_is_dropped(small: HandlerHarness, policy: Any) -> None:
    group: Group[bytes] = Group(policy=policy, max_backlog=100)
    room = congested_room(small, group)
    room.say(b"x" * 200)
    assert group.dropped == 1
    room.say(b"small")
    room.peers[0].take()
    assert room.peers[0].sent == FILL + b"\nsmall\n"


def test_drops_are_reported_at_most_once_a_second(small: HandlerHarness) -> None:
    room = congested_room(small, Group(policy="drop_oldest", max_backlog=50))
    for _ in range(40):
        room.say(b"x" * 100)
        small.advance(0.1)
    reports = [event for event in small.events if isinstance(event, MessagesDropped)]
    assert 3 <= len(reports) <= 5
    assert reports[0].count == 1


def test_a_backlog_goes_out_as_the_peer_takes_it() -> None:
    """All at once could be more than max_outbound, and the policy is that the member stays."""
    group: Group[bytes] = Group(policy="drop_oldest", max_backlog=400_000)
    limits = Limits(max_outbound=100_000)
    with HandlerHarness(Quiet(), codec=LINES, limits=limits) as harness:
        room = Room(harness, group, 2)
        slow, fast = room.peers
        slow.stall()
        harness.call(slow.conn.write_encoded, FILL * 60)
        for number in range(99):
            room.say(b"%02d" % number * 2500)
        assert group.dropped == 99 - 400_000 // 5001
        assert slow.writes == 1
        while slow.transport.get_write_buffer_size() > 0:
            slow.take(30_000)
            room.say(b"more")
            assert not slow.conn.closing
            assert slow.transport.get_write_buffer_size() <= 100_000
        slow.take()
        room.say(b"end")
        assert slow.sent == FILL * 60 + fast.sent[group.dropped * 5001 :]


def test_a_backlog_of_the_default_size_does_not_cut_the_member() -> None:
    group: Group[bytes] = Group(policy="drop_newest")
    with HandlerHarness(Quiet(), codec=LINES) as harness:
        room = Room(harness, group, 2)
        slow = room.peers[0]
        slow.stall()
        harness.call(slow.conn.write, bytes(65_536))
        for _ in range(23):
            room.say(bytes(52_400))
        assert group.dropped == 3
        slow.take(65_537 - 16_000)
        assert not slow.closed
        slow.take()
        assert len(slow.sent) == 65_537 + 20 * 52_401


def test_a_lagging_member_that_leaves_is_not_told_the_rest_and_that_is_counted(small: HandlerHarness) -> None:
    group: Group[bytes] = Group(policy="drop_oldest", max_backlog=250)
    room = congested_room(small, group)
    slow = room.peers[0]
    for number in range(3):
        room.say(b"%d" % number * 100)
    assert group.dropped == 1
    room.tick((group.broadcast, b"3" * 10), (group.discard, slow.conn))
    assert group.dropped == 4
    assert slow.conn.stats.messages_dropped == 4
    slow.take()
    assert slow.sent == FILL + b"\n"
    reports = [event for event in small.events if isinstance(event, MessagesDropped)]
    assert sum(event.count for event in reports) == 4


def test_one_write_a_tick_needs_combining(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts above look at the right thing: sent at once, each message would be a write."""
    monkeypatch.setattr(OutboundConnection, "enqueue", OutboundConnection.send_now)
    with pytest.raises(AssertionError):
        test_own_writes_keep_their_place(room)
