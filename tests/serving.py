"""What tests with real sockets share: a server for one test, raw peers, and an eye on what must not happen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from aionet import CloseReason, Connection, Endpoint, LineCodec, Router, Server, StreamHandler
from aionet.events import Event

__all__ = [
    "ROOT",
    "Recorder",
    "collect",
    "descriptors",
    "eventually",
    "open_raw",
    "program",
    "quiet",
    "reset",
    "serving",
]

ROOT: Final = Path(__file__).parent.parent
E = TypeVar("E", bound=Event)

PATIENCE: Final = 20.0
"""Seconds until what should come to be counts as never coming. Nothing waits that long in a test that passes."""


class Recorder(StreamHandler[bytes]):
    """Echoes lines in capitals and writes down which callbacks were called."""

    codec = LineCodec(max_size=1024)

    def __init__(self) -> None:
        self.connections: list[Connection[bytes]] = []
        self.messages: list[bytes] = []
        self.faults: list[Exception] = []
        self.closed: list[CloseReason] = []

    def on_connect(self, conn: Connection[bytes]) -> None:
        self.connections.append(conn)

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        self.messages.append(message)
        conn.write(message.upper())

    def on_fault(self, conn: Connection[bytes], fault: Exception) -> None:
        self.faults.append(fault)
        conn.write(b"error: " + type(fault).__name__.encode())

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        self.connections.remove(conn)
        self.closed.append(reason)


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Nothing inside may reach the loop's exception handler or asyncio's logger: both are nobody's to read."""
    loop = asyncio.get_running_loop()
    complaints: list[str] = []

    class Complain(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(f"logged: {record.getMessage()}")

    handler = Complain(logging.WARNING)
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: complaints.append(f"reported: {context}"))
    logging.getLogger("asyncio").addHandler(handler)
    try:
        yield complaints
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
        loop.set_exception_handler(before)
    assert not complaints, complaints


@contextlib.asynccontextmanager
async def serving(
    handler: object, endpoint: str = "tcp://127.0.0.1:0", *, route: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Server, Endpoint]]:
    """A server with one route, and where it is. What is still connected at the end is cut."""
    router = Router()
    router.add(endpoint, handler, **(route or {}))
    with quiet():
        async with Server(router, **options) as server:
            try:
                yield server, server.addresses[0]
            finally:
                await server.abort()


def collect(server: Server, *kinds: type[E]) -> list[E]:
    """A list to which events of these kinds are added as they come."""
    found: list[E] = []
    server.events.subscribe(found.append, *kinds)
    return found


async def eventually(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "never came to be"
        await asyncio.sleep(0.002)


async def open_raw(endpoint: Endpoint) -> socket.socket:
    """A connected, non-blocking client socket: for what no friendly client does."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (endpoint.host, endpoint.port))
    except BaseException:
        sock.close()
        raise
    return sock


def reset(sock: socket.socket | asyncio.StreamWriter) -> None:
    """Close with a reset (SO_LINGER of no seconds) instead of a goodbye."""
    if isinstance(sock, asyncio.StreamWriter):
        sock.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


async def program(source: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
    """A Python program of its own, with aionet to import and pipes to talk through. Whoever starts it ends it."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", textwrap.dedent(source), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        **options,
    )
