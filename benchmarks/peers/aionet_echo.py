"""Echo: ours, through the public interface.

``--many yes`` raises the number of connections from its default of 10,000 to what 19,000 idle ones need.
``--shared yes`` lets several of these processes listen on one port.
"""

from __future__ import annotations

from aionet import Connection, Limits, Router, StreamHandler
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import stream_endpoint, until_ended


class Echo(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


if __name__ == "__main__":
    arguments = options("aionet, echo", many=("no", "yes"), shared=("no", "yes"))
    more = {"reuse_port": True} if arguments.shared == "yes" else {}
    limits = Limits(max_connections=30_000) if arguments.many == "yes" else Limits()
    router = Router()
    router.add(stream_endpoint(arguments, **more), Echo())
    run(until_ended(router, limits), arguments)
