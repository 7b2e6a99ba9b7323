"""Events to log records. The core never logs; this is one subscriber among others.

Logger names: ``aionet.server`` (life of the server), ``aionet.access`` (connections come and go, at DEBUG),
``aionet.security`` (refused, suspended, dropped), ``aionet.audit`` (files read and changed, at INFO) and
``aionet.error`` (handlers that failed). Whatever a peer can choose is escaped and bounded before it reaches a line, so
that no peer forges a line or drives a terminal.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from logging.handlers import QueueHandler
from typing import Any, Final, TextIO

from ..events import (
    AcceptResumed,
    AcceptSuspended,
    Address,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    DatagramsDropped,
    DrainFinished,
    Event,
    Events,
    HandlerFailed,
    ListenerStarted,
    MessagesDropped,
    ServerStateChanged,
    TransferFinished,
)

__all__ = ["LEVELS", "LogObserver", "LogSetup", "format_address", "printable", "setup_logging"]

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

MAX_TEXT: Final = 256
"""Characters of one peer-controlled value in a line: enough to recognise it, too few to fill a disk."""

MAX_FAILURES_PER_SECOND: Final = 10
"""Handler failures logged in one second. A peer that can make a handler fail could otherwise write the operator's
disk full, a traceback a connection; the rest is counted and named in the next line."""

MAX_TRACEBACK: Final = 16 * 1024
"""Characters of one traceback. An exception's text may quote what the peer sent, however long that was."""

MAX_QUEUED: Final = 10_000
"""Records waiting for a slow terminal or pipe. Beyond it they are counted and dropped: the loop does not wait."""

# C0, DEL and C1 controls, line and paragraph separators, zero-width and bidirectional controls (Trojan Source)
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def printable(value: object, limit: int = MAX_TEXT) -> str:
    """``value`` as text that is safe in a line of a log or terminal: ASCII, escaped, at most ``limit`` characters.

    Text and bytes lose the quotes that ``ascii()`` gives them; everything else is shown as ``str`` shows it.
    """
    if isinstance(value, (bytes, bytearray)):
        text = ascii(bytes(value[: limit + 1]))[2:-1]
    else:
        text = ascii(str(value)[: limit + 1])[1:-1]
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def format_address(address: Address) -> str:
    """A peer's address as people write it: ``127.0.0.1:7000``, ``[::1]:7000``, a path, ``unnamed peer`` (unix(7))."""
    if isinstance(address, tuple) and len(address) >= 2:
        host = printable(address[0])
        return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    return printable(address) if address else "unnamed peer"


class LogObserver:
    """Writes a server's events to ``logging``.

    Connections opened and closed are subscribed to only if ``aionet.access`` is enabled for DEBUG at this moment: an
    event nobody wants is never built.

    A failed handler comes with its traceback, as ``exc_info``. What a peer put into an exception's text is escaped in
    the line itself; in the traceback only the formatter can do it, and that of :func:`setup_logging` does.

    Args:
        events: Of the server to be watched.
        clock: Seconds, monotonic; for the limit of failures a second.
    """

    def __init__(self, events: Events, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = logging.getLogger("aionet.server")
        self._access = logging.getLogger("aionet.access")
        self._security = logging.getLogger("aionet.security")
        self._audit = logging.getLogger("aionet.audit")
        self._error = logging.getLogger("aionet.error")
        self._clock = clock
        self._second = 0
        self._failures = 0
        self._suppressed = 0
        self._ends = [events.subscribe(write, kind) for kind, write in self._writers()]

    def _writers(self) -> list[tuple[type[Event], Callable[..., None]]]:
        writers: list[tuple[type[Event], Callable[..., None]]] = [
            (ServerStateChanged, self._state_changed),
            (ListenerStarted, self._listener_started),
            (DrainFinished, self._drain_finished),
            (AcceptSuspended, self._accept_suspended),
            (AcceptResumed, self._accept_resumed),
            (ConnectionRefused, self._refused),
            (MessagesDropped, self._messages_dropped),
            (DatagramsDropped, self._datagrams_dropped),
            (HandlerFailed, self._handler_failed),
        ]
        if self._access.isEnabledFor(logging.DEBUG):
            writers += [(ConnectionOpened, self._opened), (ConnectionClosed, self._closed)]
        if self._audit.isEnabledFor(logging.INFO):
            writers.append((TransferFinished, self._transferred))
        return writers

    def close(self) -> None:
        """Stop watching. Idempotent."""
        while self._ends:
            self._ends.pop()()

    def _state_changed(self, event: ServerStateChanged) -> None:
        self._server.info("server: %s -> %s", event.old, event.new)

    def _listener_started(self, event: ListenerStarted) -> None:
        self._server.info("listening on %s for %s", event.endpoint, printable(event.route))

    def _drain_finished(self, event: DrainFinished) -> None:
        self._say_suppressed()
        if not event.cut:
            self._server.info("drained in %.1f s", event.seconds)
            return
        shown = ", ".join(format_address(peer) for peer in event.cut[:8])
        more = f" and {len(event.cut) - 8} more" if len(event.cut) > 8 else ""
        self._server.warning("drain deadline: %d cut after %.1f s: %s%s", len(event.cut), event.seconds, shown, more)

    def _accept_suspended(self, event: AcceptSuspended) -> None:
        self._security.warning(
            "%s accepts no more: %d connections open, limit %d", event.endpoint, event.connections, event.limit
        )

    def _accept_resumed(self, event: AcceptResumed) -> None:
        self._security.info("%s accepts again: %d connections open", event.endpoint, event.connections)

    def _refused(self, event: ConnectionRefused) -> None:
        self._security.warning(
            "%s refused %d, last %s: %s", event.endpoint, event.count, format_address(event.peer), printable(event.why)
        )

    def _messages_dropped(self, event: MessagesDropped) -> None:
        self._security.warning(
            "%s does not keep up: %d messages (%d bytes) dropped", format_address(event.peer), event.count, event.bytes
        )

    def _datagrams_dropped(self, event: DatagramsDropped) -> None:
        self._security.warning("%s dropped %d datagrams: %s", event.endpoint, event.count, printable(event.why))

    def _handler_failed(self, event: HandlerFailed) -> None:
        second = int(self._clock())
        if second != self._second:
            self._say_suppressed()
            self._second, self._failures = second, 0
        self._failures += 1
        if self._failures > MAX_FAILURES_PER_SECOND:
            self._suppressed += 1
            return
        self._error.warning(
            "%s failed in %s, peer %s: %s: %s",
            printable(event.route),
            printable(event.where),
            format_address(event.peer),
            type(event.exc).__name__,
            printable(event.exc),
            exc_info=event.exc,
        )

    def _say_suppressed(self) -> None:
        if self._suppressed:
            self._error.warning("%d more handler failures in that second", self._suppressed)
            self._suppressed = 0

    def _opened(self, event: ConnectionOpened) -> None:
        self._access.debug("%s open to %s", format_address(event.peer), printable(event.route))

    def _closed(self, event: ConnectionClosed) -> None:
        cause = f" ({type(event.exc).__name__}: {printable(event.exc)})" if event.exc is not None else ""
        stats = event.stats
        self._access.debug(
            "%s gone from %s: %s%s; received %d messages, %d bytes; sent %d messages, %d bytes",
            format_address(event.peer),
            printable(event.route),
            event.reason.value,
            cause,
            stats.messages_received,
            stats.bytes_received,
            stats.messages_sent,
            stats.bytes_sent,
        )

    def _transferred(self, event: TransferFinished) -> None:
        self._audit.info(
            "%s%s %s %s of %s: %d bytes in %.3f s: %s",
            format_address(event.peer),
            f" ({printable(event.user)})" if event.user else "",
            printable(event.verb),
            printable(event.name) or "-",
            printable(event.route),
            event.bytes,
            event.seconds,
            printable(event.outcome),
        )


class _Formatter(logging.Formatter):
    """One line a record, UTC; controls escaped; a traceback's lines indented, so that none looks like a record."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
    converter = staticmethod(time.gmtime)
    _COLOURS: Final = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31", logging.DEBUG: "2"}

    def __init__(self, *, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = _CONTROLS.sub(lambda found: ascii(found.group())[1:-1], super().format(record))
        text = text.replace("\n", "\n    ")
        code = self._COLOURS.get(record.levelno) if self._colour else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text

    def formatException(self, ei: Any) -> str:
        text = super().formatException(ei)
        half = MAX_TRACEBACK // 2
        return text if len(text) <= MAX_TRACEBACK else f"{text[:half]}\n[...]\n{text[-half:]}"


class _Queued(QueueHandler):
    """Puts records into a bounded queue, formatted already; counts what does not fit."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> str:
        return self.format(record)

    def enqueue(self, record: str) -> None:  # type: ignore[override]  # what prepare() made of it
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class LogSetup:
    """What :func:`setup_logging` put in place. :meth:`close` writes what waits and takes it out again."""

    def __init__(self, level: int, stream: TextIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | None] = queue.Queue(MAX_QUEUED)
        self._handler = _Queued(self._queue)
        colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self._handler.setFormatter(_Formatter(colour=colour))
        self._root = logging.getLogger()
        self._old_level = self._root.level
        self._root.addHandler(self._handler)
        self._root.setLevel(level)
        self._thread = threading.Thread(target=self._write, name="aionet-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a program that does not close still has its last lines written

    def _write(self) -> None:
        told = full = 0  # lines lost and reported; lines lost here
        while (line := self._queue.get()) is not None:
            lost = self._handler.dropped + full - told
            tail = f"\n({lost} log lines dropped: the output does not keep up)" if lost else ""
            try:
                self._stream.write(f"{line}{tail}\n")
                if self._queue.empty():
                    self._stream.flush()
            except BlockingIOError:
                full += 1  # a terminal that another process made non-blocking
            except (OSError, ValueError):
                return  # the terminal or pipe is gone: nobody is left to tell
            else:
                told += lost

    def close(self, timeout: float = 1.0) -> None:
        """Give the output ``timeout`` seconds to take what waits, then leave. Idempotent, never hangs."""
        if self._handler not in self._root.handlers:
            return
        atexit.unregister(self.close)
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._old_level)
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return  # a daemon thread, stuck in write(2): it ends with the process
        self._thread.join(timeout)


def setup_logging(level: str = "warning", *, stream: TextIO | None = None) -> LogSetup | None:
    """Send log records to ``stream`` through a thread of their own, so that a slow terminal never blocks the loop.

    For programs, never for libraries. A program that configured the root logger itself keeps what it has: only the
    level of the ``aionet`` loggers is set then.

    Args:
        level: One of :data:`LEVELS`.
        stream: Default: standard error.

    Returns:
        What to close at the end, or ``None`` where logging was configured already.

    Raises:
        ValueError: ``level`` is none of :data:`LEVELS`.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r}: known are {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    if logging.getLogger().handlers:
        logging.getLogger("aionet").setLevel(number)
        return None
    return LogSetup(number, sys.stderr if stream is None else stream)
