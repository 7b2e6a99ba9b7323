"""One server, three styles, tried with nc."""

from __future__ import annotations

from aionet import LineCodec, Router, connect
from aionet.styles import StreamStyle, stream_style
from examples import three_styles

from ..tools import require
from .trying import serving, shell, told


def router() -> Router:
    return three_styles.make_router(*["tcp://127.0.0.1:0"] * 3)


def test_each_is_of_its_style() -> None:
    styles = [stream_style(route.handler) for route in three_styles.router.routes]
    assert styles == [StreamStyle.CALLBACK, StreamStyle.ASYNC_MESSAGE, StreamStyle.COROUTINE]


async def test_the_commands_of_the_docstring() -> None:
    require("nc")
    async with serving(router()) as server:
        shout, resolve, greet = (str(endpoint.port) for endpoint in server.addresses)
        assert await shell(told(three_styles, "printf 'hello", {"7000": shout})) == "HELLO\n"
        assert "127.0.0.1" in await shell(told(three_styles, "printf 'localhost", {"7001": resolve}))
        said = await shell(told(three_styles, "nc 127", {"7002": greet}), stdin=b"ada\nhow are you?\nbye\n")
        assert said.splitlines() == [
            "who are you?",
            "hello ada, say something (bye ends)",
            "ada said how are you?",
            "goodbye ada",
        ]


async def test_a_name_that_does_not_resolve_gets_a_reason() -> None:
    async with (
        serving(router()) as server,
        connect(server.addresses[1], codec=LineCodec()) as conn,
    ):
        await conn.send(b"\xff")
        assert (await conn.receive()).startswith(b"error: ")
        await conn.send(b"a..b")
        assert (await conn.receive()).startswith(b"error: ")
        await conn.send(b"127.0.0.1")
        assert await conn.receive() == b"127.0.0.1"


async def test_a_guest_who_leaves_without_a_name() -> None:
    async with (
        serving(router()) as server,
        connect(server.addresses[2], codec=LineCodec()) as conn,
    ):
        assert await conn.receive() == b"who are you?"
        await conn.send_eof()
        assert [line async for line in conn] == []
