"""WebSocket echo: the websockets library's asyncio server. No compression, no pings of its own."""

from __future__ import annotations

import argparse
import asyncio

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.peers.common import BACKLOG, announce_socket, listening_socket, options, run


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main(arguments: argparse.Namespace) -> None:
    listener = listening_socket(arguments.port)
    async with serve(echo, sock=listener, backlog=BACKLOG, compression=None, ping_interval=None):
        announce_socket(listener)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("websockets, echo")
    run(main(arguments), arguments)
