"""What a chunk, a tick, a connection and a server cost, counted: writes, objects, timers. Times are for benchmarks.

Each transport write is a system call: combining them is where the speed comes from. Python calls are counted in
``test_stream_calls.py``, bytes of an idle connection in ``test_connections.py``.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import Any, Final

import pytest

from aionet import Connection, Group, LineCodec, Router, Server, StreamHandler
from aionet.core import message_path
from aionet.testing import HandlerHarness

from .stream_tools import as_on_uvloop
from .test_stream_calls import AsyncEcho, BatchEcho, Echo, echo

STYLES: Final = {"callback": Echo(), "batch": BatchEcho(), "async": AsyncEcho(), "coroutine": echo}
LINE: Final = b"x" * 63 + b"\n"

CALLBACK_OBJECTS: Final = 7
"""Objects that the garbage collector tracks for an idle connection in callback style: itself, its codec, its list for
output, four bound methods."""
COROUTINE_OBJECTS: Final = 20 if str(message_path.__file__).endswith(".py") else 23
"""The same with a task: the task, its context, the coroutines from the handler down to the future it waits for; the one
that is compiled is three objects more."""


# ── writes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("messages", [1, 2, 16, 64, 1000])
@pytest.mark.parametrize("style", STYLES)
def test_a_chunk_is_answered_by_one_write(style: str, messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    with HandlerHarness(STYLES[style], codec=LineCodec()) as peer:
        peer.receive(LINE * messages)
        assert peer.sent == LINE * messages
        assert peer.writes == 1


@pytest.mark.parametrize("style", STYLES)
def test_beyond_the_threshold_a_chunk_is_answered_by_as_few_as_that_allows(style: str) -> None:
    messages = 5 * 64 * 1024 // len(LINE)
    with HandlerHarness(STYLES[style], codec=LineCodec()) as peer:
        peer.receive(LINE * messages)
        assert peer.sent == LINE * messages
        assert peer.writes <= 6


@pytest.mark.parametrize("members", [1, 10, 200])
def test_a_tick_of_broadcasts_is_one_write_a_member(members: int) -> None:
    group: Group[bytes] = Group()

    class Member(StreamHandler[bytes]):
        def on_connect(self, conn: Connection[bytes]) -> None:
            group.add(conn)

    with HandlerHarness(Member(), codec=LineCodec()) as first:
        peers = [first, *(first.connect() for _ in range(members - 1))]

        def say() -> None:
            for _ in range(32):
                group.broadcast(b"hello")

        first.call(say)
        assert [peer.writes for peer in peers] == [1] * members
        assert {peer.sent for peer in peers} == {b"hello\n" * 32}


def test_a_tick_of_writes_from_elsewhere_is_one_write() -> None:
    with HandlerHarness(Echo(), codec=LineCodec()) as peer:
        other = peer.connect()
        peer.call(lambda: [conn.write(b"hello") for conn in (peer.conn, other.conn) for _ in range(32)])
        assert (peer.writes, other.writes) == (1, 1)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def tracked() -> Counter[str]:
    gc.collect()
    return Counter(type(found).__qualname__ for found in gc.get_objects())


@pytest.mark.parametrize(("style", "budget"), [("callback", CALLBACK_OBJECTS), ("coroutine", COROUTINE_OBJECTS)])
def test_an_idle_connection_is_few_objects(style: str, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    count = 200
    with HandlerHarness(STYLES[style], codec=LineCodec()) as peer:
        peer.receive(LINE)
        transport = peer.transport

        def open_one() -> Any:
            conn = peer._make()
            conn.connection_made(transport)  # of one transport: its own objects are not ours to count
            return conn

        kept = [peer.call(open_one)]
        before = tracked()
        kept += [peer.call(open_one) for _ in range(count)]
        each = Counter({name: number / count for name, number in (tracked() - before).items()})
        del each["ConnectionOpened"]  # kept by the harness
        for conn in kept:
            peer.call(conn.connection_lost, None)
        assert each.total() < budget + 0.5, each.most_common(12)  # tables grow now and then


# ── timers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the timers that are set, and knows those that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        handle = super().call_at(when, callback, *args, context=context)
        self.timers.append(handle)
        return handle

    @property
    def waiting(self) -> int:
        return sum(not handle.cancelled() and handle.when() > self.time() for handle in self.timers)


@pytest.mark.parametrize("connections", [1, 50])
def test_a_server_has_one_timer_however_many_connections(connections: int) -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        router = Router()
        router.add("tcp://127.0.0.1:0", Echo(), codec=LineCodec())
        async with Server(router) as server:
            clients = [await asyncio.open_connection("127.0.0.1", server.addresses[0].port) for _ in range(connections)]
            before = len(loop.timers)
            for _ in range(20):
                for reader, writer in clients:
                    writer.write(LINE)
                    assert await reader.readline() == LINE
            seen = loop.waiting, len(loop.timers) - before
            for _, writer in clients:
                writer.close()
                await writer.wait_closed()
        return seen

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        waiting, made = runner.run(main())
    assert waiting <= 1
    assert made <= 20, "one for each look at the deadlines, none for a message"
