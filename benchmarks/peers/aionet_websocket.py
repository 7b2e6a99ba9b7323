"""WebSocket echo: ours."""

from __future__ import annotations

from aionet import Router
from benchmarks.peers.aionet_echo import Echo
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import until_ended

if __name__ == "__main__":
    arguments = options("aionet, WebSocket echo")
    router = Router()
    router.add(f"ws://127.0.0.1:{arguments.port}/", Echo())
    run(until_ended(router), arguments)
