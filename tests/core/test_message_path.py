"""The way of a message alone, compiled or not: what it leaves to the rest of the connection, and who is sent to."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from aionet import Group, LineCodec, RawCodec, StreamHandler
from aionet.core import message_path
from aionet.core.awaiting import PlainAwaiting
from aionet.core.coroutine import CoroutineConnection
from aionet.core.loop import AT_ONCE, LoopShared
from aionet.core.message_path import BATCHES, CHUNKS, CLOSING, FLUSH_AT, MESSAGES, MessagePath, send_to_all
from aionet.testing import HandlerHarness

from ..serving import eventually
from ..swapped import SWAPPED
from ..tools import in_ci


class Path(MessagePath):
    """Notes what leaves, and what is left to others."""

    def __init__(self, on_message: Any, takes: int = MESSAGES, codec: Any = None) -> None:
        self.shared = LoopShared(asyncio.get_running_loop())
        context = SimpleNamespace(
            on_message=on_message, takes=takes, deadlines=SimpleNamespace(now=1.0), shared=self.shared
        )
        super().__init__(context, codec or LineCodec())
        self.sent: list[bytes] = []
        self.left: list[tuple[str, Any]] = []
        self._transport_write = self.sent.append

    def _fail(self, where: str, exc: BaseException) -> None:
        self.left.append((where, type(exc)))

    def _hold_back(self, messages: list[Any]) -> None:
        self.left.append(("held", messages))

    def _too_far_behind(self, more: int) -> bool:
        self.left.append(("behind", more))
        return True


def echo(path: Any, message: Any) -> None:
    path.write(message)


@pytest.mark.parametrize(("takes", "codec"), [(MESSAGES, LineCodec), (CHUNKS, RawCodec), (MESSAGES, RawCodec)])
async def test_a_chunk_is_one_write_and_counted(takes: int, codec: Any) -> None:
    path = Path(echo, takes, codec())
    path.data_received(b"one\ntwo\n")
    assert path.sent == [b"one\ntwo\n"]
    count = 2 if codec is LineCodec else 1
    assert (path.messages_received, path.messages_sent, path.bytes_received, path.bytes_sent) == (count, count, 8, 8)
    assert (path._corked, path._batching, path._room, path._out) == (False, False, FLUSH_AT, [])


async def test_a_batch_is_one_call() -> None:
    path = Path(lambda path, messages: path.write(b"%d" % len(messages)), BATCHES)
    path.data_received(b"one\ntwo\nthree")
    assert path.sent == [b"2\n"]


@pytest.mark.parametrize(("takes", "where"), [(MESSAGES, "on_message"), (BATCHES, "on_messages")])
async def test_what_a_handler_raises_is_left_to_the_connection(takes: int, where: str) -> None:
    def fail(path: Any, message: Any) -> None:
        raise asyncio.CancelledError

    path = Path(fail, takes)
    path.data_received(b"one\n")
    assert path.left == [(where, asyncio.CancelledError)]


async def test_what_is_held_is_neither_delivered_nor_lost() -> None:
    def hold(path: Any, message: Any) -> None:
        path._held = 2

    path = Path(hold)
    path.data_received(b"one\ntwo\n")
    path.data_received(b"three\n")
    assert path.left == [("held", [b"two"]), ("held", [b"three"])]


async def test_a_peer_that_is_too_far_behind_is_sent_nothing() -> None:
    path = Path(echo)
    path._congested = True
    path.data_received(b"one\n")
    path.send_now(b"two\n")
    assert path.left == [("behind", 4), ("behind", 4)]
    assert not path.sent


async def test_to_all_but_those_who_have_to_wait() -> None:
    free, full, closing, busy = (Path(echo) for _ in range(4))
    full._congested = True
    closing._held = CLOSING
    busy.enqueue(b"first\n")
    shared = LoopShared(asyncio.get_running_loop())
    assert send_to_all(shared, [free, full, closing, busy], b"all\n", 1) == [full, closing, busy]
    assert [path.sent for path in (free, full, closing, busy)] == [[b"all\n"], [], [], []]
    assert free.messages_sent == 1


async def test_of_many_some_are_sent_to_at_once_and_the_others_in_their_turn() -> None:
    shared = LoopShared(asyncio.get_running_loop())
    shared.allowance = 2
    members = [Path(echo) for _ in range(5)]
    assert send_to_all(shared, members, b"a\nb\n", 2) == []
    assert [len(path.sent) for path in members] == [1, 1, 0, 0, 0]
    assert list(shared.waiting) == members[2:]
    await eventually(lambda: not shared.waiting)
    assert [path.sent for path in members] == [[b"a\nb\n"]] * 5
    assert [path.messages_sent for path in members] == [2] * 5


def test_it_is_compiled_where_all_is_tested() -> None:
    """A build that failed says nothing: the same would run, and everything pass, at half the speed."""
    assert message_path.__file__ is not None
    plain = message_path.__file__.endswith(".py")
    assert issubclass(CoroutineConnection, PlainAwaiting) == plain
    if SWAPPED:
        assert plain
    elif in_ci() and sys.platform == "linux":
        assert not plain


@pytest.mark.parametrize("size", [10, FLUSH_AT + 1])
def test_a_broadcast_to_many_is_one_write_a_member(size: int) -> None:
    group: Group[bytes] = Group()

    class Member(StreamHandler[bytes]):
        codec = LineCodec(max_size=2 * FLUSH_AT)

        def on_connect(self, conn: Any) -> None:
            group.add(conn)

    with HandlerHarness(Member()) as first:
        peers = [first, *(first.connect() for _ in range(3 * AT_ONCE))]
        first.call(group.broadcast, b"x" * size)
        assert [peer.writes for peer in peers] == [1] * len(peers)
        assert {peer.sent for peer in peers} == {b"x" * size + b"\n"}


def test_what_is_said_while_many_wait_reaches_them_by_the_same_write() -> None:
    with HandlerHarness(StreamHandler[bytes](), codec=LineCodec()) as first:
        peers = [first, *(first.connect() for _ in range(3 * AT_ONCE))]
        conns: Any = [peer.conn for peer in peers]

        def say() -> None:
            send_to_all(conns[0].shared, conns, b"one\n", 1)
            late: Any = send_to_all(conns[0].shared, conns, b"two\n", 1)
            for conn in late:
                conn.enqueue(b"two\n")

        first.call(say)
        assert {peer.sent for peer in peers} == {b"one\ntwo\n"}
        assert [peer.writes for peer in peers] == [2] * AT_ONCE + [1] * (len(peers) - AT_ONCE)
