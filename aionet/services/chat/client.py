"""The terminal client: what is typed goes out, what comes is shown, and the server is trusted no more than a peer."""

from __future__ import annotations

import math
import signal
import sys
import threading
from contextlib import aclosing, suppress
from typing import Any, Final, TextIO

import anyio

from ... import Connection, Endpoint, Timeouts, connect
from ...errors import ConfigError
from .keyboard import HasFileno, Keyboard
from .screen import Screen
from .text import visible
from .wire import JOINED, MAX_LINE, PROMPT, TranscriptCodec

__all__ = ["run_chat"]

TIMEOUTS: Final = Timeouts(first_message=math.inf, message=math.inf, idle=math.inf)
"""A person reads in silence for as long as it pleases; keep-alive probes find a server that died."""

GREETING_WAIT: Final = 5.0
"""Seconds to let the server speak first, as it does. On a port that it shares it is known by its clients' silence, and
who spoke at once would be taken for somebody else's."""

NAME_WAIT: Final = 5.0
"""Seconds to wait for the answer to a name given beforehand. A server that says neither yes nor no is taken as yes."""

GOODBYE_WAIT: Final = 2.0
"""Seconds to read on after we said that no more will come. The server closes as soon as it has answered all."""

UNFINISHED_WAIT: Final = 0.2
"""Seconds after which a line without its end is shown: a prompt that is not ours, or a server that ends no lines."""


async def run_chat(
    endpoint: str | Endpoint,
    *,
    name: str | None = None,
    stdin: int | HasFileno = 0,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    timeout: float = 10.0,
    ssl_context: Any = None,
) -> int:
    """Connect, then relay lines between a terminal (or pipe, or file) and a chat server until one side ends it.

    ``/quit``, the end of input, SIGINT (Ctrl+C) and SIGTERM leave: what was typed is sent, and what the server still
    has to say is shown, for at most 2 s; a second signal does not wait. Signals are taken over once connected, in the
    main thread only. A line above 4096 bytes is not sent, and that is said.

    Args:
        endpoint: ``tcp://``, ``tls://``, ``ws://``, ``wss://`` or ``unix://``.
        name: Answers the server's first question. If the server refuses it, a person is asked again; a pipe or a
            file is not, so that its first line does not become a name.
        stdin: Descriptor, or a file of which nothing has been read through its own buffer.
        stdout: What the server sends; the default is ``sys.stdout``.
        stderr: What the client itself has to say; the default is ``sys.stderr``.
        timeout: Seconds to connect in.
        ssl_context: An :class:`ssl.SSLContext` for ``tls://``, instead of what the endpoint's options say.

    Returns:
        Exit code: 0 if our side left, or nobody reads ``stdout`` any more; 1 if the server ended it, or refused
        ``name``.

    Raises:
        ConfigError: ``endpoint`` does not parse, or ``name`` cannot be printed (a line end is among that).
        ConnectError: the server cannot be reached.
    """
    if name is not None and not name.isprintable():
        raise ConfigError(f"the name {name!r} has a character that cannot be printed", hint="it is sent as one line")
    keyboard = Keyboard(stdin, MAX_LINE)
    screen = Screen(stdout or sys.stdout, skip=PROMPT if name is not None else b"")
    conn: Connection[bytes]
    async with connect(
        endpoint, codec=TranscriptCodec, timeout=timeout, timeouts=TIMEOUTS, ssl_context=ssl_context
    ) as conn:
        return await _Client(conn, keyboard, screen, stderr or sys.stderr, name).run()


class _Client:
    def __init__(
        self, conn: Connection[bytes], keyboard: Keyboard, screen: Screen, stderr: TextIO, name: str | None
    ) -> None:
        self._conn = conn
        self._keyboard = keyboard
        self._screen = screen
        self._stderr = stderr
        self._name = name
        self._greeted = anyio.Event()
        self._opening = b""
        """What came until our name was taken or refused."""
        self._name_answered = anyio.Event()
        self._name_refused = False
        self._leaving = False
        self._failed = False
        self._listening = anyio.CancelScope()

    async def run(self) -> int:
        async with anyio.create_task_group() as tasks:
            if threading.current_thread() is threading.main_thread():
                tasks.start_soon(self._heed_signals)
            tasks.start_soon(self._speak)
            with self._listening:
                await self._listen()
            tasks.cancel_scope.cancel()
        return 1 if self._failed else 0

    async def _listen(self) -> None:
        try:
            while not self._screen.closed:
                chunk: bytes | None = None
                with anyio.move_on_after(UNFINISHED_WAIT if self._screen.unfinished else None):
                    chunk = await self._conn.receive()
                if chunk is None:
                    self._screen.show_unfinished()
                else:
                    self._greeted.set()
                    self._look_for_answer(chunk)
                    self._screen.feed(chunk)
        except anyio.EndOfStream:
            self._end("the server closed the connection", failed=not self._leaving)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            why = f": {exc.__cause__}" if exc.__cause__ else ""
            self._end(f"the connection to the server is lost{why}", failed=True)

    def _end(self, text: str, failed: bool) -> None:
        self._screen.show_unfinished()
        self._screen.end_prompt()
        if failed:
            self._failed = True
            self._say(text)

    def _look_for_answer(self, chunk: bytes) -> None:
        """Find out whether the server took the name given beforehand."""
        if self._name is None or self._name_answered.is_set():
            return
        self._opening += chunk
        self._name_refused = self._opening.count(PROMPT) > 1
        if self._name_refused or JOINED.encode() in self._opening or len(self._opening) > MAX_LINE:
            self._name_answered.set()
            self._opening = b""

    async def _speak(self) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the listener says so
            with anyio.move_on_after(GREETING_WAIT):
                await self._greeted.wait()
            if await self._introduce():
                await self._send_lines()
            await self._leave()

    async def _introduce(self) -> bool:
        """Give the name, if there is one. Returns whether what is typed may follow."""
        if self._name is None:
            return True
        await self._conn.send(self._name.encode("utf-8", "surrogateescape") + b"\n")
        with anyio.move_on_after(NAME_WAIT):
            await self._name_answered.wait()
        if not self._name_refused or self._keyboard.is_terminal:
            return True
        self._failed = True
        self._say(f"the server refused the name {visible(self._name)}; nothing was sent")
        return False

    async def _send_lines(self) -> None:
        async with aclosing(self._keyboard.lines()) as lines:
            async for line in lines:
                if line is None:
                    self._say(f"a line has at most {MAX_LINE} bytes; this one was not sent")
                    continue
                if self._keyboard.is_terminal:
                    self._screen.answered()
                else:
                    self._screen.end_prompt()
                if line.strip().lower() == b"/quit":
                    return
                await self._conn.send(line + b"\n")

    async def _leave(self) -> None:
        """Say that no more will come; the listener goes on until the server has answered, for a bounded time."""
        if self._leaving:
            return
        self._leaving = True
        self._listening.deadline = anyio.current_time() + GOODBYE_WAIT
        if self._conn.tls is None:
            await self._conn.send_eof()
        else:  # TLS has no half-close: our goodbye would throw away the server's last words
            await self._conn.send(b"/quit\n")

    async def _heed_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if self._leaving:
                    self._listening.cancel()
                    return
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await self._leave()

    def _say(self, text: str) -> None:
        with suppress(BrokenPipeError):
            self._stderr.write(f"{text}\n")
            self._stderr.flush()
