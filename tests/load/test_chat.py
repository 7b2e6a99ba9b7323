"""A chat room under load: every delivery is counted, in order, and what a server does wrong is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aionet import Connection, Endpoint
from aionet.errors import ConnectError
from aionet.load import Chat
from aionet.services import chat
from aionet.services.echo import Echo

from ..core.test_connecting import blackhole
from ..serving import serving
from .runs import generate, plan_for


def room(speakers: int = 2) -> Chat:
    return Chat(speakers, 64, "bench")


@pytest.mark.parametrize(
    ("shares", "endpoint"), [(1, "tcp://127.0.0.1:0"), (3, "tcp://127.0.0.1:0"), (1, "ws://127.0.0.1:0/")]
)
async def test_everybody_hears_everybody_else(shares: int, endpoint: str) -> None:
    async with serving(chat.Chat(rate=math.inf), endpoint) as (_, place):
        plan = plan_for(place, room(), connections=6, duration=0.2, rate=500.0)
        outcome = await generate(plan, shares)
    total = outcome.total()
    assert total.sent > 50
    assert total.answered == total.sent * 5
    assert (total.wrong, total.lost, total.reordered, total.duplicated, total.failures) == (0, 0, 0, 0, {})
    assert outcome.latencies().count > 0


class Tampering(chat.Chat):
    """Passes on every tenth message in its own way."""

    def __init__(self, how: str) -> None:
        super().__init__(rate=math.inf)
        self.how = how
        self.count = 0
        self.held: bytes | None = None

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        if not conn.state.name or not message[:1].isdigit():
            super().on_message(conn, message)
            return
        self.count += 1
        if self.count % 10 == 5:
            match self.how:
                case "drop":
                    return
                case "double":
                    super().on_message(conn, message)
                case "change":
                    message = b"x" + message
                case "hold":
                    self.held = message
                    return
        super().on_message(conn, message)
        if self.held is not None:
            held, self.held = self.held, None
            super().on_message(conn, held)


@pytest.mark.parametrize(
    ("how", "counter"), [("drop", "lost"), ("double", "duplicated"), ("change", "wrong"), ("hold", "reordered")]
)
async def test_what_a_server_does_to_messages_is_seen(how: str, counter: str) -> None:
    handler = Tampering(how)
    async with serving(handler) as (_, place):
        total = (await generate(plan_for(place, room(1), connections=3, duration=0.2, rate=300.0))).total()
    tampered = (handler.count + 5) // 10
    assert tampered > 3
    # The very last one may have been held back, with nothing behind it.
    assert getattr(total, counter) in (2 * tampered, 2 * (tampered - 1))
    assert total.failures == {}


async def test_flood_control_is_told() -> None:
    async with serving(chat.Chat(rate=1, burst=2)) as (_, place):
        plan = plan_for(place, room(1), connections=2, duration=0.1, rate=300.0, timeout=0.2)
        total = (await generate(plan)).total()
    assert total.failures["flood control"] == 1
    assert "too many messages" in total.examples["flood control"][0]
    assert total.failures["no last line of a speaker"] == 1


async def test_a_server_that_is_no_chat() -> None:
    class Silent(Echo):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None: ...

    async with serving(Silent()) as (_, place):
        with pytest.raises(ConnectError, match=r"did not let bench00000\d into the room"):
            await generate(plan_for(place, room(), duration=0.1, rate=10.0, timeout=0.1))


async def test_a_server_that_does_not_answer_at_all() -> None:
    with blackhole() as port:
        plan = plan_for(Endpoint.parse(f"tcp://127.0.0.1:{port}"), room(), duration=0.1, rate=10.0, timeout=0.1)
        with pytest.raises(ConnectError):
            await generate(plan)


async def test_a_name_that_is_refused() -> None:
    class Refusing(chat.Chat):
        def _ask_name(self, conn: Connection[bytes], member: Any, line: bytes) -> None:
            self._refuse_name(conn, member, "not you")

    async with serving(Refusing()) as (_, place):
        with pytest.raises(ConnectError, match="into the room"):
            await generate(plan_for(place, room(), duration=0.1, rate=10.0))


@pytest.mark.parametrize(
    "line",
    [
        b"[bench000000] hello",
        b"[bench000000] end many",
        b"[bench000000] 999999999999 1" + b"." * 49,
        b"[bench000000] " + b"9" * 5000 + b" 1",
        b"[bench000007] 0 1",
        b"neither the server nor a member",
    ],
)
async def test_nonsense_is_wrong_and_nothing_worse(line: bytes) -> None:
    class Nonsense(chat.Chat):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            if conn.state.name and message[:1].isdigit():
                self.room.broadcast(line, exclude=conn)
            else:
                super().on_message(conn, message)

    async with serving(Nonsense(rate=math.inf)) as (_, place):
        total = (await generate(plan_for(place, room(1), connections=2, duration=0.1, rate=100.0))).total()
    assert total.wrong >= 5
    assert total.answered == 0
    assert total.lost == total.sent
    assert total.failures == {}
