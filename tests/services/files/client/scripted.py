"""A server that says whatever a test wants it to say."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["CHUNK", "HELLO", "HELLO_BLAKE3", "Scripted", "ok", "scripted"]

CHUNK = 1000
"""Bytes of a chunk of this server's manifests."""

HELLO = f"OK 0;protocol=aionet-files;version=1;hash=sha256;chunk={CHUNK};auth=none;write=1\n".encode()
"""Of a server of before BLAKE3."""

HELLO_BLAKE3 = HELLO.replace(b";chunk", b";hashes=blake3,sha256;chunk")

Answer = Callable[[str], bytes | Awaitable[bytes | None] | None]
"""From a request line to what is sent, at once or later; ``None`` closes the connection."""


@dataclass(slots=True)
class Scripted:
    """A running one: where it is, what it was asked, how many have come."""

    endpoint: str = ""
    lines: list[str] = field(default_factory=list)
    connections: int = 0


def ok(body: bytes = b"", **facts: object) -> bytes:
    """An answer."""
    said = "".join(f";{key.replace('_', '-')}={value}" for key, value in facts.items())
    return f"OK {len(body)}{said}\n".encode() + body


@asynccontextmanager
async def scripted(answer: Answer, hello: bytes | Callable[[], bytes] | None = HELLO) -> AsyncIterator[Scripted]:
    """Answers ``HELLO`` by itself, or as it is told then, and everything else as it is told."""
    found = Scripted()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := (await reader.readuntil(b"\n")).decode().rstrip("\n"):
                size = re.match(r"[A-Z]+[^ ]*;size=(\d+)", line)
                if size is not None:
                    await reader.readexactly(int(size[1]))
                if line != "HELLO":
                    found.lines.append(line)
                said = (hello() if callable(hello) else hello) if line == "HELLO" else answer(line)
                if isinstance(said, Awaitable):
                    said = await said
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        found.endpoint = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found
    finally:
        server.close()
