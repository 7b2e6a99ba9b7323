"""Publish and subscribe, by nc and by clients that do not keep up."""

from __future__ import annotations

import asyncio

from aionet import Connection, LineCodec, Router, connect
from aionet.events import ConnectionClosed
from examples import pubsub
from examples.pubsub import MAX_SUBSCRIPTIONS, PubSub, make_router

from ..tools import require
from .trying import serving, shell, told


async def tell(conn: Connection[bytes], line: bytes) -> bytes:
    await conn.send(line)
    return await conn.receive()


async def test_subscribers_hear_and_others_do_not() -> None:
    async with (
        serving(make_router("tcp://127.0.0.1:0")) as server,
        connect(server.addresses[0], codec=LineCodec()) as one,
        connect(server.addresses[0], codec=LineCodec()) as two,
        connect(server.addresses[0], codec=LineCodec()) as publisher,
    ):
        assert await tell(one, b"SUBSCRIBE news") == b"+ subscribed"
        assert await tell(one, b"subscribe news") == b"+ subscribed"
        assert await tell(two, b"SUBSCRIBE news") == b"+ subscribed"
        assert await tell(two, b"SUBSCRIBE weather") == b"+ subscribed"
        assert await tell(publisher, b"TOPICS") == b"+ news weather"
        assert await tell(publisher, b"PUBLISH news it \x1b[31mworks") == b"+ 2"
        assert await tell(publisher, b"PUBLISH weather rain") == b"+ 1"
        assert await tell(publisher, b"PUBLISH nobody hears") == b"+ 0"
        assert await one.receive() == b"* news it ?[31mworks"
        assert await two.receive() == b"* news it ?[31mworks"
        assert await two.receive() == b"* weather rain"
        assert await tell(two, b"UNSUBSCRIBE weather") == b"+ unsubscribed"
        assert await tell(publisher, b"TOPICS") == b"+ news"


async def test_the_last_to_leave_takes_the_topic_along() -> None:
    handler = PubSub()
    router = Router()
    router.add("tcp://127.0.0.1:0", handler)
    gone = asyncio.Event()
    async with serving(router) as server:
        server.events.subscribe(lambda event: gone.set(), ConnectionClosed)
        async with connect(server.addresses[0], codec=LineCodec()) as conn:
            assert await tell(conn, b"SUBSCRIBE news") == b"+ subscribed"
            assert list(handler.topics) == [b"news"]
            assert await tell(conn, b"QUIT") == b"+ goodbye"
            assert [line async for line in conn] == []
        await gone.wait()
        assert handler.topics == {}


async def test_bad_commands_have_answers() -> None:
    async with (
        serving(make_router("tcp://127.0.0.1:0")) as server,
        connect(server.addresses[0], codec=LineCodec(max_size=100_000)) as conn,
    ):
        assert (await tell(conn, b"DANCE")).startswith(b"- commands: ")
        assert (await tell(conn, b"SUBSCRIBE")).startswith(b"- a topic has")
        assert (await tell(conn, b"SUBSCRIBE \xe2\x98\x83")).startswith(b"- a topic has")
        assert (await tell(conn, b"PUBLISH " + b"x" * 65)).startswith(b"- a topic has")
        for number in range(MAX_SUBSCRIPTIONS):
            assert await tell(conn, b"SUBSCRIBE %d" % number) == b"+ subscribed"
        assert (await tell(conn, b"SUBSCRIBE more")).startswith(b"- at most 32")
        assert (await tell(conn, b"x" * 5000)).startswith(b"- a line of more than 4096 bytes")
        assert [line async for line in conn] == []


async def test_the_longest_message_is_cut_to_what_a_line_holds() -> None:
    async with (
        serving(make_router("tcp://127.0.0.1:0")) as server,
        connect(server.addresses[0], codec=LineCodec()) as conn,
    ):
        await tell(conn, b"SUBSCRIBE " + b"t" * 64)
        line = b"PUBLISH " + b"t" * 64 + b" "
        await conn.send(line + b"x" * (4096 - len(line)))
        heard = {await conn.receive(), await conn.receive()}
        assert heard == {b"* " + b"t" * 64 + b" " + b"x" * (4096 - len(line)), b"+ 1"}


async def test_a_subscriber_that_does_not_read_loses_the_oldest_and_nobody_waits() -> None:
    handler = PubSub(max_backlog=10_000)
    router = Router()
    router.add("tcp://127.0.0.1:0?sndbuf=4096", handler)
    count = 3000
    async with (
        serving(router) as server,
        connect(server.addresses[0].with_options(rcvbuf=4096), codec=LineCodec()) as slow,
        connect(server.addresses[0], codec=LineCodec()) as publisher,
    ):
        assert await tell(slow, b"SUBSCRIBE news") == b"+ subscribed"
        slow.pause_reading()
        for number in range(count):
            assert await tell(publisher, b"PUBLISH news %d %s" % (number, b"x" * 1000)) == b"+ 1"
        group = handler.topics[b"news"]
        assert group.dropped > 0
        slow.resume_reading()
        await publisher.send(b"PUBLISH news last")
        numbers = []
        async for line in slow:
            numbers.append(line.split()[2])
            if numbers[-1] == b"last":
                break
        assert len(numbers) == count + 1 - group.dropped
        assert numbers[-2] == b"%d" % (count - 1)
        assert numbers == [*sorted(numbers[:-1], key=int), b"last"]


async def test_the_commands_of_the_docstring() -> None:
    require("nc")
    async with (
        serving(make_router("tcp://127.0.0.1:0")) as server,
        connect(server.addresses[0], codec=LineCodec()) as conn,
    ):
        assert await tell(conn, b"SUBSCRIBE news") == b"+ subscribed"
        command = told(pubsub, "nc 127", {"7050": str(server.addresses[0].port)}).replace("nc ", "nc -N ")
        assert await shell(command, stdin=b"PUBLISH news it works\n") == "+ 1\n"
        assert await conn.receive() == b"* news it works"
