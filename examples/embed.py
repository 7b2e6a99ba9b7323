"""aionet inside a program that has work of its own: a search for primes that can be watched and stopped over TCP.

Run it, from the project's directory::

    python -m examples.embed

Try it from another terminal::

    printf 'status\\n' | nc -N 127.0.0.1 7040
    nc 127.0.0.1 7040                              # type: watch, later: stop

``python -m aionet serve examples.embed:router`` shows the same port without the program: nothing is ever found.

The program owns the event loop, its tasks and its signals. ``async with Server(router)`` adds a port to it; it
installs no signal handler and no logging. Leaving the block drains the connections.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from aionet import Connection, Group, LineCodec, Router, Server, StreamHandler
from aionet.events import ConnectionClosed


class Search:
    """The program's own work: counting primes, block after block.

    Args:
        block: Numbers looked at between two reports.
        limit: Where to stop.
    """

    def __init__(self, block: int = 10_000, limit: int = 100_000_000) -> None:
        self.block = block
        self.limit = limit
        self.below = 0
        self.found = 0
        self.stopped = asyncio.Event()
        self.watchers: Group[bytes] = Group(policy="drop_newest")

    async def work(self) -> None:
        """Search until stopped, or done. A block is counted in a thread, as the port is to answer meanwhile."""
        while not self.stopped.is_set() and self.below < self.limit:
            upper = min(self.below + self.block, self.limit)
            self.found += await asyncio.to_thread(count_primes, self.below, upper)
            self.below = upper
            self.watchers.broadcast(self.status())  # a task may write too; it leaves at the end of the tick
        self.stopped.set()

    def status(self) -> bytes:
        """How far it has come."""
        return b"%d primes below %d" % (self.found, self.below)


class Control(StreamHandler[bytes]):
    """The port: lines that ask the program, or tell it, something."""

    codec = LineCodec(max_size=64)

    def __init__(self, search: Search) -> None:
        self.search = search

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """One command."""
        match message.strip().lower():
            case b"status":
                conn.write(self.search.status())
            case b"watch":
                self.search.watchers.add(conn)
            case b"stop":
                conn.write(b"stopping")
                self.search.stopped.set()
            case _:
                conn.write(b"status, watch or stop?")

    def on_drain(self, conn: Connection[bytes]) -> None:
        """The program leaves."""
        conn.write(b"goodbye: " + self.search.status())
        conn.close()


def count_primes(lower: int, upper: int) -> int:
    """Primes from ``lower`` up to, not including, ``upper`` (a segment of the sieve of Eratosthenes)."""
    lower = max(lower, 2)
    if upper <= lower:
        return 0
    sieve = bytearray([1]) * (upper - lower)
    for divisor in range(2, int(upper**0.5) + 1):
        first = max(divisor * divisor, -(-lower // divisor) * divisor)
        sieve[first - lower :: divisor] = bytes(len(range(first - lower, upper - lower, divisor)))
    return sum(sieve)


def make_router(search: Search, endpoint: str = "tcp://127.0.0.1:7040") -> Router:
    """One route, for this search."""
    router = Router()
    router.add(endpoint, Control(search))
    return router


async def main(endpoint: str = "tcp://127.0.0.1:7040") -> None:
    """The program, until its work is done or its signals, or somebody at the port, say stop."""
    search = Search()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, search.stopped.set)
    loop.add_signal_handler(signal.SIGTERM, search.stopped.set)
    await run(search, endpoint)


async def run(search: Search, endpoint: str) -> None:
    """The work, and the port beside it."""
    async with Server(make_router(search, endpoint), drain_timeout=2.0) as server:
        server.events.subscribe(
            lambda event: print(f"{event.peer}: {event.reason.value}", file=sys.stderr), ConnectionClosed
        )
        print(f"listening on {server.addresses[0].location}; Ctrl+C stops", file=sys.stderr, flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(search.work())
            await search.stopped.wait()
    print(search.status().decode())


def router() -> Router:
    """For ``python -m aionet serve examples.embed:router``."""
    return make_router(Search())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]) if len(sys.argv) > 1 else main())
