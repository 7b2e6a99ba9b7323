"""Several at once, in the background, and ahead of their answers."""

from __future__ import annotations

import asyncio
from collections import deque

import anyio
import anyio.lowlevel
import pytest

from aionet.services.files.client.channel import Channel
from aionet.services.files.client.concurrently import Background, Pipeline, concurrently
from aionet.services.files.client.remote import Remote
from aionet.services.files.errors import Interrupted, TransferError
from aionet.services.files.wire import Request

from .scripted import ok, scripted


async def test_the_first_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def fail(after: float) -> None:
        await anyio.sleep(after)
        raise Interrupted(f"{after}")

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("wait")

    with pytest.raises(Interrupted, match=r"0\.01"):
        await concurrently(wait(), fail(0.01), fail(5.0), wait())
    assert ended == ["wait", "wait"]
    await concurrently()


async def test_a_cancellation_from_outside_is_one() -> None:
    with anyio.move_on_after(0.01) as scope:
        await concurrently(anyio.sleep_forever(), anyio.sleep_forever())
    assert scope.cancelled_caught


async def test_in_the_background_one_after_the_other_and_only_the_last_is_not_waited_for() -> None:
    done: list[int] = []
    background = Background()
    gates = [asyncio.Event() for _ in range(3)]

    async def work(number: int) -> None:
        await gates[number].wait()
        done.append(number)

    await background.start(lambda: work(0))
    assert done == []
    gates[0].set()
    await background.start(lambda: work(1))
    assert done == [0]
    gates[1].set()
    gates[2].set()
    await background.start(lambda: work(2))
    await background.finish()
    await background.finish()
    assert done == [0, 1, 2]


async def test_a_failure_in_the_background_is_met_by_whoever_comes_next() -> None:
    async def fail() -> None:
        raise TransferError("the disk is full")

    background = Background()
    await background.start(fail)
    with pytest.raises(TransferError, match="full"):
        await background.start(fail)
    await background.start(fail)
    with pytest.raises(TransferError, match="full"):
        await background.finish()
    await background.start(fail)  # and if nobody comes, it is no noise
    await anyio.lowlevel.checkpoint()


async def run_pipeline(remote: Remote, keys: deque[str], *, ahead: int = 4) -> tuple[list[str], list[str]]:
    """``STAT`` of each key: those that were answered, and those that were refused."""
    taken: list[str] = []
    refused: list[str] = []

    async def post(channel: Channel, key: str) -> None:
        channel.post(Request("STAT", key))

    async def take(channel: Channel, key: str) -> None:
        reply = await channel.last()
        assert reply.facts["name"] == key
        taken.append(key)
        if key == "grows":
            keys.append("more")

    await Pipeline(remote, post, take, lambda key, exc: refused.append(key), ahead=ahead).run(keys)
    return taken, refused


def name_of(line: str) -> str:
    return line.partition(" ")[2]


async def test_each_is_answered_once_and_in_order() -> None:
    def answer(line: str) -> bytes:
        return b"ERR NOT_FOUND no\n" if "7" in line else ok(name=name_of(line))

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        taken, refused = await run_pipeline(remote, deque([*(f"{number}" for number in range(20)), "grows"]))
        assert refused == ["7", "17"]
        assert taken == [*(f"{number}" for number in range(20) if number % 10 != 7), "grows", "more"]
        assert server.connections == 1


async def test_what_a_broken_connection_did_not_answer_is_asked_again(pauses: list[float]) -> None:
    count = 0

    def answer(line: str) -> bytes | None:
        nonlocal count
        count += 1
        return None if count % 6 == 0 else ok(name=name_of(line))

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        names = [f"{number}" for number in range(40)]
        assert await run_pipeline(remote, deque(names)) == (names, [])
        assert server.connections == len(pauses) + 1 > 5


async def test_a_connection_that_breaks_before_it_can_answer_much_is_given_less(pauses: list[float]) -> None:
    """However soon each one breaks, as long as one answer comes before, it ends."""
    asked: dict[int, int] = {}

    def answer(line: str) -> bytes | None:
        asked[server.connections] = asked.get(server.connections, 0) + 1
        return ok(name=name_of(line)) if asked[server.connections] == 1 else None

    async with scripted(answer) as server, Remote(server.endpoint, retries=1) as remote:
        names = [f"{number}" for number in range(10)]
        assert await run_pipeline(remote, deque(names), ahead=64) == (names, [])


async def test_what_never_gets_an_answer_is_given_up(pauses: list[float]) -> None:
    async with scripted(lambda line: None) as server, Remote(server.endpoint, retries=3) as remote:
        with pytest.raises(Interrupted):
            await run_pipeline(remote, deque(["a", "b"]))
        assert server.connections == 4
