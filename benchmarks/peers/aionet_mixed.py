"""The promise of one loop: echo, files and fan-out in one server, on three ports, told in this order."""

from __future__ import annotations

import asyncio

from aionet import Router, Server
from aionet.services.files import Files
from benchmarks.peers.aionet_echo import Echo
from benchmarks.peers.aionet_fanout import Fanout
from benchmarks.peers.common import announce, options, run


async def main(directory: str) -> None:
    router = Router()
    router.add("tcp://127.0.0.1:0", Echo())
    router.add("tcp://127.0.0.1:0", Files(directory))
    router.add("tcp://127.0.0.1:0", Fanout())
    async with Server(router) as server:
        announce(*(address.port for address in server.addresses))
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, echo, files and fan-out on one loop", directory=())
    run(main(arguments.directory), arguments)
