"""Datagram echo: a bare asyncio.DatagramProtocol, on uvloop or asyncio's own loop."""

from __future__ import annotations

import argparse
import asyncio
import socket
from typing import Any, cast

from benchmarks.peers.common import announce_socket, options, run

SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes of SO_RCVBUF and SO_SNDBUF, so that a burst waits and is not lost."""


def datagram_socket(port: int) -> socket.socket:
    """A bound UDP socket on loopback with room for bursts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", port))
    return sock


class Echo(asyncio.DatagramProtocol):
    __slots__ = ("transport",)

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.transport.sendto(data, addr)


async def main(arguments: argparse.Namespace) -> None:
    sock = datagram_socket(arguments.port)
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=sock)
    announce_socket(sock)
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("bare asyncio.DatagramProtocol, echo")
    run(main(arguments), arguments)
