"""Datagram echo: ours, through the public interface. The socket's buffers are those of the other peers."""

from __future__ import annotations

from aionet import Address, DatagramHandler, DatagramPort, Endpoint, Router
from benchmarks.peers.asyncio_datagram import SOCKET_BUFFER
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import until_ended


class Echo(DatagramHandler):
    def on_datagram(self, port: DatagramPort[bytes], data: bytes, peer: Address) -> None:
        port.send(data, peer)


if __name__ == "__main__":
    arguments = options("aionet, datagram echo")
    buffers = {"rcvbuf": SOCKET_BUFFER, "sndbuf": SOCKET_BUFFER}
    router = Router()
    router.add(Endpoint("udp", "127.0.0.1", arguments.port, options=buffers), Echo())
    run(until_ended(router), arguments)
