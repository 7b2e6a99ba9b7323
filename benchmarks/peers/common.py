"""What the Python servers under measurement have in common, so that they differ only in what is measured."""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

BACKLOG = 4096
"""Connections the kernel queues; asyncio and uvloop would take 100."""

MAX_MESSAGE = 64 * 1024
"""Bytes above which a peer that frames by hand gives a connection up."""


def options(description: str, **choices: tuple[str, ...]) -> argparse.Namespace:
    """The command line of a peer: ``--port``, ``--loop``, ``--cert`` and ``--key``, and what else it takes.

    Args:
        description: Of the peer, for ``--help``.
        choices: Further options by name, with their values; the first is the default. Without values: any text.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: the system chooses)")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop", help="event loop (default: uvloop)")
    parser.add_argument("--cert", help="PEM file of a certificate: serve TLS")
    parser.add_argument("--key", help="PEM file of its private key")
    for name, values in choices.items():
        parser.add_argument(f"--{name}", choices=values or None, default=values[0] if values else None)
    return parser.parse_args()


def server_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """The TLS context asked for; ``None`` for plain TCP. TLS 1.2 at least, as aionet has it."""
    if not arguments.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(arguments.cert, arguments.key)
    return context


def listening_socket(port: int, *, listen: bool = False) -> socket.socket:
    """A bound TCP socket on loopback. TCP_NODELAY is set here, because accepted sockets inherit it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.setblocking(False)
    if listen:
        listener.listen(BACKLOG)
    return listener


def announce(*ports: int) -> None:
    """Tell the runner that the server listens, and where. A C peer prints the same line."""
    print(f"ready 127.0.0.1:{','.join(map(str, ports))}", flush=True)


def announce_socket(listener: socket.socket) -> None:
    announce(listener.getsockname()[1])


async def serve_protocol(factory: Callable[[], asyncio.Protocol], arguments: argparse.Namespace) -> None:
    """Serve an :class:`asyncio.Protocol` until the process is ended."""
    listener = listening_socket(arguments.port)
    loop = asyncio.get_running_loop()
    await loop.create_server(factory, sock=listener, backlog=BACKLOG, ssl=server_context(arguments))
    announce_socket(listener)
    await asyncio.Event().wait()


async def serve_streams(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], arguments: argparse.Namespace
) -> None:
    """Serve an asyncio streams handler until the process is ended."""
    listener = listening_socket(arguments.port)
    await asyncio.start_server(handler, sock=listener, backlog=BACKLOG, ssl=server_context(arguments))
    announce_socket(listener)
    await asyncio.Event().wait()


def run(main: Coroutine[Any, Any, None], arguments: argparse.Namespace) -> None:
    """Run a peer on the loop asked for."""
    if arguments.loop == "asyncio":
        asyncio.run(main)
        return
    import uvloop  # absent on some systems, where the other loop can be measured all the same

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
