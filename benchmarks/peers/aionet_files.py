"""Files: our service, over the directory given; ``--writable yes`` takes uploads."""

from __future__ import annotations

import asyncio
from typing import Any

from aionet import Router, Server
from aionet.services.files import Files
from benchmarks.peers.common import announce, options, run


async def main(port: int, directory: str, **rights: Any) -> None:
    router = Router()
    router.add(f"tcp://127.0.0.1:{port}", Files(directory, **rights))
    async with Server(router) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, files", directory=(), writable=("no", "yes"))
    rights = {"writable": True} if arguments.writable == "yes" else {}
    run(main(arguments.port, arguments.directory, **rights), arguments)
