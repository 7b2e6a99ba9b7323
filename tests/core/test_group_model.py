"""Random dealings with two groups, against a model that delivers every message at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aionet import Codec, Group, LengthPrefixCodec, LineCodec, StreamHandler
from aionet.limits import Limits
from aionet.testing import HandlerHarness, MemoryPeer

MEMBERS = 4
GROUPS = 2
members = st.integers(0, MEMBERS - 1)
groups = st.integers(0, GROUPS - 1)

Step = tuple[Any, ...]
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("add"), groups, members),
        st.tuples(st.just("discard"), groups, members),
        st.tuples(st.just("broadcast"), groups, st.none() | members),
        st.tuples(st.just("write"), members),
        st.tuples(st.just("chunk"), members, st.none() | groups),
        st.tuples(st.just("stall"), members),
        st.tuples(st.just("take"), members, st.integers(1, 300)),
        st.tuples(st.just("close"), members),
        st.tuples(st.just("tick")),
    ),
    max_size=60,
)


class Speaker(StreamHandler[bytes]):
    """Answers what its peer sends, and tells a group of it in between; how is put into ``conn.state`` by the test."""

    def on_message(self, conn: Any, message: bytes) -> None:
        for step in conn.state:
            step()


class Model:
    """What each member must have been sent: immediately, without ticks."""

    def __init__(self, codecs: list[Codec[bytes]]) -> None:
        self.codecs = codecs
        self.sent = [b""] * len(codecs)
        self.closed: set[int] = set()
        self.groups: list[set[int]] = [set() for _ in range(GROUPS)]

    def add(self, group: int, member: int) -> None:
        if member not in self.closed:
            self.groups[group].add(member)

    def discard(self, group: int, member: int) -> None:
        self.groups[group].discard(member)

    def write(self, member: int, message: bytes) -> None:
        if member not in self.closed:
            self.sent[member] += self.codecs[member].encode(message)

    def broadcast(self, group: int, message: bytes, exclude: int | None) -> None:
        for member in self.groups[group]:
            if member != exclude:
                self.write(member, message)

    def close(self, member: int) -> None:
        self.closed.add(member)
        for group in self.groups:
            group.discard(member)


class Stage:
    """The same, for real."""

    def __init__(self, harness: HandlerHarness) -> None:
        self.harness = harness
        self.peers: list[MemoryPeer] = [harness, *(harness.connect() for _ in range(MEMBERS - 1))]
        self.groups: list[Group[bytes]] = [Group() for _ in range(GROUPS)]
        self.model = Model([peer.conn.codec for peer in self.peers])
        self.messages = (b"%d" % number * 20 for number in count())
        self.tick: list[Callable[[], None]] = []

    def add(self, group: int, member: int) -> None:
        self.groups[group].add(self.peers[member].conn)
        self.model.add(group, member)

    def discard(self, group: int, member: int) -> None:
        self.groups[group].discard(self.peers[member].conn)
        self.model.discard(group, member)

    def broadcast(self, group: int, exclude: int | None) -> None:
        message = next(self.messages)
        self.groups[group].broadcast(message, None if exclude is None else self.peers[exclude].conn)
        self.model.broadcast(group, message, exclude)

    def write(self, member: int) -> None:
        message = next(self.messages)
        self.peers[member].conn.write(message)
        self.model.write(member, message)

    def chunk(self, member: int, group: int | None) -> None:
        """The member's own callback writes, joins and speaks, and writes."""
        if member in self.model.closed or not self.peers[member].transport.is_reading():
            return
        script: list[Callable[[], None]] = [lambda: self.write(member)]
        if group is not None:
            script += [lambda: self.add(group, member), lambda: self.broadcast(group, None)]
        script.append(lambda: self.write(member))
        peer = self.peers[member]
        peer.conn.state = script
        peer.transport.feed(peer.conn.codec.encode(b"go"))

    def stall(self, member: int) -> None:
        if not self.peers[member].transport.is_closing():
            self.peers[member].transport.stall()

    def take(self, member: int, size: int) -> None:
        self.peers[member].transport.take(size)

    def close(self, member: int) -> None:
        self.peers[member].conn.close()
        self.model.close(member)

    def run(self, script: list[Step]) -> None:
        """Everything between two ticks happens in one callback of the loop."""
        at = 0
        while at < len(script):
            until = next((end for end in range(at, len(script)) if script[end][0] == "tick"), len(script))
            writes = [peer.writes for peer in self.peers]
            self.harness.call(self._do, script[at:until])
            if not any(step[0] == "chunk" for step in script[at:until]):  # which may be a write of its own
                assert all(peer.writes <= before + 1 for peer, before in zip(self.peers, writes, strict=True))
            at = until + 1

    def _do(self, script: list[Step]) -> None:
        for name, *args in script:
            getattr(self, name)(*args)


def fresh_codecs() -> Iterator[Codec[bytes]]:
    for kind in cycle([LineCodec, LengthPrefixCodec]):
        yield kind()


@given(steps)
@settings(max_examples=300)
def test_every_member_hears_what_an_immediate_delivery_would_have_told_it(script: list[Step]) -> None:
    codecs = fresh_codecs()
    limits = Limits(high_water=400, low_water=100)
    with HandlerHarness(Speaker(), codec=lambda: next(codecs), limits=limits) as harness:
        stage = Stage(harness)
        stage.run([("add", group, member) for group in range(GROUPS) for member in range(MEMBERS)] + [("tick",)])
        stage.run(script)
        assert [peer.sent for peer in stage.peers] == stage.model.sent
        # One that still sends its last words may be a member until it is gone; it is told nothing.
        assert [{id(conn) for conn in group if not conn.closing} for group in stage.groups] == [
            {id(stage.peers[member].conn) for member in group} for group in stage.model.groups
        ]
