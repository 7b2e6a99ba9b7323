"""Echo: the Protocol of :mod:`benchmarks.peers.asyncio_protocol`, on aiofastnet's transports; plain or TLS."""

from __future__ import annotations

import argparse
import asyncio

import aiofastnet

from benchmarks.peers.asyncio_protocol import Echo
from benchmarks.peers.common import BACKLOG, announce_socket, listening_socket, options, run, server_context


async def main(arguments: argparse.Namespace) -> None:
    listener = listening_socket(arguments.port)
    loop = asyncio.get_running_loop()
    await aiofastnet.create_server(loop, Echo, sock=listener, backlog=BACKLOG, ssl=server_context(arguments))
    announce_socket(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aiofastnet, echo")
    run(main(arguments), arguments)
