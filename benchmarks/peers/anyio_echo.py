"""Echo: anyio, one task a connection."""

from __future__ import annotations

import anyio
from anyio.abc import SocketAttribute, SocketStream

from benchmarks.peers.common import BACKLOG, announce, options


async def echo(stream: SocketStream) -> None:
    async with stream:
        try:
            async for data in stream:
                await stream.send(data)
        except anyio.BrokenResourceError:
            return


async def main(port: int) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port, backlog=BACKLOG)
    announce(listener.extra(SocketAttribute.local_port))
    await listener.serve(echo)


if __name__ == "__main__":
    arguments = options("anyio, echo")
    anyio.run(main, arguments.port, backend_options={"use_uvloop": arguments.loop == "uvloop"})
