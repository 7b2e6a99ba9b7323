"""Framed messages: ours, in each of the styles.

``callback``: ``on_message`` for each message. ``batch``: ``on_messages`` for all of a chunk. ``async``: ``async def
on_message``. ``coroutine``: ``async for``.
"""

from __future__ import annotations

from aionet import Codec, Connection, LengthPrefixCodec, LineCodec, Router, StreamHandler
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import stream_endpoint, until_ended


class Callback(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


class Batch(StreamHandler[bytes]):
    def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None:
        for message in messages:
            conn.write(message)


class Async(StreamHandler[bytes]):
    async def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        await conn.send(message)


async def coroutine(conn: Connection[bytes]) -> None:
    async for message in conn:
        await conn.send(message)


STYLES = {"callback": Callback(), "batch": Batch(), "async": Async(), "coroutine": coroutine}
CODECS: dict[str, Codec[bytes]] = {"lines": LineCodec(), "length": LengthPrefixCodec()}

if __name__ == "__main__":
    arguments = options("aionet, framed messages", style=tuple(STYLES), framing=tuple(CODECS))
    router = Router()
    router.add(stream_endpoint(arguments), STYLES[arguments.style], codec=CODECS[arguments.framing])
    run(until_ended(router), arguments)
