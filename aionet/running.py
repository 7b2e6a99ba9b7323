"""``run()``: a server that owns its process: event loop, signals, exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .core.loop import LoopName
from .core.loop import run as run_loop
from .observe.logging import setup_logging
from .routing import Router
from .server import Server, ServerState

__all__ = ["DRAIN_CUT", "run"]

DRAIN_CUT: Final = 5
"""Exit code: connections were cut, by the drain deadline or a second signal."""

LAST_RESORT: Final = 2.0
"""Seconds after the second signal until the process ends whatever blocks its event loop."""


def run(
    router: Router,
    *,
    loop: LoopName = "auto",
    on_started: Callable[[Server], object] | None = None,
    on_draining: Callable[[Server], object] | None = None,
    **server_options: Any,
) -> int:
    """Serve ``router`` until SIGTERM or SIGINT, drain, and return the exit code.

    The first signal drains; the second cuts what is left, at once, even where a handler blocks the event loop.

    Args:
        router: The routes to serve.
        loop: ``"auto"`` takes uvloop where it is installed.
        on_started: Called once the server serves, on its loop.
        on_draining: Called when the first signal has come.
        server_options: For :class:`Server`: ``limits``, ``timeouts``, ``drain_timeout``...

    Returns:
        0, or 5 where connections were cut.

    Raises:
        ConfigError: what was asked for cannot be.
        StartupError: an endpoint could not be bound; nothing stays bound.
    """
    if on_started is None:
        setup_logging("info")

    async def main() -> int:
        server = Server(router, **server_options)
        with _signals(server) as stop:  # before the start: whoever sees a port listening may send the signal
            await server.start()
            if on_started is not None:
                on_started(server)
            await stop.wait()
            if on_draining is not None:
                on_draining(server)
            finished = await server.drain()
        return DRAIN_CUT if finished.cut else 0

    return run_loop(main(), loop=loop)


@contextmanager
def _signals(server: Server) -> Iterator[asyncio.Event]:
    """SIGTERM and SIGINT: the first sets the event, the second aborts the server.

    Plain handlers, not the loop's: they run even while a callback blocks the loop in Python code.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    seen = 0
    hurrying: set[asyncio.Task[None]] = set()

    def hurry() -> None:
        if server.state is ServerState.DRAINING:
            hurrying.add(loop.create_task(server.abort()))

    def on_signal(number: int, frame: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            loop.call_soon_threadsafe(stop.set)
        else:
            loop.call_soon_threadsafe(hurry)
            timer = threading.Timer(LAST_RESORT, os._exit, (DRAIN_CUT,))
            timer.daemon = True
            timer.start()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
