"""Tornado on its own loop (asyncio's): echo, or lines by ``read_until``."""

from __future__ import annotations

import asyncio
import socket

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

from benchmarks.peers.common import BACKLOG, MAX_MESSAGE, announce_socket, listening_socket, options, run


class Echo(TCPServer):
    async def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:
        stream.set_nodelay(True)
        try:
            while True:
                await stream.write(await stream.read_bytes(MAX_MESSAGE, partial=True))
        except StreamClosedError:
            return


class Lines(TCPServer):
    async def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:
        stream.set_nodelay(True)
        try:
            while True:
                stream.write(await stream.read_until(b"\n", MAX_MESSAGE))
                if stream.writing():
                    await stream.write(b"")
        except StreamClosedError:
            return


async def main(listener: socket.socket, framing: str) -> None:
    server = Echo() if framing == "raw" else Lines()
    server.add_socket(listener)
    announce_socket(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("Tornado, echo or lines", framing=("raw", "lines"))
    sock = listening_socket(arguments.port)
    sock.listen(BACKLOG)
    run(main(sock, arguments.framing), arguments)
