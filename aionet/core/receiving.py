"""A body received into a buffer of the handler's: copied once, by the kernel, and no object for each of its pieces.

::

    the inbox holds pieces       they are copied from there
    a native transport           reads into the buffer itself; meanwhile its protocol is another
    any other (TLS)              delivers pieces, as ever
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NoReturn, TypeVar

import anyio

from ..handler import WritableBuffer
from .stream import BY_INBOX, StreamConnection

try:
    from ._epoll import SocketTransport as _Native
except ImportError:  # it is compiled where there is a C compiler
    _Native = None  # type: ignore[assignment, misc]

__all__ = ["BodyReceivingConnection"]

M = TypeVar("M")


class BodyReceivingConnection(StreamConnection[M]):
    """The part of a coroutine's connection that receives into buffers."""

    __slots__ = ()

    _inbox: deque[Any]
    _ended: bool

    async def receive_into(self, buffer: WritableBuffer, at_least: int = 1) -> int:
        if self._receiver is not None:
            raise anyio.BusyResourceError("receiving")
        view = memoryview(buffer).cast("B")
        if not 0 < at_least <= len(view):
            raise ValueError(f"at_least must be 1 to {len(view)}, the bytes of the buffer, not {at_least}")
        filled = self._take_pieces(view)
        while filled < at_least and not self._inbox:
            if self._ended:
                if filled:
                    break  # the next call says so
                self._raise_end()
            if not self._codec.body_left:
                if filled:
                    break
                raise RuntimeError("no body is being received: receive_into() is for what follows its head")
            filled += await self._fill(view[filled:], at_least - filled)
            filled += self._take_pieces(view[filled:])
        if not filled:
            raise RuntimeError(f"what comes next is no piece of a body: {self._inbox[0]!r:.100}")
        return filled

    def _take_pieces(self, view: memoryview) -> int:
        """Copy what is in the inbox, up to the end of the body; how many bytes."""
        filled, inbox = 0, self._inbox
        while inbox and filled < len(view) and isinstance(inbox[0], bytes):
            piece = self._take()
            part = piece[: len(view) - filled]
            view[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(piece):
                inbox.appendleft(piece[len(part) :])
        return filled

    async def _fill(self, view: memoryview, enough: int) -> int:
        """Wait until something has come: into the buffer, if the transport can do that, or to the inbox."""
        self._receiver = waiter = self._context.loop.create_future()
        transport = self._transport
        in_between = self._held & ~BY_INBOX or self._stash or self._codec.pending or self._eof
        if in_between or _Native is None or not isinstance(transport, _Native):
            try:
                await waiter
            finally:
                self._receiver = None
            return 0
        filling = _Filling(self, view[: self._codec.body_left], enough)
        transport.set_protocol(filling)
        try:
            await waiter
        except BaseException:
            filling.end()
            if filling.filled:
                self._inbox.appendleft(bytes(view[: filling.filled]))  # a call that is cancelled loses nothing
            raise
        finally:
            self._receiver = None
            filling.end()
        return filling.filled

    def _raise_end(self) -> NoReturn:
        """Raise what says why there is no message any more."""
        raise NotImplementedError

    def received_into(self, count: int) -> None:
        """So many bytes of a body went past the message path."""
        self._codec.skip_body(count)
        self.bytes_received += count
        self.messages_received += 1
        self._heard_at = self._deadlines.now

    def wake_receiver(self) -> None:
        """There is something to take, or will never be."""
        receiver = self._receiver
        if receiver is not None and not receiver.done():
            receiver.set_result(None)


class _Filling(asyncio.BufferedProtocol):
    """In the place of a connection while its transport reads into a buffer. All but the bytes is passed on to it."""

    def __init__(self, conn: BodyReceivingConnection[Any], view: memoryview, enough: int) -> None:
        self._conn = conn
        self._view = view
        self._enough = min(enough, len(view))
        self._ended = False
        self.filled = 0

    def end(self) -> None:
        """The connection is the protocol again. Idempotent."""
        transport = self._conn._transport
        if not self._ended and transport is not None:
            transport.set_protocol(self._conn)  # type: ignore[arg-type]  # by duck typing
        self._ended = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self.filled += nbytes
        if self.filled == len(self._view):
            self.end()
        self._conn.received_into(nbytes)
        if self.filled >= self._enough:
            self._conn.wake_receiver()

    def eof_received(self) -> bool:
        self.end()
        return self._conn.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.end()
        self._conn.connection_lost(exc)

    def pause_writing(self) -> None:
        self._conn.pause_writing()

    def resume_writing(self) -> None:
        self._conn.resume_writing()
