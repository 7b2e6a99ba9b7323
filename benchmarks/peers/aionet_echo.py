"""Echo: ours, through the public interface, with every default limit and deadline on."""

from __future__ import annotations

import asyncio

from aionet import Connection, Router, Server, StreamHandler
from benchmarks.peers.common import announce, parse_port, run


class Echo(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


async def main(port: int) -> None:
    router = Router()
    router.add(f"tcp://127.0.0.1:{port}", Echo())
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    run(main(parse_port("aionet, echo")))
