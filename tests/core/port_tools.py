"""What tests of ports share: a server with several routes on one port, and peers that say things in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aionet import Connection, Endpoint, LineCodec, Router, Server, StreamHandler

from ..conftest import TLSFiles
from ..serving import quiet

__all__ = ["Named", "ask", "on_one_port", "opened", "route", "tls_port", "trusting"]


class Named(StreamHandler[bytes]):
    """Answers each line with its own name, the line, and the host of whoever has sent it."""

    codec = LineCodec(max_size=8192)

    def __init__(self, name: str, greeting: bytes = b"") -> None:
        self.name = name.encode()
        self.greeting = greeting
        self.conns: list[Connection[bytes]] = []
        self.closed: list[Any] = []

    def on_connect(self, conn: Connection[bytes]) -> None:
        self.conns.append(conn)
        if self.greeting:
            conn.write(self.greeting)

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        host = conn.peername[0] if isinstance(conn.peername, tuple) and conn.peername else conn.peername
        conn.write(b"%s %s %s" % (self.name, message, str(host).encode()))

    def on_close(self, conn: Connection[bytes], reason: Any, exc: BaseException | None) -> None:
        self.closed.append(reason)


def route(handler: object = None, **settings: Any) -> dict[str, Any]:
    """A route, as arguments of ``Router.add``."""
    return {"handler": handler, **settings}


@contextlib.asynccontextmanager
async def on_one_port(endpoint: str, *routes: dict[str, Any], **options: Any) -> AsyncIterator[tuple[Server, Endpoint]]:
    """A server whose routes are all on this endpoint."""
    router = Router()
    for settings in routes:
        router.add(endpoint, **settings)
    with quiet():
        async with Server(router, **options) as server:
            try:
                yield server, server.addresses[0]
            finally:
                await server.abort()


def tls_port(files: TLSFiles, scheme: str = "auto", more: str = "") -> str:
    """An endpoint with the server's certificate."""
    return f"{scheme}://127.0.0.1:0?cert={files.server_cert}&key={files.server_key}{more}"


def trusting(files: TLSFiles, *alpn: str) -> ssl.SSLContext:
    """A client's context for it."""
    context = ssl.create_default_context(cafile=str(files.ca))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def opened(place: Endpoint, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connected client; ``options`` are those of ``asyncio.open_connection``."""
    if place.scheme == "unix":
        return await asyncio.open_unix_connection(place.path, **options)
    return await asyncio.open_connection(place.host, place.port, **options)


async def ask(place: Endpoint, *pieces: bytes, eof: bool = False, **options: Any) -> bytes:
    """What a client is told first that says this, piece by piece; ``b""``: nothing, the connection has ended."""
    reader, writer = await opened(place, **options)
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.001 if len(pieces) > 1 else 0)
            if eof:
                writer.write_eof()
            return await reader.readline()
        return b""
    finally:
        writer.transport.abort()
