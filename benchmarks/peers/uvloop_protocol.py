"""Echo: a bare asyncio.Protocol on uvloop. No limits, no deadlines, no counters: the floor for Python."""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.common import parse_port, run, serve_protocol


class Echo(asyncio.Protocol):
    __slots__ = ("transport",)

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not subclass it

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


if __name__ == "__main__":
    run(serve_protocol(Echo, parse_port("bare uvloop Protocol, echo")))
