"""Framed messages: ours, in each of the styles, with every default limit and deadline on.

``callback``: ``on_message`` for each. ``batch``: ``on_messages`` for all of a chunk. ``coroutine``: ``async for``.
"""

from __future__ import annotations

import asyncio

from aionet import Codec, Connection, LengthPrefixCodec, LineCodec, Router, Server, StreamHandler
from benchmarks.peers.common import announce, options, run


class Callback(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


class Batch(StreamHandler[bytes]):
    def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None:
        for message in messages:
            conn.write(message)


async def coroutine(conn: Connection[bytes]) -> None:
    async for message in conn:
        await conn.send(message)


STYLES = {"callback": Callback(), "batch": Batch(), "coroutine": coroutine}
CODECS: dict[str, Codec[bytes]] = {"lines": LineCodec(), "length": LengthPrefixCodec()}


async def main(port: int, style: str, framing: str) -> None:
    router = Router()
    router.add(f"tcp://127.0.0.1:{port}", STYLES[style], codec=CODECS[framing])
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, framed messages", style=tuple(STYLES), framing=tuple(CODECS))
    run(main(arguments.port, arguments.style, arguments.framing), arguments)
