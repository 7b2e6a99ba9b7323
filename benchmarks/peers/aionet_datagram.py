"""Datagram echo: ours, through the public interface. The receive buffer is that of the other peers."""

from __future__ import annotations

import asyncio

from aionet import Address, DatagramHandler, DatagramPort, Router, Server
from benchmarks.peers.asyncio_datagram import SOCKET_BUFFER
from benchmarks.peers.common import announce, options, run


class Echo(DatagramHandler):
    def on_datagram(self, port: DatagramPort[bytes], data: bytes, peer: Address) -> None:
        port.send(data, peer)


async def main(port: int) -> None:
    router = Router()
    router.add(f"udp://127.0.0.1:{port}?rcvbuf={SOCKET_BUFFER}&sndbuf={SOCKET_BUFFER}", Echo())
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, datagram echo")
    run(main(arguments.port), arguments)
