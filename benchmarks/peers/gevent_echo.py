"""Echo: gevent, one greenlet a connection."""

from __future__ import annotations

from gevent.server import StreamServer
from gevent.socket import socket

from benchmarks.peers.common import BACKLOG, MAX_MESSAGE, announce, options


def echo(connection: socket, address: tuple[str, int]) -> None:
    connection.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    try:
        while data := connection.recv(MAX_MESSAGE):
            connection.sendall(data)
    except ConnectionError:
        return


if __name__ == "__main__":
    server = StreamServer(("127.0.0.1", options("gevent, echo").port), echo, backlog=BACKLOG)
    server.start()
    announce(server.server_port)
    server.serve_forever()
