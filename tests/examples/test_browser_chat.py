"""A browser, nc and the terminal client in one room."""

from __future__ import annotations

import pytest

from aionet import LineCodec, Router, WebSocketCodec, connect
from aionet.codecs.websocket import Page
from aionet.events import ConnectionClosed
from aionet.services.chat import Chat
from examples import browser_chat
from examples.browser_chat import make_router

from ..tools import require
from ..websocket_tools import browsing
from .trying import serving, shell, told


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_browser_chats_with_a_terminal() -> None:
    async with serving(make_router("ws://127.0.0.1:0/chat", "tcp://127.0.0.1:0")) as server:
        web, tcp = server.addresses
        complaints: list[str] = []
        async with (
            browsing(f"http://127.0.0.1:{web.port}/") as page,
            connect(tcp, codec=LineCodec()) as terminal,
        ):
            page.on("console", lambda message: complaints.append(f"{message.text} {message.location['url']}"))
            log = page.locator("#log")
            await page.get_by_text("Enter your username:").wait_for()
            await page.fill("input", "ada")
            await page.keyboard.press("Enter")
            await page.get_by_text("[SERVER] ada joined the chat!").wait_for()
            await terminal.send(b"bob")
            assert (await terminal.receive()).endswith(b"[SERVER] bob joined the chat!")
            await page.fill("input", "grüße an <b>alle</b>")
            await page.keyboard.press("Enter")
            assert await terminal.receive() == "[ada] grüße an <b>alle</b>".encode()
            await terminal.send("hallo 🙂".encode())
            await page.get_by_text("[bob] hallo 🙂").wait_for()
            assert "> grüße an <b>alle</b>" in await log.inner_text()
            await server.drain()
            await page.get_by_text("(closed: 1001 the server is leaving)").wait_for()
            assert "[SERVER] shutting down" in await log.inner_text()
        assert not [complaint for complaint in complaints if not complaint.endswith("/favicon.ico")]


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_the_page_of_another_site_may_not_connect() -> None:
    elsewhere = Router()
    page_of_another = Page(b"<title>evil", headers={"Content-Security-Policy": "default-src *"})
    elsewhere.add("ws://127.0.0.1:0/", Chat(), codec=WebSocketCodec(pages={"/": page_of_another}))
    async with (
        serving(make_router("ws://127.0.0.1:0/chat", "tcp://127.0.0.1:0")) as server,
        serving(elsewhere) as other,
    ):
        closed: list[ConnectionClosed] = []
        server.events.subscribe(closed.append, ConnectionClosed)
        async with browsing(f"http://127.0.0.1:{other.addresses[0].port}/") as page:
            outcome = await page.evaluate(
                """port => new Promise(done => {
                    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
                    socket.onopen = socket.onerror = event => done(event.type);
                })""",
                server.addresses[0].port,
            )
        assert outcome == "error"
        assert [str(event.exc) for event in closed] == [
            f"403 Forbidden: pages of http://127.0.0.1:{other.addresses[0].port} may not connect (see origins)"
        ]


async def test_the_commands_of_the_docstring() -> None:
    require("nc")
    require("curl")
    async with serving(make_router("ws://127.0.0.1:0/chat", "tcp://127.0.0.1:0")) as server:
        web, tcp = server.addresses
        assert await shell(told(browser_chat, "curl", {"8081": str(web.port)})) == "ok\n"
        said = await shell(
            told(browser_chat, "nc", {"127.0.0.1 9081": f"-N 127.0.0.1 {tcp.port}"}), stdin=b"ada\n/who\n"
        )
        assert "1 here: ada" in said
        page = await shell(f"curl -s http://127.0.0.1:{web.port}/")
        assert "<title>Chat</title>" in page
