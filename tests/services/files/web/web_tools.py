"""A server of a directory over HTTP on a real socket, and a client that sees every byte of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext

from aionet.endpoint import Endpoint
from aionet.events import ConnectionClosed, HandlerFailed
from aionet.routing import Router
from aionet.server import Server
from aionet.services.files.web import WebFiles


@dataclass(slots=True)
class Served:
    """A running server, and what it reported."""

    server: Server
    handler: WebFiles
    endpoint: Endpoint
    failures: list[HandlerFailed]
    closed: list[ConnectionClosed]

    @property
    def url(self) -> str:
        return f"http://{self.endpoint.host}:{self.endpoint.port}"


@asynccontextmanager
async def serve_web(handler: WebFiles, endpoint: str = "tcp://127.0.0.1:0") -> AsyncIterator[Served]:
    router = Router()
    router.add(endpoint, handler)
    async with Server(router) as server:
        served = Served(server, handler, server.addresses[0], [], [])
        server.events.subscribe(served.failures.append, HandlerFailed)
        server.events.subscribe(served.closed.append, ConnectionClosed)
        yield served


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    fields: dict[str, str]
    body: bytes


@dataclass(slots=True)
class WebClient:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, method: str, target: str = "/", body: bytes | None = None, **fields: str) -> Answer:
        """One request, with ``if_match="..."`` for ``If-Match: ...``."""
        self.write(request(method, target, body, **fields))
        return await self.answer(has_body=method != "HEAD")

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer; those of 100 are passed over."""
        while True:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii")
            status_line, *lines = head.split("\r\n")[:-2]
            status = int(status_line.split(" ")[1])
            if status != 100:
                break
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(fields.get("content-length", 0)) if has_body and status not in (204, 304) else 0
        return Answer(status, fields, await self.reader.readexactly(size))

    async def rest(self) -> bytes:
        return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


def request(method: str, target: str = "/", body: bytes | None = None, **fields: str) -> bytes:
    """The bytes of a request."""
    lines = {"Host": "127.0.0.1"} | {name.replace("_", "-").title(): value for name, value in fields.items()}
    if body is not None:
        lines["Content-Length"] = str(len(body))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{head}\r\n".encode("latin-1") + (body or b"")


@asynccontextmanager
async def web_client(served: Served, ssl: SSLContext | None = None) -> AsyncIterator[WebClient]:
    reader, writer = await asyncio.open_connection(served.endpoint.host, served.endpoint.port, ssl=ssl)
    client = WebClient(reader, writer)
    try:
        yield client
    finally:
        await client.close()
