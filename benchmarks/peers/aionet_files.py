"""Files: our service, over the directory given; ``--writable yes`` takes uploads."""

from __future__ import annotations

from typing import Any

from aionet import Router
from aionet.services.files import Files
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import stream_endpoint, until_ended

if __name__ == "__main__":
    arguments = options("aionet, files", directory=(), writable=("no", "yes"))
    rights: dict[str, Any] = {"writable": True} if arguments.writable == "yes" else {}
    router = Router()
    router.add(stream_endpoint(arguments), Files(arguments.directory, **rights))
    run(until_ended(router), arguments)
