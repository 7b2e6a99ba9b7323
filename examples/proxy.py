"""A TCP proxy with back-pressure in both directions; half-closed connections stay half-closed on the other side.

Run it, from the project's directory, by any of::

    python -m examples.proxy                                             # 7010 -> 8080
    python -m examples.proxy tcp://127.0.0.1:7010 tcp://127.0.0.1:8080   # from, to
    python -m aionet serve examples.proxy:router

Try it, with the echo service behind it (``python -m aionet serve echo`` in another terminal)::

    printf 'hello\\n' | nc -N 127.0.0.1 7010

A fast sender and a slow receiver: neither side is read faster than the other side takes it, so that a connection
costs some hundred KiB of memory each way, however much passes through. If the upstream cannot be reached, the client
is reset and a line of the log says why. A reset on one side becomes a reset on the other.
"""

from __future__ import annotations

import logging
import sys

import anyio

from aionet import Connection, Endpoint, Router, Timeouts, connect, run
from aionet.errors import ConnectError

logger = logging.getLogger("aionet.examples.proxy")


class Proxy:
    """Coroutine style, as an object: whatever is called as ``await handler(conn)`` is a handler.

    Args:
        upstream: Where the bytes go to.
        connect_timeout: Seconds to reach it.
    """

    def __init__(self, upstream: str, *, connect_timeout: float = 5.0) -> None:
        self.upstream = Endpoint.parse(upstream)
        self.connect_timeout = connect_timeout

    async def __call__(self, conn: Connection[bytes]) -> None:
        """Serve one client: two directions, each ends by itself, and the connection with the later of them."""
        try:
            upstream = await connect(self.upstream, timeout=self.connect_timeout)
        except ConnectError as exc:
            logger.warning("%s", exc)
            conn.abort()
            return
        async with upstream, anyio.create_task_group() as directions:
            directions.start_soon(pump, conn, upstream)
            directions.start_soon(pump, upstream, conn)


async def pump(source: Connection[bytes], sink: Connection[bytes]) -> None:
    """Carry bytes from ``source`` to ``sink`` until the source ends, then end the sink's input.

    ``send`` waits while the sink does not keep up; meanwhile the source is not received from, its inbox fills to
    ``max_inbound``, its socket is not read, and in the end the peer's own send waits.
    """
    try:
        async for chunk in source:
            await sink.send(chunk)
        await sink.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        source.abort()
        sink.abort()


def make_router(listen: str = "tcp://127.0.0.1:7010", upstream: str = "tcp://127.0.0.1:8080") -> Router:
    """From ``listen`` to ``upstream``."""
    router = Router()
    # Which side speaks first is the upstream's protocol: a client that waits for a greeting is not silent for too long.
    router.add(listen, Proxy(upstream), name="proxy", timeouts=Timeouts(first_message=300.0))
    return router


router = make_router()

if __name__ == "__main__":
    raise SystemExit(run(make_router(*sys.argv[1:])))
