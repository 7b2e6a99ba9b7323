"""Fan-out by hand: asyncio.Protocol, what one chunk holds goes to each member by one write."""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.common import MAX_MESSAGE, options, run, serve_protocol

members: set[asyncio.Transport] = set()


class Fanout(asyncio.Protocol):
    __slots__ = ("tail", "transport")

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.tail = b""

    def connection_lost(self, exc: Exception | None) -> None:
        members.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        if data == b"SUB\n":
            members.add(self.transport)
            self.transport.write(b"+OK\n")
            return
        whole, end, self.tail = (self.tail + data).rpartition(b"\n")
        if len(self.tail) > MAX_MESSAGE:
            self.transport.abort()
        elif end:
            blob = whole + end
            for member in members:
                if member.get_write_buffer_size() > 1 << 20:
                    member.abort()  # it does not keep up
                else:
                    member.write(blob)


if __name__ == "__main__":
    arguments = options("fan-out by hand in an asyncio.Protocol")
    run(serve_protocol(Fanout, arguments), arguments)
