"""Echo: trio, one task a connection."""

from __future__ import annotations

import trio

from benchmarks.peers.common import BACKLOG, announce, options


async def echo(stream: trio.SocketStream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def main(port: int) -> None:
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=BACKLOG)
    announce(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(echo, listeners)


if __name__ == "__main__":
    trio.run(main, options("trio, echo").port)
