"""The promise of one loop: echo, files and fan-out in one server, on three ports, told in this order."""

from __future__ import annotations

from aionet import Router
from aionet.services.files import Files
from benchmarks.peers.aionet_echo import Echo
from benchmarks.peers.aionet_fanout import Fanout
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import until_ended

if __name__ == "__main__":
    arguments = options("aionet, echo, files and fan-out on one loop", directory=())
    router = Router()
    router.add("tcp://127.0.0.1:0", Echo())
    router.add("tcp://127.0.0.1:0", Files(arguments.directory))
    router.add("tcp://127.0.0.1:0", Fanout())
    run(until_ended(router), arguments)
