"""``run()``: a server that owns its process: event loop, signals, exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .core.loop import LoopName
from .core.loop import run as run_loop
from .errors import ConfigError, StartupError
from .observe.logging import setup_logging
from .routing import Router
from .server import Server, ServerState

__all__ = ["DRAIN_CUT", "run", "serve"]

DRAIN_CUT: Final = 5
"""Exit code: connections were cut, by the drain deadline or a second signal."""

LAST_RESORT: Final = 2.0
"""Seconds after the second signal, or after the drain, until the process ends whatever still holds it: a callback that
blocks the event loop, a task that swallows its cancellation, a thread of the loop's executor."""


def run(router: Router, *, loop: LoopName = "auto", **server_options: Any) -> int:
    """Serve ``router`` until SIGTERM or SIGINT, then drain: the last line of a program that is a server.

    The first signal drains; the second cuts what is left, at once, even where a handler blocks the event loop. What
    happens is logged to standard error, unless logging is configured already.

    Args:
        router: The routes to serve.
        loop: ``"auto"`` takes uvloop where it is installed.
        server_options: For :class:`Server`: ``limits``, ``timeouts``, ``drain_timeout``...

    Returns:
        The exit code: 0, or 5 where connections were cut.

    Raises:
        SystemExit: it could not start (3), or was asked for what cannot be (4); standard error says what and why.
    """
    setup_logging("info")
    try:
        return serve(router, loop=loop, **server_options)
    except (ConfigError, StartupError) as exc:
        hint = f"\nhint: {exc.hint}" if exc.hint else ""
        sys.stderr.write(f"error: {exc}{hint}\n")
        raise SystemExit(exc.exit_code) from None


def serve(
    router: Router,
    *,
    loop: LoopName = "auto",
    on_started: Callable[[Server], object] | None = None,
    on_draining: Callable[[Server], object] | None = None,
    **server_options: Any,
) -> int:
    """As :func:`run`, for a program that talks for itself: it configures no logging, and raises what went wrong.

    Args:
        router: The routes to serve.
        loop: ``"auto"`` takes uvloop where it is installed.
        on_started: Called once the server serves, on its loop.
        on_draining: Called when the first signal has come.
        server_options: For :class:`Server`: ``limits``, ``timeouts``, ``drain_timeout``...

    Returns:
        The exit code: 0, or 5 where connections were cut.

    Raises:
        ConfigError: what was asked for cannot be.
        StartupError: an endpoint could not be bound; nothing stays bound.
    """
    last_resort = _LastResort()

    async def main() -> int:
        server = Server(router, **server_options)
        with _signals(server, last_resort) as stop:  # before the start: whoever sees a port listening may send one
            await server.start()
            if on_started is not None:
                on_started(server)
            await stop.wait()
            if on_draining is not None:
                on_draining(server)
            finished = await server.drain()
        code = DRAIN_CUT if finished.cut else 0
        last_resort.arm(code)  # closing the loop waits for every task and thread, however long they take
        return code

    try:
        return run_loop(main(), loop=loop)
    finally:
        last_resort.disarm()


class _LastResort:
    """Ends the process from a thread of its own, unless it has come to its end by then."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def arm(self, code: int) -> None:
        if self._timer is None:
            self._timer = threading.Timer(LAST_RESORT, os._exit, (code,))
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@contextmanager
def _signals(server: Server, last_resort: _LastResort) -> Iterator[asyncio.Event]:
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
            last_resort.arm(DRAIN_CUT)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
