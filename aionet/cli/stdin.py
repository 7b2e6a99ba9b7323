"""Standard input for a program with an event loop: chunks and lines, without a thread that could not be ended."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from typing import Final

import anyio

from .failures import CommandError

__all__ = ["chunks", "lines", "waits"]

CHUNK: Final = 64 * 1024


async def chunks(descriptor: int = 0) -> AsyncIterator[bytes]:
    """Bytes as they come, up to 64 KiB at once, until the end.

    The descriptor stays blocking: its open file is shared with the shell that started us. So it is read only when it
    has something; files and devices always have.
    """
    may_wait = waits(descriptor)
    while True:
        if may_wait:
            await anyio.wait_readable(descriptor)
        else:
            await anyio.lowlevel.checkpoint()
        data = os.read(descriptor, CHUNK)
        if not data:
            return
        yield data


def waits(descriptor: int = 0) -> bool:
    """Whether it may have nothing for now: a terminal, a pipe, a socket. Files and other devices always have."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


async def lines(descriptor: int = 0, *, max_size: int) -> AsyncIterator[bytes]:
    """Lines without their ends (LF or CRLF); a last one without an end counts.

    Raises:
        CommandError: a line above ``max_size`` bytes.
    """
    rest = bytearray()
    async for data in chunks(descriptor):
        searched = len(rest)
        rest += data
        start = 0
        while (end := rest.find(b"\n", max(start, searched))) >= 0:
            yield _line(rest[start:end], max_size)
            start = end + 1
        del rest[:start]
        if len(rest) > max_size + 1:
            raise _too_long(max_size)
    if rest:
        yield _line(rest, max_size)


def _line(data: bytearray, max_size: int) -> bytes:
    line = bytes(data).removesuffix(b"\r")
    if len(line) > max_size:
        raise _too_long(max_size)
    return line


def _too_long(max_size: int) -> CommandError:
    return CommandError(f"a line of the input has more than {max_size} bytes, the most a message may have here")
