"""Lines: ours, callback style, ``on_message`` called for each line, with every default limit and deadline on."""

from __future__ import annotations

import asyncio

from aionet import Connection, LineCodec, Router, Server, StreamHandler
from benchmarks.peers.common import announce, parse_port, run


class Lines(StreamHandler[bytes]):
    codec = LineCodec()

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


async def main(port: int) -> None:
    router = Router()
    router.add(f"tcp://127.0.0.1:{port}", Lines())
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    run(main(parse_port("aionet, lines, callback style")))
