"""Groups: encode once, write to many, all messages of one tick in one write a member.

Publishing costs nothing per member: a message is encoded once and appended. At the end of the tick the messages
are joined once and every member gets the same bytes by one write. Members that are in the way of the others are
dealt with apart: one that was excluded, or that writes messages of its own in between (order is kept), or that
does not keep up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator
from typing import Final, Generic, Literal, TypeVar, cast, get_args

from ..errors import ConfigError
from ..events import MessagesDropped
from ..handler import Connection
from ..limits import MIB
from .loop import LoopShared
from .message_path import send_to_all
from .stream import StreamConnection

__all__ = ["Group", "SlowConsumerPolicy"]

M = TypeVar("M")

SlowConsumerPolicy = Literal["disconnect", "drop_oldest", "drop_newest"]
REPORT_EVERY: Final = 1.0


class _Lane(Generic[M]):
    """The members whose codecs encode alike, and what this tick has for them."""

    __slots__ = ("key", "lagging", "members", "pending", "settled")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.members: dict[StreamConnection[M], None] = {}  # a set that keeps its order: nobody is always last
        self.pending: list[bytes] = []
        self.settled: dict[StreamConnection[M], int] = {}  # members that already have, or do not want, pending[:n]
        self.lagging: dict[StreamConnection[M], _Backlog] = {}


class _Backlog:
    """What is kept for a member that does not keep up, under a policy that drops."""

    __slots__ = ("dropped", "dropped_bytes", "messages", "reported_at", "size")

    def __init__(self) -> None:
        self.messages: deque[bytes] = deque()
        self.size = 0
        self.dropped = 0
        self.dropped_bytes = 0
        self.reported_at = 0.0


class Group(Generic[M]):
    """Connections that are told the same.

    Args:
        policy: What happens to a member that does not read what it is told. ``"disconnect"``: it is closed as a slow
            consumer once it is ``Limits.max_outbound`` bytes, or ``Timeouts.send`` seconds, behind. ``"drop_oldest"``,
            ``"drop_newest"``: it stays and loses messages, which are counted and reported. The others never wait.
        max_backlog: Bytes kept for such a member under a dropping policy, beside what its transport already holds.

    Messages of one group reach a member in the order of :meth:`broadcast`, and in order with what is written to that
    member itself; but what a dropping policy keeps back for a member comes behind what is written to that one
    meanwhile, which is never dropped. All members must belong to one event loop; call it only from there.

    Raises:
        ConfigError: an unknown policy, or a backlog that is not positive.
    """

    def __init__(self, *, policy: SlowConsumerPolicy = "disconnect", max_backlog: int = MIB) -> None:
        if policy not in get_args(SlowConsumerPolicy):
            raise ConfigError(f"unknown policy {policy!r}", hint=f"one of {', '.join(get_args(SlowConsumerPolicy))}")
        if max_backlog < 1:
            raise ConfigError(f"max_backlog must be at least 1 byte, not {max_backlog}")
        self.policy: SlowConsumerPolicy = policy
        self.max_backlog = max_backlog
        self.dropped = 0
        """Messages dropped by policy since the group was made, one for each member that lost one."""
        self._lanes: dict[Hashable, _Lane[M]] = {}
        self._lane_of: dict[StreamConnection[M], _Lane[M]] = {}
        self._dirty = False
        self._shared: LoopShared | None = None

    def add(self, conn: Connection[M]) -> None:
        """Make ``conn`` a member; it leaves by itself when it closes. A closing or present one is left as it is.

        It is told what is broadcast from now on.
        """
        if not isinstance(conn, StreamConnection):
            raise TypeError(f"a group takes stream connections, not {conn!r}")
        if conn in self._lane_of or conn.closing:
            return
        if self._shared is None:
            self._shared = conn.shared
        elif self._shared is not conn.shared:
            raise RuntimeError("all members of a group must belong to one event loop")
        key = conn.encoding_key
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        lane.members[conn] = None
        self._lane_of[conn] = lane
        if lane.pending:
            lane.settled[conn] = len(lane.pending)
        conn.join(self)

    def discard(self, conn: Connection[M]) -> None:
        """End the membership, if there is one. What was broadcast before still goes out.

        What a dropping policy keeps for a member that does not keep up is dropped, and counted.
        """
        lane = self._lane_of.pop(conn, None)  # type: ignore[call-overload]
        if lane is None:
            return
        assert isinstance(conn, StreamConnection)
        self._settle(lane, conn)
        lane.settled.pop(conn, None)
        backlog = lane.lagging.pop(conn, None)
        if backlog is not None:
            self._drop(conn, backlog, until=0)
            self._report(conn, backlog)
        del lane.members[conn]
        if not lane.members:
            del self._lanes[lane.key]  # the key may be of this connection alone
        conn.leave(self)

    def broadcast(self, message: M, exclude: Connection[M] | None = None) -> None:
        """Tell every member, but for ``exclude``. Returns at once; all of this tick leaves together.

        Raises:
            EncodeError: a member's codec cannot encode the message; nobody is told.
        """
        if not self._lane_of:
            return
        encoded = [(lane, next(iter(lane.members)).codec.encode(message)) for lane in self._lanes.values()]
        excluded = self._lane_of.get(exclude) if exclude is not None else None  # type: ignore[call-overload]
        for lane, data in encoded:
            lane.pending.append(data)
        if excluded is not None:
            # It gets what came before, and counts as having had this one.
            assert isinstance(exclude, StreamConnection)
            self._settle(excluded, exclude, upto=len(excluded.pending) - 1)
            excluded.settled[exclude] = len(excluded.pending)
        if not self._dirty:
            self._dirty = True
            assert self._shared is not None
            self._shared.publish_later(self)

    def __len__(self) -> int:
        return len(self._lane_of)

    def __iter__(self) -> Iterator[Connection[M]]:
        return iter(list(self._lane_of))

    def __contains__(self, conn: object) -> bool:
        return conn in self._lane_of

    # ---- what members and the loop call --------------------------------------------------------

    def settle_member(self, conn: StreamConnection[M]) -> None:
        """Give ``conn`` what was broadcast before what it is about to be written."""
        lane = self._lane_of.get(conn)
        if lane is not None and lane.pending:
            self._settle(lane, conn)

    def settle_all(self) -> None:
        """Give all members what is pending, without sending: another group is about to speak, and order matters."""
        for lane in list(self._lanes.values()):
            if lane.pending:
                for conn in list(lane.members):
                    self._settle(lane, conn)
                lane.pending = []
                lane.settled.clear()
        self._dirty = False

    def flush_tick(self) -> None:
        """End of the tick: every member gets what is pending, by one write."""
        if not self._dirty:
            return
        self._dirty = False
        for lane in list(self._lanes.values()):
            if lane.pending:
                self._flush(lane)

    def member_writable(self, conn: StreamConnection[M]) -> None:
        """``conn`` keeps up again: what was kept for it goes first."""
        lane = self._lane_of.get(conn)
        backlog = lane.lagging.get(conn) if lane is not None else None
        if lane is None or backlog is None:
            return
        # As much as it takes: all of it at once could be more than max_outbound, and close it.
        while backlog.messages and conn.writable:
            data = backlog.messages.popleft()
            backlog.size -= len(data)
            conn.enqueue(data)
        if not backlog.messages:
            del lane.lagging[conn]
            self._report(conn, backlog)

    # ---- inside --------------------------------------------------------------------------------

    def _flush(self, lane: _Lane[M]) -> None:
        pending, lane.pending = lane.pending, []
        settled, lane.settled = lane.settled, {}
        count = len(pending)
        blob = pending[0] if count == 1 else b"".join(pending)
        # A copy: a send may find a member dead, which leaves at once.
        members = list(lane.members)
        if settled or lane.lagging:
            apart = {**settled, **lane.lagging}
            members = [conn for conn in members if conn not in apart]
            for conn in apart:
                if conn in lane.members:
                    self._give(lane, conn, pending[settled.get(conn, 0) :])
        assert self._shared is not None
        for late in send_to_all(self._shared, members, blob, count):
            self._give(lane, cast(StreamConnection[M], late), pending)

    def _settle(self, lane: _Lane[M], conn: StreamConnection[M], upto: int | None = None) -> None:
        end = len(lane.pending) if upto is None else upto
        had = lane.settled.get(conn, 0)
        if had < end:
            lane.settled[conn] = end
            self._give(lane, conn, lane.pending[had:end])

    def _give(self, lane: _Lane[M], conn: StreamConnection[M], messages: list[bytes]) -> None:
        """The longer way: behind what the member is already owed."""
        backlog = lane.lagging.get(conn)
        for data in messages:
            if conn.closing:
                return
            if backlog is None:
                if self.policy == "disconnect" or conn.writable:
                    conn.enqueue(data)
                    continue
                backlog = lane.lagging[conn] = _Backlog()
            backlog.messages.append(data)
            backlog.size += len(data)
            if backlog.size > self.max_backlog:
                self._drop(conn, backlog, until=self.max_backlog)
        if backlog is not None and asyncio.get_running_loop().time() - backlog.reported_at >= REPORT_EVERY:
            self._report(conn, backlog)

    def _drop(self, conn: StreamConnection[M], backlog: _Backlog, until: int) -> None:
        """Drop messages by the policy, until no more than ``until`` bytes are kept."""
        while backlog.size > until:
            lost = backlog.messages.popleft() if self.policy == "drop_oldest" else backlog.messages.pop()
            backlog.size -= len(lost)
            backlog.dropped += 1
            backlog.dropped_bytes += len(lost)
            conn.messages_dropped += 1
            self.dropped += 1

    def _report(self, conn: StreamConnection[M], backlog: _Backlog) -> None:
        if backlog.dropped:
            backlog.reported_at = asyncio.get_running_loop().time()
            conn.emit(MessagesDropped(conn.peername, backlog.dropped, backlog.dropped_bytes))
            backlog.dropped = backlog.dropped_bytes = 0
