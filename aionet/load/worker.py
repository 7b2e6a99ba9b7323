"""A process that generates load: started by :mod:`.running`, told what to do through a pipe, ends with it."""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

from ..core.loop import LoopName, run
from ..errors import AionetError
from .engine import Engine
from .plan import Plan, Share

__all__ = ["Done", "Failed", "Go", "Order", "Ready", "Stop", "main"]


@dataclass(frozen=True, slots=True)
class Order:
    """To a worker, first: what to do."""

    plan: Plan
    share: Share
    loop: LoopName


@dataclass(frozen=True, slots=True)
class Go:
    """To a worker, once all are ready: when to begin, by :func:`time.perf_counter_ns`."""

    start: int


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: end now, with what there is."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: so many connections are open."""

    connections: int


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: not one connection could be opened, or what is asked cannot be; this is why."""

    error: AionetError | OSError


@dataclass(frozen=True, slots=True)
class Done:
    """From a worker: the last snapshot is sent."""


async def work(pipe: Pipe, order: Order) -> None:
    """Do a part of a run."""
    loop = asyncio.get_running_loop()
    word: asyncio.Future[Go | Stop] = loop.create_future()
    engine = Engine(order.plan, order.share, pipe.send)

    def hear() -> None:
        try:
            message = pipe.recv()
        except (EOFError, OSError):  # whoever started us is gone
            loop.remove_reader(pipe.fileno())
            message = Stop()
        if isinstance(message, Stop):
            engine.stop()
        if not word.done():
            word.set_result(message)

    loop.add_reader(pipe.fileno(), hear)
    try:
        try:
            pipe.send(Ready(await engine.open()))
        except (AionetError, OSError) as exc:
            pipe.send(Failed(exc))
            return
        go = await word
        if isinstance(go, Go):
            gc.collect()
            gc.freeze()  # connections and their like live as long as the run
            await engine.run(go.start)
        pipe.send(Done())
    finally:
        loop.remove_reader(pipe.fileno())


def main() -> None:
    """``python -c "from aionet.load.worker import main; main()" DESCRIPTOR``."""
    with Pipe(int(sys.argv[1])) as pipe:
        try:
            order = pipe.recv()
            run(work(pipe, order), loop=order.loop)
        except (BrokenPipeError, EOFError):
            return  # whoever started us is gone
