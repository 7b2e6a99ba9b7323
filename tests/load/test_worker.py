"""The process that generates load, from the other end of its pipe."""

from __future__ import annotations

import asyncio
import time
from multiprocessing import Pipe
from typing import Any

from aionet import Endpoint
from aionet.errors import ConnectError
from aionet.load.engine import Snapshot
from aionet.load.plan import Share
from aionet.load.worker import Done, Failed, Go, Order, Ready, Stop, work
from aionet.services.echo import Echo

from ..core.test_connecting import refusing
from ..serving import eventually, serving
from .runs import plan_for


def drain(pipe: Any) -> list[Any]:
    """What has come."""
    messages = []
    while pipe.poll():
        messages.append(pipe.recv())
    return messages


async def test_it_says_when_it_is_ready_and_waits_for_the_word() -> None:
    ours, theirs = Pipe()
    with ours, theirs:
        async with serving(Echo()) as (_, place):
            task = asyncio.create_task(work(theirs, Order(plan_for(place), Share(0, 1), "auto")))
            await eventually(ours.poll)
            assert drain(ours) == [Ready(4)]
            ours.send(Go(time.perf_counter_ns()))
            await task
        *snapshots, last = drain(ours)
    assert isinstance(last, Done)
    assert all(isinstance(snapshot, Snapshot) for snapshot in snapshots)
    assert sum(snapshot.tally.answered for snapshot in snapshots) == 200


async def test_it_says_why_it_cannot_connect() -> None:
    ours, theirs = Pipe()
    with ours, theirs:
        place = Endpoint.parse(f"tcp://127.0.0.1:{refusing()}")
        await work(theirs, Order(plan_for(place), Share(0, 1), "auto"))
        [failed] = drain(ours)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConnectError)
    assert failed.error.hint is not None


async def test_told_to_stop_or_left_alone_it_ends() -> None:
    for alone in (False, True):
        ours, theirs = Pipe()
        with theirs:
            async with serving(Echo()) as (_, place):
                task = asyncio.create_task(work(theirs, Order(plan_for(place, duration=60.0), Share(0, 1), "auto")))
                await eventually(ours.poll)
                ours.recv()
                ours.send(Go(time.perf_counter_ns()))
                await eventually(ours.poll)
                if alone:
                    ours.close()
                else:
                    ours.send(Stop())
                done, _ = await asyncio.wait({task}, timeout=20)
                assert done
                assert (task.exception() is None) or alone
            ours.close()
