"""Echo: a BufferedProtocol that reads into one buffer of the whole process, as a careful user writes it off uvloop.

asyncio's own transports allocate 256 KiB for each read otherwise. What is sent is a copy: the transport may keep it.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.common import options, run, serve_protocol

BUFFER = memoryview(bytearray(64 * 1024))


class Echo(asyncio.BufferedProtocol):
    __slots__ = ("transport",)

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(BUFFER[:nbytes]))


if __name__ == "__main__":
    arguments = options("asyncio.BufferedProtocol with a shared buffer, echo")
    run(serve_protocol(Echo, arguments), arguments)  # type: ignore[arg-type]  # typeshed asks for Protocol
