"""Files: our service, over the directory given."""

from __future__ import annotations

import asyncio

from aionet import Router, Server
from aionet.services.files import Files
from benchmarks.peers.common import announce, options, run


async def main(port: int, directory: str) -> None:
    router = Router()
    router.add(f"tcp://127.0.0.1:{port}", Files(directory))
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, files", directory=())
    run(main(arguments.port, arguments.directory), arguments)
