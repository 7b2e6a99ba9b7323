"""Lines: asyncio streams on uvloop, echoing each line.

Three ways to write it; ``--style`` chooses:

* ``readline`` (the one the goal is measured against): ``readline`` and ``write`` for each line, ``drain`` only when
  something waits in the transport. The best that the line interface of streams offers: it has no public means to
  see whether another line is already there, so replies cannot be combined.
* ``drain``: the documentation's idiom, ``readline``, ``write``, ``await drain()`` for each line.
* ``chunks``: ``read`` whole chunks, split them by hand and write all replies of a chunk at once. This gives up the
  line interface; it is shown for what streams themselves cost.
"""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.peers.common import run, serve_streams

MAX_LINE = 64 * 1024


async def by_readline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    while line := await reader.readline():
        writer.write(line)
        if transport.get_write_buffer_size():
            await writer.drain()
    writer.close()


async def by_drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def by_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    tail = b""
    while data := await reader.read(MAX_LINE):
        lines = (tail + data).split(b"\n")
        tail = lines.pop()
        if len(tail) > MAX_LINE:
            break
        replies = []
        for line in lines:
            replies.append(line)  # here would be the work  # noqa: PERF402
        if replies:
            replies.append(b"")
            writer.write(b"\n".join(replies))
        if transport.get_write_buffer_size():
            await writer.drain()
    writer.close()


STYLES = {"readline": by_readline, "drain": by_drain, "chunks": by_chunks}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="asyncio streams on uvloop, lines")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--style", choices=sorted(STYLES), default="readline")
    arguments = parser.parse_args()
    run(serve_streams(STYLES[arguments.style], arguments.port))
