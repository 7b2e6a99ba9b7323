"""Fan-out: ours. A connection that says SUB is told what any other says; one Group, every default limit on."""

from __future__ import annotations

import asyncio

from aionet import Connection, Group, LineCodec, Router, Server, StreamHandler
from benchmarks.peers.common import announce, options, run


class Fanout(StreamHandler[bytes]):
    codec = LineCodec()

    def __init__(self) -> None:
        self.members: Group[bytes] = Group()

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        if message == b"SUB":
            self.members.add(conn)
            conn.write(b"+OK")
        else:
            self.members.broadcast(message)


async def main(port: int) -> None:
    router = Router()
    router.add(f"tcp://127.0.0.1:{port}", Fanout())
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, fan-out")
    run(main(arguments.port), arguments)
