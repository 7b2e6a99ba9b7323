"""The three ways to write a stream handler, one on each port: callbacks, async messages, one coroutine a connection.

Run it, from the project's directory, by any of::

    python -m examples.three_styles
    python -m aionet serve examples.three_styles:router

Try it::

    printf 'hello\\n' | nc -N 127.0.0.1 7000        # HELLO
    printf 'localhost\\n' | nc -N 127.0.0.1 7001    # the addresses of localhost
    nc 127.0.0.1 7002                              # asks who you are
"""

from __future__ import annotations

import asyncio
import socket
import sys

import anyio

from aionet import Connection, LineCodec, Router, StreamHandler, run


class Shout(StreamHandler[bytes]):
    """Callback style: called straight from the socket's readiness, no task. For what can be answered at once."""

    codec = LineCodec(max_size=8192)

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """Answers written here leave together when the chunk is done: ten lines in one packet, one send."""
        conn.write(message.upper())


class Resolve(StreamHandler[bytes]):
    """Async messages: each is awaited before the next is delivered. For answers that need something slow."""

    codec = LineCodec(max_size=253)  # the longest host name (RFC 1035)

    async def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """The addresses of the host named. Other connections are served meanwhile."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(message.decode(), None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            await conn.send(b"error: " + str(exc).encode())
        else:
            addresses = dict.fromkeys(str(address[0]) for *_, address in found)
            await conn.send(" ".join(addresses).encode())


async def greeter(conn: Connection[bytes]) -> None:
    """Coroutine style: a conversation reads from top to bottom; the connection closes when this returns."""
    await conn.send(b"who are you?")
    try:
        name = await conn.receive()
    except anyio.EndOfStream:
        return
    await conn.send(b"hello " + name + b", say something (bye ends)")
    async for line in conn:  # reads no faster than it is answered
        if line == b"bye":
            break
        await conn.send(name + b" said " + line)
    await conn.send(b"goodbye " + name)


def make_router(
    shout: str = "tcp://127.0.0.1:7000",
    resolve: str = "tcp://127.0.0.1:7001",
    greet: str = "tcp://127.0.0.1:7002",
) -> Router:
    """One route for each style."""
    router = Router()
    router.add(shout, Shout())
    router.add(resolve, Resolve())
    router.add(greet, greeter, codec=LineCodec())
    return router


router = make_router()

if __name__ == "__main__":
    raise SystemExit(run(make_router(*sys.argv[1:])))
