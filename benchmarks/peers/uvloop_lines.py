"""Lines: framing written by hand in an asyncio.Protocol on uvloop, replies of one chunk combined into one write.

What a careful user writes who does without a framework: nothing is called a line, nothing is checked but the size.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.common import parse_port, run, serve_protocol

MAX_LINE = 64 * 1024


class Lines(asyncio.Protocol):
    __slots__ = ("tail", "transport")

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not subclass it
        self.tail = b""

    def data_received(self, data: bytes) -> None:
        if self.tail:
            data = self.tail + data
        lines = data.split(b"\n")
        self.tail = lines.pop()
        if len(self.tail) > MAX_LINE:
            self.transport.abort()
            return
        replies = []
        for line in lines:
            replies.append(line)  # here would be the work  # noqa: PERF402
        if replies:
            replies.append(b"")
            self.transport.write(b"\n".join(replies))


if __name__ == "__main__":
    run(serve_protocol(Lines, parse_port("hand-written line protocol on uvloop")))
