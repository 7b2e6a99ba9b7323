"""Lines from standard input, without blocking the event loop and without losing any of them."""

from __future__ import annotations

import os
import select
from collections.abc import AsyncGenerator
from typing import Final, Protocol

import anyio

__all__ = ["HasFileno", "Keyboard"]

CHUNK: Final = 64 * 1024
"""Bytes of one read. A terminal gives a line at a time, whatever is asked for."""


class HasFileno(Protocol):
    """A file: ``sys.stdin``, a pipe's end."""

    def fileno(self) -> int:
        """Its descriptor."""


class Keyboard:
    """A terminal, pipe or file that somebody types into, read in a worker thread.

    Not with the loop's own readiness: uvloop makes a descriptor that it watches non-blocking (``uv_poll_init``), and
    a terminal is one open file for input, output and the shell that gets it back; epoll takes no regular files. The
    thread waits with poll(2) for input or for the end of waiting, so it reads nothing that nobody will take.

    Args:
        source: Descriptor, or a file of which nothing has been read through its own buffer.
        max_line: Bytes; a longer line is given as ``None``.
    """

    def __init__(self, source: int | HasFileno, max_line: int) -> None:
        self.fd = source if isinstance(source, int) else source.fileno()
        self._max_line = max_line
        self._rest = b""
        self._too_long = False

    @property
    def is_terminal(self) -> bool:
        """Whether a person types, and sees what is typed."""
        try:
            return os.isatty(self.fd)
        except OSError:
            return False

    async def lines(self) -> AsyncGenerator[bytes | None, None]:
        """Every line without its line end; the last one need not have any. ``None`` stands for one that is too long."""
        while chunk := await self._read():
            for line in self._split(chunk):
                yield line
        if self._too_long:
            yield None
        elif self._rest:
            yield self._rest

    def _split(self, chunk: bytes) -> list[bytes | None]:
        first, *others = chunk.split(b"\n")
        pieces = [self._rest + first, *others]
        self._rest = pieces.pop()
        lines: list[bytes | None] = [self._checked(piece) for piece in pieces]
        if lines and self._too_long:
            lines[0] = None
            self._too_long = False
        if len(self._rest) > self._max_line + 1:  # 1 for a CR
            self._too_long = True
            self._rest = b""
        return lines

    def _checked(self, line: bytes) -> bytes | None:
        line = line.removesuffix(b"\r")
        return line if len(line) <= self._max_line else None

    async def _read(self) -> bytes:
        """What there is, as soon as there is any; ``b""`` at the end."""
        try:
            os.fstat(self.fd)
        except OSError:  # closed: its number would be given to the pipe below
            return b""
        stop_reader, stop_writer = os.pipe()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_close_when_cancelled, stop_writer)
                chunk = await anyio.to_thread.run_sync(_read_unless_stopped, self.fd, stop_reader)
                tasks.cancel_scope.cancel()
        finally:
            os.close(stop_reader)
        return chunk


async def _close_when_cancelled(fd: int) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        os.close(fd)


def _read_unless_stopped(fd: int, stop_reader: int) -> bytes:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(stop_reader, select.POLLIN)
    ready = {number for number, _ in poll.poll()}
    if stop_reader in ready:
        return b""
    try:
        return os.read(fd, CHUNK)
    except OSError:  # the terminal hung up
        return b""
