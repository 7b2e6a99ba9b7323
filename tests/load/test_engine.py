"""The phases of a run, and connections that come and go."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from aionet import Connection, Endpoint, StreamHandler
from aionet.errors import ConnectError
from aionet.load.engine import Engine, Snapshot
from aionet.load.outcome import Outcome
from aionet.load.plan import Plan, Share
from aionet.services.echo import Echo

from ..core.test_connecting import refusing
from ..serving import eventually, serving
from .runs import Misbehaving, exchange, generate, plan_for


async def under_way(plan: Plan) -> tuple[Outcome, Engine, asyncio.Task[None]]:
    """A run that has told of its first interval; whoever ends it awaits the task."""
    outcome = Outcome(plan, 1)
    engine = Engine(plan, Share(0, 1), outcome.add)
    await engine.open()
    running = asyncio.create_task(engine.run(time.perf_counter_ns()))
    await eventually(lambda: outcome.intervals)
    return outcome, engine, running


async def test_phases_and_intervals() -> None:
    snapshots: list[Snapshot] = []
    async with serving(Echo()) as (_, place):
        plan = plan_for(place, duration=0.2, warmup=0.05, ramp=0.05)
        engine = Engine(plan, Share(0, 1), snapshots.append)
        assert await engine.open() == 1  # the others during the ramp
        await engine.run(time.perf_counter_ns())
    phases = [snapshot.phase for snapshot in snapshots]
    assert phases == ["lead"] * 2 + ["measured"] * 4 + ["drain"]
    measured = [snapshot for snapshot in snapshots if snapshot.phase == "measured"]
    assert [snapshot.number for snapshot in measured] == [0, 1, 2, 3]
    assert [round(snapshot.at, 6) for snapshot in measured] == [0.1, 0.15, 0.2, 0.25]
    assert sum(snapshot.tally.answered for snapshot in measured) > 0
    assert measured[-1].connections == 4


@pytest.mark.parametrize("shares", [1, 2, 3])
@pytest.mark.parametrize("rate", [None, 20_000.0])
async def test_so_many_messages_and_not_one_more(shares: int, rate: float | None) -> None:
    handler = Misbehaving("", after=1 << 30)
    async with serving(handler) as (_, place):
        outcome = await generate(plan_for(place, messages=1001, connections=7, rate=rate), shares)
    total = outcome.total()
    assert (total.sent, total.answered, total.unsent, total.failures) == (1001, 1001, 0, {})
    assert handler.connections == 7
    assert outcome.seconds > 0


async def test_an_open_loop_is_charged_for_what_a_stall_holds_up() -> None:
    """A server that stops for 0.1 s makes all that was due meanwhile late, not only what was under way."""

    class Stalling(StreamHandler[bytes]):
        stalled = False

        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            if self.stalled:
                conn.write(message)
                return
            self.stalled = True
            conn.pause_reading()
            loop = asyncio.get_running_loop()
            loop.call_later(0.1, lambda: (conn.write(message), conn.resume_reading()))

    async with serving(Stalling()) as (_, place):
        plan = plan_for(place, rate=1000.0, messages=200, connections=1)
        outcome = await generate(plan)
    latencies = outcome.latencies()
    assert latencies.count == 200
    assert sum(count for value, count in latencies if value > 40_000) >= 50


async def test_a_closed_loop_with_reconnect_goes_on() -> None:
    handler = Misbehaving("close", after=5)
    async with serving(handler) as (_, place):
        total = (await generate(plan_for(place, messages=40, connections=2, reconnect=True))).total()
    # Each connection answers five and closes at the sixth: that one is not repeated.
    assert total.sent == 40
    assert total.answered + total.unanswered == 40
    assert total.unanswered == total.failures["closed by the peer"] >= 4
    assert handler.connections >= 6


async def test_with_reconnect_it_is_not_tried_for_ever() -> None:
    async with serving(Echo()) as (server, place):
        plan = plan_for(place, messages=1 << 40, reconnect=True, timeout=0.3)
        outcome, _, running = await under_way(plan)
        await server.abort()
        await running
    failures = outcome.total().failures
    assert failures["could not connect"] >= 4


async def test_with_reconnect_a_server_that_comes_back_is_found() -> None:
    async with serving(Echo()) as (server, place):
        plan = plan_for(place, duration=60.0, reconnect=True)
        outcome, engine, running = await under_way(plan)
        await server.abort()
    lost = len(outcome.intervals)
    async with serving(Echo(), str(place)):
        await eventually(lambda: any(interval.connections == 4 for interval in outcome.intervals[lost + 1 :]))
        answered = outcome.total().answered
        await eventually(lambda: outcome.total().answered > answered)
        engine.stop()
        await running
    assert outcome.total().failures.total() >= 4


async def test_nobody_there() -> None:
    plan = plan_for(Endpoint.parse(f"tcp://127.0.0.1:{refusing()}"))
    with pytest.raises(ConnectError, match="refused"):
        await Engine(plan, Share(0, 1), lambda snapshot: None).open()


async def test_a_server_that_goes_away_ends_the_run() -> None:
    async with serving(Echo()) as (server, place):
        plan = plan_for(place, duration=60.0, connections=3)
        outcome, _, running = await under_way(plan)
        await server.abort()
        await running
    total = outcome.total()
    assert total.failures.total() == 3
    assert set(total.failures) <= {"reset by the peer", "closed by the peer"}
    assert total.answered > 0


async def test_stopped_it_brings_what_there_is() -> None:
    async with serving(Echo()) as (_, place):
        plan = plan_for(place, duration=60.0, warmup=0.0)
        outcome, engine, running = await under_way(plan)
        engine.stop()
        await running
    total = outcome.total()
    assert total.answered == total.sent > 0
    assert outcome.seconds < 60
    assert not total.failures


async def test_more_connections_than_are_opened_at_once() -> None:
    async with serving(Echo()) as (_, place):
        outcome = await generate(plan_for(place, exchange(), messages=300, connections=150), 2)
    assert outcome.connections == 150
    assert outcome.total().answered == 300


async def test_some_that_cannot_connect_are_failures_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Echo()) as (_, place):
        plan = plan_for(place, messages=40)
        outcome = Outcome(plan, 1)
        engine = Engine(plan, Share(0, 1), outcome.add)
        client = type(engine._load.client(engine._tally, 0, 0))
        opened: Any = client.open

        async def refuse_once(self: Any, endpoint: Endpoint, timeout: float) -> None:
            monkeypatch.setattr(client, "open", opened)
            raise ConnectError("no more of them")

        monkeypatch.setattr(client, "open", refuse_once)
        assert await engine.open() == 3
        await engine.run(time.perf_counter_ns())
    total = outcome.total()
    assert total.failures == {"could not connect": 1}
    assert (total.answered, total.unsent) == (30, 10)
