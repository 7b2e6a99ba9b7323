"""Echo: a bare asyncio.Protocol, on uvloop or asyncio's own loop. No limits, no deadlines: the floor for Python."""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.common import options, run, serve_protocol


class Echo(asyncio.Protocol):
    __slots__ = ("transport",)

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not subclass it

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


if __name__ == "__main__":
    arguments = options("bare asyncio.Protocol, echo")
    run(serve_protocol(Echo, arguments), arguments)
