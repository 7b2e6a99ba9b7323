"""A web application and a handler on one port, as their readers would try them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionet import Server
from examples import asgi_guest
from examples.asgi_guest import ASGIGuest, app, make_router

from ..tools import require
from .trying import program, run_command, serving, shell, told


async def test_the_commands_of_the_docstring() -> None:
    require("curl")
    require("nc")
    guest = ASGIGuest(app)
    async with guest.lifespan(), serving(make_router(guest, "tcp://127.0.0.1:0")) as server:
        port = {"7080": str(server.addresses[0].port)}
        assert await shell(told(asgi_guest, "curl", port)) == '{"hello":"127.0.0.1","requests":1}'
        assert await shell(told(asgi_guest, "printf", port)) == "HELLO\n"


async def test_a_connection_that_is_kept_and_its_date() -> None:
    curl = require("curl")
    guest = ASGIGuest(app)
    async with guest.lifespan(), serving(make_router(guest, "tcp://127.0.0.1:0")) as server:
        url = f"http://127.0.0.1:{server.addresses[0].port}/"
        said = await run_command(curl, "-si", url, url + "missing")
        assert said.count("HTTP/1.1 200 OK") == said.count("HTTP/1.1 404 Not Found") == 1
        assert said.count("\ndate: ") == 2


async def test_a_drain_lets_a_request_end_and_closes_who_is_idle() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: object, receive: Any, send: Any) -> None:
        entered.set()
        await leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    guest = ASGIGuest(slow, lifespan="off")
    async with Server(make_router(guest, "tcp://127.0.0.1:0"), drain_timeout=10) as server:
        place = server.addresses[0]
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await entered.wait()
        drain = asyncio.ensure_future(server.drain())
        await asyncio.sleep(0.02)
        assert not drain.done()
        leave.set()
        assert (await reader.read()).endswith(b"done")
        assert (await drain).cut == ()
        writer.close()


async def test_an_application_that_cannot_start_is_told_of() -> None:
    async def fails(scope: object, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="could not start"):
        async with ASGIGuest(fails).lifespan():
            pass


def test_it_runs_as_a_program() -> None:
    with program("-m", "examples.asgi_guest", "tcp://127.0.0.1:0") as running:
        assert running.stop() == 0, running.said
