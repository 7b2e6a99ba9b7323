"""WebSocket echo: ours, with every default limit and deadline on."""

from __future__ import annotations

import asyncio

from aionet import Router, Server
from benchmarks.peers.aionet_echo import Echo
from benchmarks.peers.common import announce, options, run


async def main(port: int) -> None:
    router = Router()
    router.add(f"ws://127.0.0.1:{port}/", Echo())
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, WebSocket echo")
    run(main(arguments.port), arguments)
