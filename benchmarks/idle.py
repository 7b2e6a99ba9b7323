"""How many bytes of RSS the server holds for each connection that does nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from benchmarks.problems import WrongReplies
from benchmarks.processes import Serving
from benchmarks.stats import slope

__all__ = ["bytes_per_connection"]

MESSAGE = b"x" * 63 + b"\n"
SETTLE_SECONDS = 1.0


def bytes_per_connection(server: Serving, steps: Sequence[int]) -> tuple[float, list[int]]:
    """Open connections up to each of ``steps``; the least-squares growth of RSS per connection, and the RSS at each.

    Every connection exchanges one message and is idle from then on: so all of them are accepted, and what a
    server allocates at the first message counts. One connection before the first step wakes up the code.

    Raises:
        WrongReplies: a connection was not served.
    """
    held: list[socket.socket] = []
    try:
        _open(server.port).close()
        sizes = []
        for step in steps:
            while len(held) < step:
                held.append(_open(server.port, len(held)))
            sizes.append(_settled_rss(server))
        return slope(list(steps), sizes), sizes
    finally:
        for connection in held:
            connection.close()


def _open(port: int, number: int = 0) -> socket.socket:
    """A connection that has exchanged one message."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    except OSError as error:
        raise WrongReplies(f"idle connection {number} was not accepted: {error}") from None
    try:
        _exchange(connection, number)
    except BaseException:
        connection.close()
        raise
    return connection


def _exchange(connection: socket.socket, number: int) -> None:
    try:
        connection.sendall(MESSAGE)
        reply = connection.recv(len(MESSAGE), socket.MSG_WAITALL)
    except OSError as error:
        raise WrongReplies(f"idle connection {number} was not served: {error}") from None
    if reply != MESSAGE:
        raise WrongReplies(f"idle connection {number}: {len(reply)} bytes came back, not what was sent")


def _settled_rss(server: Serving) -> int:
    """RSS once two readings agree."""
    deadline = time.monotonic() + SETTLE_SECONDS
    last = -1
    while (rss := server.rss()) != last and time.monotonic() < deadline:
        last = rss
        time.sleep(0.05)
    return rss
