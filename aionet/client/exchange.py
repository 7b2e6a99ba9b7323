"""One HTTP/1.1 request and its answer over an open connection, bounded in size and time. h11 does the grammar."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import anyio
import h11

from ..errors import AionetError, FrameTooLarge, IncompleteFrame, MalformedFrame
from ..handler import Connection

__all__ = ["MAX_HEAD", "Exchange", "FetchError", "FetchTimeout"]

MAX_HEAD: Final = 64 * 1024
"""Bytes of status line and headers, and of trailers. nginx allows its upstreams 4 to 8 KiB, curl 300 KiB."""

MAX_INFORMATIONAL: Final = 16
"""Answers of the kind 1xx before the real one: a server may send any number, and could do so for ever."""


_NO_HTTP: Final = "does it speak HTTP there? for a port that speaks TLS, say https"


class FetchError(AionetError, ConnectionError):
    """The server was reached, but the exchange came to nothing."""


class FetchTimeout(FetchError, TimeoutError):
    """... within the time given."""


class Exchange:
    """One request, one answer.

    Args:
        conn: Just connected; a codec would be in the way.
        patience: Seconds without a byte until the server is given up.
        max_size: Bytes of content.

    Attributes:
        sent_at: When the request had left, by :func:`time.perf_counter`.
        first_byte_at: When the answer began to come.
        size: Bytes of content up to now.
    """

    def __init__(self, conn: Connection[bytes], *, patience: float, max_size: int) -> None:
        self._conn = conn
        self._patience = patience
        self._max_size = max_size
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._answered = False
        self.sent_at = self.first_byte_at = 0.0
        self.size = 0

    async def ask(self, request: h11.Request) -> h11.Response:
        """Send the request (it has no content), return the head of its answer.

        Raises:
            FetchError: the connection failed; :class:`FetchTimeout`: nothing came for too long.
            ProtocolError: what came is not HTTP, or has no end.
        """
        data = self._state.send(request) or b""
        data += self._state.send(h11.EndOfMessage()) or b""
        try:
            # Not anyio's: what that loads at first use, 30 ms, would be counted as the server's.
            async with asyncio.timeout(self._patience):
                await self._conn.send(data)
        except TimeoutError as exc:
            raise self._silent() from exc
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise _failed(exc) from exc
        self.sent_at = time.perf_counter()
        for _ in range(MAX_INFORMATIONAL + 1):
            event = await self._next_event()
            if isinstance(event, h11.Response):
                self._answered = True
                return event
            if isinstance(event, h11.ConnectionClosed):
                raise IncompleteFrame("the server closed the connection without an answer", hint=_NO_HTTP)
        raise MalformedFrame(f"the server sent more than {MAX_INFORMATIONAL} answers that are none (1xx)")

    async def read(self, write: Callable[[bytes], object]) -> None:
        """Hand the content to ``write``, as it comes.

        Raises:
            FrameTooLarge: there is more of it than ``max_size``; up to that it was written.
            FetchError, ProtocolError: as :meth:`ask`.
        """
        while True:
            event = await self._next_event()
            if isinstance(event, h11.EndOfMessage):
                return
            if isinstance(event, h11.Data):
                data = bytes(event.data)
                room = self._max_size - self.size
                self.size += min(len(data), room)
                if data:
                    write(data[:room])
                if len(data) > room:
                    raise FrameTooLarge(f"the content has more than {self._max_size} bytes")

    async def _next_event(self) -> Any:
        while True:
            try:
                event = self._state.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._state.receive_data(await self._receive())
            except h11.RemoteProtocolError as exc:
                raise self._misbehaved(exc) from exc

    async def _receive(self) -> bytes:
        """A chunk; nothing at the end."""
        try:
            async with asyncio.timeout(self._patience):
                data = await self._conn.receive()
        except TimeoutError as exc:
            raise self._silent() from exc
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise _failed(exc) from exc
        if not self.first_byte_at:
            self.first_byte_at = time.perf_counter()
        return data

    def _silent(self) -> FetchTimeout:
        what = "went silent: nothing came" if self.first_byte_at else "did not answer"
        return FetchTimeout(f"the server {what} for {self._patience:g} s")

    def _misbehaved(self, exc: h11.RemoteProtocolError) -> AionetError:
        if exc.error_status_hint == 431:
            return FrameTooLarge(f"a header, or a line of the framing, has more than {MAX_HEAD} bytes and no end")
        hint = None if self._answered else _NO_HTTP
        if not self._state.trailing_data[1]:
            return MalformedFrame(f"the answer is not HTTP/1.1: {exc}", hint=hint)
        if not self.first_byte_at:
            return IncompleteFrame("the server closed the connection without an answer", hint=hint)
        return IncompleteFrame(f"the server closed the connection inside its answer: {exc}", hint=hint)


def _failed(exc: Exception) -> FetchError:
    cause = exc.__cause__
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause or exc
    return FetchError(f"the connection failed: {str(why) or 'no reason known'}")
