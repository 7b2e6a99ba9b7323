"""A web application and a protocol of one's own on one port: uvicorn's protocols serve the one, a handler the other.

Run it, from the project's directory (it needs uvicorn and starlette)::

    python -m examples.asgi_guest

Try it from another terminal::

    curl -s http://127.0.0.1:7080/             # the application
    printf 'hello\\n' | nc -N 127.0.0.1 7080    # the handler

``python -m aionet serve examples.asgi_guest:router`` serves both as well, without the application's lifespan.

``router.add(endpoint, protocol=...)`` takes anything that makes an ``asyncio.Protocol``. Of uvicorn that is all there
is here: no event loop, sockets or signals of its own. The server drains it, too: idle connections close, requests that
are being answered end first.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from aionet import Connection, LineCodec, Router, Server, StreamHandler
from aionet.routing import http


class ASGIGuest:
    """Makes uvicorn's protocol for each connection of an ASGI application.

    Args:
        app: The application.
        options: For ``uvicorn.Config``.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        self._config = uvicorn.Config(app, log_config=None, **options)
        self._config.load()
        self._state = ServerState()
        self._lifespan = self._config.lifespan_class(self._config)
        self._set_date()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        make = cast(Any, self._config.http_protocol_class)
        protocol: asyncio.Protocol = make(config=self._config, server_state=self._state, app_state=self._lifespan.state)
        return protocol

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """The application's start-up before, its shutdown after; between them the Date of answers is kept right.

        Raises:
            RuntimeError: the application's start-up failed; it is logged.
        """
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise RuntimeError("the application could not start")
        clock = asyncio.create_task(self._keep_date())
        try:
            yield
        finally:
            clock.cancel()
            with suppress(asyncio.CancelledError):
                await clock
            await self._lifespan.shutdown()

    async def _keep_date(self) -> None:
        while True:
            self._set_date()
            await asyncio.sleep(1)

    def _set_date(self) -> None:
        date = (b"date", formatdate(usegmt=True).encode())
        self._state.default_headers = [date, *self._config.encoded_headers]


class Shout(StreamHandler[bytes]):
    """The protocol of one's own."""

    codec = LineCodec(max_size=1024)

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """One line."""
        conn.write(message.upper())


@asynccontextmanager
async def _counting(app: Starlette) -> AsyncIterator[None]:
    app.state.requests = 0
    yield


async def _home(request: Request) -> JSONResponse:
    state = request.app.state
    state.requests = getattr(state, "requests", 0) + 1
    assert request.client is not None
    return JSONResponse({"hello": request.client.host, "requests": state.requests})


app = Starlette(routes=[Route("/", _home)], lifespan=_counting)


def make_router(guest: ASGIGuest, endpoint: str = "tcp://127.0.0.1:7080") -> Router:
    """HTTP goes to the guest, everything else to the handler."""
    router = Router()
    router.add(endpoint, protocol=guest, match=http(), name="app")
    router.add(endpoint, Shout())
    return router


async def main(endpoint: str = "tcp://127.0.0.1:7080") -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    guest = ASGIGuest(app)
    async with guest.lifespan(), Server(make_router(guest, endpoint), drain_timeout=5.0) as server:
        print(f"listening on {server.addresses[0].location}; Ctrl+C stops", file=sys.stderr, flush=True)
        await stop.wait()


def router() -> Router:
    """For ``python -m aionet serve examples.asgi_guest:router``."""
    return make_router(ASGIGuest(app))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]) if len(sys.argv) > 1 else main())
