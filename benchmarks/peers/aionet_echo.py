"""Echo: ours, through the public interface, with every default limit and deadline on.

``--many`` raises the number of connections from its default of 10,000 to what 19,000 idle ones need. ``--shared`` lets
several of these processes listen on one port.
"""

from __future__ import annotations

import asyncio

from aionet import Connection, Endpoint, Limits, Router, Server, StreamHandler
from benchmarks.peers.common import announce, options, run


class Echo(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


async def main(port: int, endpoint_options: dict[str, str | bool], limits: Limits) -> None:
    scheme = "tls" if "cert" in endpoint_options else "tcp"
    router = Router()
    router.add(Endpoint(scheme, "127.0.0.1", port, options=endpoint_options), Echo())
    async with Server(router, limits=limits) as server:
        announce(server.addresses[0].port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("aionet, echo", many=("no", "yes"), shared=("no", "yes"))
    extra: dict[str, str | bool] = {"cert": arguments.cert, "key": arguments.key} if arguments.cert else {}
    if arguments.shared == "yes":
        extra["reuse_port"] = True
    limits = Limits(max_connections=30_000) if arguments.many == "yes" else Limits()
    run(main(arguments.port, extra, limits), arguments)
