"""A server of files on a real socket, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aionet.endpoint import Endpoint
from aionet.events import ConnectionClosed, HandlerFailed
from aionet.routing import Router
from aionet.server import Server
from aionet.services.files.handler import Files
from aionet.services.files.paths import PARTIAL_DIRECTORY


@dataclass(slots=True)
class Served:
    """A running server, and what it reported."""

    server: Server
    endpoint: Endpoint
    failures: list[HandlerFailed]
    closed: list[ConnectionClosed]


@asynccontextmanager
async def serve(root: Path | Files, drain_timeout: float = 10.0) -> AsyncIterator[Served]:
    router = Router()
    router.add("tcp://127.0.0.1:0", root if isinstance(root, Files) else Files(root))
    async with Server(router, drain_timeout=drain_timeout) as server:
        served = Served(server, server.addresses[0], [], [])
        server.events.subscribe(served.failures.append, HandlerFailed)
        server.events.subscribe(served.closed.append, ConnectionClosed)
        yield served


@dataclass(slots=True)
class RawClient:
    """What a person with ``nc`` has: bytes in, bytes out."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, line: bytes) -> tuple[bytes, bytes]:
        """Send a line; give back the header line and the body."""
        self.write(line + b"\n")
        return await self.answer()

    async def answer(self) -> tuple[bytes, bytes]:
        header = await self.reader.readuntil(b"\n")
        if not header.startswith(b"OK "):
            return header, b""
        size = int(header[3:].split(b";")[0])
        return header, await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


@asynccontextmanager
async def raw_client(served: Served) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection(served.endpoint.host, served.endpoint.port)
    client = RawClient(reader, writer)
    try:
        yield client
    finally:
        await client.close()


def descriptors_of_files(root: Path) -> list[str]:
    """The files below ``root`` that this process has open, without that directory and the one of partial files."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith(f"{root}{os.sep}") and not target.endswith(f"{os.sep}{PARTIAL_DIRECTORY}"):
            found.append(target)
    return found


async def until_none_open(root: Path) -> None:
    """Wait until nothing below ``root`` is open: closed by a thread that may still be on its way."""
    while descriptors_of_files(root):  # noqa: ASYNC110 -- a thread closes it and tells nobody
        await asyncio.sleep(0.01)
