"""HTTP servers that do exactly what a test says, and nothing a server should."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Write = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Script = bytes | Write
"""An answer, after which the connection is closed; or what writes one."""


@dataclass(slots=True)
class Peer:
    """A running server: where it is, and the head of each request it got."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@asynccontextmanager
async def http_peer(*scripts: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Answers each connection by the next script, the last one again and again."""
    rest = list(scripts)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        script = rest.pop(0) if len(rest) > 1 else rest[0]
        with suppress(OSError, EOFError):
            peer.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(script, bytes):
                writer.write(script)
            else:
                await script(reader, writer)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    peer = Peer(server.sockets[0].getsockname()[1])
    try:
        yield peer
    finally:
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def answer(content: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A plain answer."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(content), *headers, b"", content]
    return b"\r\n".join(lines)


def redirect(location: bytes, status: bytes = b"302 Found") -> bytes:
    """A redirect."""
    return answer(b"", b"Location: " + location, status=status)


def forever(first: bytes, again: bytes) -> Write:
    """Sends ``first``, then ``again`` until the client has had enough."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0)  # without it only a full buffer would let others run

    return write


def silent(first: bytes) -> Write:
    """Sends ``first``, then nothing until the client has gone."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await reader.read()

    return write
