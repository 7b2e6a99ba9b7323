"""Streams: what is right is counted, what is wrong is seen, whatever the codec."""

from __future__ import annotations

from typing import Any

import pytest

from aionet import (
    Connection,
    Endpoint,
    JsonCodec,
    LengthPrefixCodec,
    LineCodec,
    NetstringCodec,
    RawCodec,
    StreamHandler,
    WebSocketCodec,
)
from aionet.errors import ConnectError
from aionet.load import Exchange, Script
from aionet.load.streams import excerpt
from aionet.services.echo import Echo

from ..conftest import TLSFiles
from ..serving import serving
from .runs import Misbehaving, exchange, generate, plan_for


@pytest.mark.parametrize("codec", [RawCodec, LineCodec, LengthPrefixCodec, NetstringCodec, JsonCodec])
@pytest.mark.parametrize("pipeline", [1, 16])
@pytest.mark.parametrize("size", [1, 64, 3000])
async def test_an_echo_is_right(codec: Any, pipeline: int, size: int) -> None:
    async with serving(Echo()) as (_, place):
        outcome = await generate(plan_for(place, exchange(size, codec, pipeline=pipeline)))
    total = outcome.total()
    assert (total.sent, total.answered, total.wrong, total.unanswered, total.unsent) == (200, 200, 0, 0, 0)
    assert not total.failures
    assert outcome.latencies().count == 200
    assert outcome.connections == 4


@pytest.mark.parametrize("scheme", ["unix", "tls"])
async def test_over_other_streams(scheme: str, tmp_path: Any, tls_files: TLSFiles) -> None:
    endpoint = f"unix://{tmp_path}/echo.sock"
    if scheme == "tls":
        endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Echo(), endpoint) as (_, place):
        if scheme == "tls":
            place = type(place)("tls", place.host, place.port, options={"ca": str(tls_files.ca)})
        total = (await generate(plan_for(place, exchange(1000, pipeline=8)))).total()
    assert (total.answered, total.wrong, total.failures) == (200, 0, {})


@pytest.mark.parametrize("codec", [RawCodec, LineCodec, JsonCodec])
@pytest.mark.parametrize("pipeline", [1, 16])
async def test_over_websocket(codec: Any, pipeline: int) -> None:
    async with serving(Echo(), "ws://127.0.0.1:0/echo", route={"codec": WebSocketCodec(codec())}) as (_, place):
        total = (await generate(plan_for(place, exchange(100, codec, pipeline=pipeline)))).total()
    assert (total.answered, total.wrong, total.failures) == (200, 0, {})


async def test_a_server_that_is_no_websocket() -> None:
    class Refusing(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with serving(Refusing()) as (_, place):
        endpoint = Endpoint.parse(f"ws://{place.host}:{place.port}/")
        with pytest.raises(ConnectError, match="404"):
            await generate(plan_for(endpoint))


async def test_messages_larger_than_all_buffers() -> None:
    async with serving(Echo()) as (_, place):
        work = exchange(300_000, pipeline=8)
        total = (await generate(plan_for(place, work, connections=2, messages=40))).total()
    assert (total.answered, total.wrong, total.failures) == (40, 0, {})


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("close", "closed by the peer"),
        ("reset", "reset by the peer"),
        ("short", "closed by the peer"),
        ("silence", "no answer in time"),
        ("wrong", "a wrong reply"),
        ("double", "a wrong reply"),
    ],
)
async def test_each_way_to_fail_has_its_name(how: str, kind: str) -> None:
    async with serving(Misbehaving(how)) as (_, place):
        outcome = await generate(plan_for(place, timeout=0.3))
    total = outcome.total()
    assert total.failures == {kind: 4}
    assert total.answered == 4 * (4 if how == "double" else 3)
    assert total.wrong == (4 if how in ("wrong", "double") else 0)
    assert total.unanswered == (0 if how == "double" else 4)
    assert total.answered + total.unanswered + total.unsent == 200


async def test_a_wrong_reply_is_shown() -> None:
    async with serving(Misbehaving("wrong", after=0)) as (_, place):
        work = Exchange(Script((b"PING\r\n",), (b"PONG\r\n",)))
        total = (await generate(plan_for(place, work))).total()
    assert total.examples["wrong replies"] == [r"expected b'PONG\r\n', got b'PING\r!'"]


@pytest.mark.parametrize("codec", [LineCodec, LengthPrefixCodec])
async def test_with_a_codec_the_rest_is_still_compared(codec: Any) -> None:
    class EveryThird(StreamHandler[bytes]):
        def on_connect(self, conn: Connection[bytes]) -> None:
            conn.state = 0

        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.state += 1
            conn.write(message if conn.state % 3 else b"something else")

    async with serving(EveryThird(), route={"codec": codec}) as (_, place):
        total = (await generate(plan_for(place, exchange(codec=codec, pipeline=5)))).total()
    assert (total.answered, total.wrong) == (200, 4 * (50 // 3))
    assert not total.failures
    assert total.examples["wrong replies"][0].endswith("got b'something else'")


@pytest.mark.parametrize("codec", [RawCodec, LineCodec])
async def test_answers_nobody_asked_for(codec: Any) -> None:
    class Doubling(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(message)
            conn.write(message)

    script = Script((b"same",), (b"same",), codec)
    async with serving(Doubling(), route={"codec": codec}) as (_, place):
        total = (await generate(plan_for(place, Exchange(script)))).total()
    assert total.wrong >= 4
    assert total.failures == {"more answers than questions": 4}


async def test_replies_swapped_between_connections_are_seen() -> None:
    class Swapping(StreamHandler[bytes]):
        def __init__(self) -> None:
            self.waiting: tuple[Any, bytes] | None = None

        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            if self.waiting is None:
                self.waiting = conn, message
            else:
                other, earlier = self.waiting
                self.waiting = None
                conn.write(earlier)
                other.write(message)

    async with serving(Swapping()) as (_, place):
        total = (await generate(plan_for(place, connections=2))).total()
    assert total.answered == 0
    assert total.failures["a wrong reply"] == 2


async def test_bytes_that_are_no_frames() -> None:
    class Garbage(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            conn.write(b"\xff" * 10)

    async with serving(Garbage()) as (_, place):
        total = (await generate(plan_for(place, exchange(codec=LengthPrefixCodec)))).total()
    assert total.failures == {"the peer broke the protocol": 4}
    assert "announced" in total.examples["the peer broke the protocol"][0]


async def test_without_verification_everything_of_the_right_size_counts() -> None:
    async with serving(Misbehaving("wrong", after=0)) as (_, place):
        total = (await generate(plan_for(place, exchange(verify=False)))).total()
    assert (total.answered, total.wrong) == (200, 0)


@pytest.mark.parametrize("message", [b"a" * 61, "a" * 61])
def test_excerpts_are_short(message: Any) -> None:
    assert excerpt(message).endswith("a'...")
    assert excerpt([1, 2]) == "'[1, 2]'"
    assert excerpt(b"\x1b") == r"b'\x1b'"
