"""What the Python servers under measurement have in common, so that they differ only in what is measured."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop

BACKLOG = 4096
"""Connections the kernel queues; asyncio and uvloop would take 100."""


def listening_socket(port: int) -> socket.socket:
    """A bound TCP socket on loopback. TCP_NODELAY is set here, because accepted sockets inherit it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.setblocking(False)
    return listener


def announce(port: int) -> None:
    """Tell the runner that the server listens, and where. A C peer prints the same line."""
    print(f"ready 127.0.0.1:{port}", flush=True)


def parse_port(description: str) -> int:
    """The ``--port`` of a peer's command line; 0, the default, lets the system choose."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: the system chooses)")
    return int(parser.parse_args().port)


async def serve_protocol(factory: Callable[[], asyncio.Protocol], port: int) -> None:
    """Serve an :class:`asyncio.Protocol` until the process is ended."""
    listener = listening_socket(port)
    await asyncio.get_running_loop().create_server(factory, sock=listener, backlog=BACKLOG)
    announce(listener.getsockname()[1])
    await asyncio.Event().wait()


async def serve_streams(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], port: int
) -> None:
    """Serve an asyncio streams handler until the process is ended."""
    listener = listening_socket(port)
    await asyncio.start_server(handler, sock=listener, backlog=BACKLOG)
    announce(listener.getsockname()[1])
    await asyncio.Event().wait()


def run(main: Awaitable[None]) -> None:
    """Run a peer on uvloop."""

    async def entry() -> None:
        await main

    uvloop.run(entry())
