"""The body of a ``PUT`` as it comes: while one buffer is written and hashed in threads, the other one is filled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import anyio

from aionet import Connection

from .direct import BLOCK, Buffers
from .disk import outcome
from .wire import Message

__all__ = ["BUFFER", "SMALL_BUFFER", "IncomingBody", "receive_whole"]

BUFFER: Final = 2 * 1024 * 1024
"""Bytes of each of the two buffers: what a thread writes and hashes at once."""

SMALL_BUFFER: Final = 256 * 1024
"""Bytes of each of them where there are many bodies."""

_ENOUGH: Final = 64 * 1024
"""Bytes that are worth a hop to a thread. After a cut as many that had come may be sent again."""

Take = Callable[[memoryview, bool], asyncio.Future[bytes]]
"""``take(data, last)``: begin to write it, in a thread; the answer to the client, if there is one already."""


class IncomingBody:
    """A body that is too large to be waited for. A context manager: when it is left as planned the buffers go back.

    Args:
        conn: Where it comes from.
        size: Bytes of it.
        offset: Where in the file it belongs, bytes.
        buffers: Of whole blocks; a server's of :data:`BUFFER` or :data:`SMALL_BUFFER` bytes.
        take: Is given all of it, in order, one call at a time; each but the last ends at a whole block of the file.
        heard: Called when some of it has come.

    Attributes:
        missing: Bytes that have not come.
    """

    def __init__(
        self,
        conn: Connection[Message],
        size: int,
        offset: int,
        buffers: Buffers,
        take: Take,
        heard: Callable[[], None],
    ) -> None:
        self.missing = size
        self._end = offset  # of what has come
        self._conn = conn
        self._take = take
        self._heard = heard
        self._buffers = buffers
        self._filling, self._other = buffers.take(), buffers.take()
        self._filled = 0
        self._taking: asyncio.Future[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:  # if not, a thread may still be at one of them, or come to it
            self._buffers.give_back(self._filling)
            self._buffers.give_back(self._other)

    def has_begun(self) -> bool:
        """Whether some of it has come."""
        with suppress(anyio.WouldBlock):
            piece = self._conn.receive_nowait()
            assert isinstance(piece, bytes)  # the codec gives nothing else until the body is complete
            if len(piece) > len(self._filling):  # TLS of the loop's own can read more than is in a small one
                self._filling = memoryview(bytearray(len(piece)))
            self._filling[: len(piece)] = piece
            self._have_come(len(piece))
        return self._filled > 0

    async def run(self) -> bytes:
        """Take it, up to its end or to the first answer; the answer.

        Raises:
            anyio.EndOfStream, anyio.BrokenResourceError: the connection ended before. What had come was taken.
            TransferError: as ``take``.
        """
        answer = b""
        while not answer:
            try:
                await self._fill()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                if not await self._taken() and self._filled:  # whoever goes on with it need not send these again
                    self._taking = self._take(self._filling[: self._filled], False)
                    await self._taken()
                raise
            answer = await self._taken()
            if not answer:
                self._begin_to_take()
                if not self.missing:
                    answer = await self._taken()
        return answer

    async def pass_over(self) -> None:
        """Read past the rest."""
        while self.missing:
            self.missing -= await self._conn.receive_into(self._filling[: self.missing])

    async def _fill(self) -> None:
        """Until there is enough, and then until the buffer is full or those before are taken."""
        while self.missing and self._filled < len(self._filling):
            if self._filled >= _ENOUGH and (self._taking is None or self._taking.done()):
                return
            room = self._filling[self._filled : self._filled + self.missing]
            # A slow sender's are not held back for more than _ENOUGH, and he is heard of at each of them.
            enough = 1 if self._filled < _ENOUGH else _ENOUGH - self._filled % _ENOUGH
            self._have_come(await self._conn.receive_into(room, min(enough, len(room))))

    def _have_come(self, count: int) -> None:
        self._filled += count
        self._end += count
        self.missing -= count
        self._heard()

    def _begin_to_take(self) -> None:
        whole = self._filled - self._end % BLOCK if self.missing else self._filled
        taken, rest = self._filling[:whole], self._filling[whole : self._filled]
        self._other[: len(rest)] = rest
        self._filling, self._other, self._filled = self._other, self._filling, len(rest)
        self._taking = self._take(taken, not self.missing)

    async def _taken(self) -> bytes:
        """Wait for those before; the answer, if there is one."""
        return b"" if self._taking is None else await outcome(self._taking)


async def receive_whole(conn: Connection[Message], size: int) -> bytes:
    """A body that is small, once all of it is there.

    Raises:
        anyio.EndOfStream, anyio.BrokenResourceError: the connection ended before.
    """
    body, filled = memoryview(bytearray(size)), 0
    while filled < size:
        filled += await conn.receive_into(body[filled:], size - filled)
    return bytes(body)
