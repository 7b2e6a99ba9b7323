"""asyncio streams. ``--style`` chooses what is echoed, and how:

* ``readline`` (the one the goals are measured against): ``readline`` and ``write`` for each line, ``drain`` only when
  something waits in the transport. The best that the line interface of streams offers: it has no public means to
  see whether another line is already there, so replies cannot be combined.
* ``drain``: the documentation's idiom, ``readline``, ``write``, ``await drain()`` for each line.
* ``chunks``: ``read`` whole chunks, split them by hand and write all replies of a chunk at once. This gives up the
  line interface; it is shown for what streams themselves cost.
* ``length``: ``readexactly`` the length, ``readexactly`` the message.
* ``echo``: ``read`` and ``write`` whatever comes.
"""

from __future__ import annotations

import asyncio

from benchmarks.peers.common import MAX_MESSAGE, options, run, serve_streams


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
    while data := await reader.read(MAX_MESSAGE):
        lines = (tail + data).split(b"\n")
        tail = lines.pop()
        if len(tail) > MAX_MESSAGE:
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


async def by_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    try:
        while True:
            header = await reader.readexactly(4)
            writer.write(header + await reader.readexactly(min(int.from_bytes(header), MAX_MESSAGE)))
            if transport.get_write_buffer_size():
                await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    while data := await reader.read(MAX_MESSAGE):
        writer.write(data)
        if transport.get_write_buffer_size():
            await writer.drain()
    writer.close()


STYLES = {"readline": by_readline, "drain": by_drain, "chunks": by_chunks, "length": by_length, "echo": echo}

if __name__ == "__main__":
    arguments = options("asyncio streams", style=tuple(STYLES))
    run(serve_streams(STYLES[arguments.style], arguments), arguments)
