"""Files: our service, over the directory given; ``--writable yes`` takes uploads, ``--service web`` speaks HTTP."""

from __future__ import annotations

from typing import Any

from aionet import Router
from aionet.services.files import Files
from aionet.services.files.web import WebFiles
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import stream_endpoint, until_ended

if __name__ == "__main__":
    arguments = options("aionet, files", directory=(), writable=("no", "yes"), service=("files", "web"))
    rights: dict[str, Any] = {"writable": True} if arguments.writable == "yes" else {}
    serve = WebFiles if arguments.service == "web" else Files
    router = Router()
    router.add(stream_endpoint(arguments), serve(arguments.directory, **rights))
    run(until_ended(router), arguments)
