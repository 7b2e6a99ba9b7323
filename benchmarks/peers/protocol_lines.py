"""Framing written by hand in an asyncio.Protocol, replies of one chunk combined into one write.

What a careful user writes who does without a framework: nothing is called a message, nothing is checked but the size.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.peers.common import MAX_MESSAGE, options, run, serve_protocol


class Framed(asyncio.Protocol):
    __slots__ = ("tail", "transport")

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not subclass it
        self.tail = b""

    def data_received(self, data: bytes) -> None:
        if self.tail:
            data = self.tail + data
        replies = self.take(data)
        if len(self.tail) > MAX_MESSAGE + 4:
            self.transport.abort()
        elif replies:
            self.transport.write(b"".join(replies))

    def take(self, data: bytes) -> list[bytes]:
        """Split what came; the replies. What is not whole becomes the tail."""
        raise NotImplementedError


class Lines(Framed):
    __slots__ = ()

    def take(self, data: bytes) -> list[bytes]:
        lines = data.split(b"\n")
        self.tail = lines.pop()
        replies = []
        for line in lines:
            replies.append(line)  # here would be the work  # noqa: PERF402
        if replies:
            return [b"\n".join(replies), b"\n"]
        return replies


class Counted(Framed):
    __slots__ = ()

    def take(self, data: bytes) -> list[bytes]:
        replies: list[bytes] = []
        at, size = 0, len(data)
        while size - at >= 4:
            end = at + 4 + int.from_bytes(data[at : at + 4])
            if end > size:
                break
            message = data[at + 4 : end]
            replies.append(len(message).to_bytes(4))
            replies.append(message)  # here would be the work
            at = end
        self.tail = data[at:]
        return replies


if __name__ == "__main__":
    arguments = options("messages framed by hand in an asyncio.Protocol", framing=("lines", "length"))
    run(serve_protocol(Lines if arguments.framing == "lines" else Counted, arguments), arguments)
