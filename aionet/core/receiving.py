"""A body received into a buffer of the handler's: copied once, by the kernel, and no object for each of its pieces.

::

    the inbox holds pieces       they are copied from there
    a native transport           reads into the buffer itself; meanwhile its protocol is another
    any other (TLS)              delivers pieces, as ever
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, NoReturn, TypeVar

import anyio

from ..codec import Codec
from ..events import CloseReason
from ..handler import WritableBuffer
from .message_path import CLOSING
from .stream import BY_INBOX, StreamConnection

try:
    from ._epoll import SocketTransport as _Native
except ImportError:  # it is compiled where there is a C compiler
    _Native = None  # type: ignore[assignment, misc]

__all__ = ["BodyReceivingConnection"]

M = TypeVar("M")

_PIECE: Final = 64 * 1024  # bytes of those that go back to the inbox: of a larger one each take would copy the rest


class BodyReceivingConnection(StreamConnection[M]):
    """The part of a coroutine's connection that receives into buffers."""

    __slots__ = ()

    _inbox: deque[Any]
    _ended: bool

    async def receive_into(self, buffer: WritableBuffer, at_least: int = 1) -> int:
        if self._receiver is not None:
            raise anyio.BusyResourceError("receiving")
        with memoryview(buffer).cast("B") as view:  # given back by name: an exception keeps whom it came past
            if view.readonly:
                raise TypeError(f"the buffer must be writable, not {type(buffer).__name__}")
            if not 0 < at_least <= len(view):
                raise ValueError(f"at_least must be 1 to {len(view)}, the bytes of the buffer, not {at_least}")
            codec = self._codec
            if not codec.body_left and type(codec).skip_body is Codec.skip_body:
                raise RuntimeError(f"{codec!r:.100} knows no bodies: receive() gives its messages")
            filled = self._take_pieces(view, 0)
            try:
                while filled < at_least and not self._inbox:
                    if self._ended:
                        if filled:
                            break  # the next call says so
                        self._raise_end()
                    if not codec.body_left and not self._stash:
                        if filled:
                            break
                        raise RuntimeError("no body is being received: receive_into() is for what follows its head")
                    filled = self._take_pieces(view, await self._fill(view, filled, at_least))
            except BaseException:
                self._put_back(view, 0, filled)
                raise
            if not filled:
                raise RuntimeError(f"what comes next is no piece of a body: {self._inbox[0]!r:.100}")
            return filled

    def _take_pieces(self, view: memoryview, filled: int) -> int:
        """Copy what is in the inbox behind what is filled, up to the end of the body; how much is filled now."""
        inbox = self._inbox
        while inbox and filled < len(view) and isinstance(inbox[0], bytes):
            piece = inbox[0]
            part = piece[: len(view) - filled]
            if len(part) < len(piece):
                inbox[0] = piece[len(part) :]
            else:
                self._take()
            view[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def _put_back(self, view: memoryview, start: int, stop: int) -> None:
        """A call that is cancelled loses nothing: what it has of the body goes back, as pieces."""
        if self._held & CLOSING and self._reason is CloseReason.LOCAL_CLOSED:
            return  # as all that had not been taken then
        for at in reversed(range(start, stop, _PIECE)):
            self._inbox.appendleft(bytes(view[at : min(at + _PIECE, stop)]))
        self._inbox_mark -= stop - start

    async def _fill(self, view: memoryview, filled: int, enough: int) -> int:
        """Wait until something has come: into the buffer, if the transport can do that, or to the inbox. Returns how
        much is filled."""
        self._receiver = waiter = self._context.loop.create_future()
        transport = self._transport
        in_between = self._held & ~BY_INBOX or self._stash or self._codec.pending or self._eof
        if in_between or _Native is None or not isinstance(transport, _Native):
            try:
                await waiter
            finally:
                self._receiver = None
            return filled
        filling = _Filling(self, view, filled, enough)
        transport.set_protocol(filling)
        try:
            await waiter
        except BaseException:
            filling.end()
            self._put_back(view, filled, filling.filled)
            raise
        finally:
            self._receiver = None
            filling.end()
        return filling.filled

    def _raise_end(self) -> NoReturn:
        """Raise what says why there is no message any more."""
        raise NotImplementedError

    def received_into(self, count: int) -> None:
        """So many bytes of a body went past the message path, and count there as a message that was taken."""
        self.bytes_received += count
        self._inbox_mark = self.bytes_received
        self.messages_received += 1
        self._heard_at = self._deadlines.now
        self._partial_at = 0.0
        try:
            self._codec.skip_body(count)
        except Exception as exc:
            self._fail("codec.skip_body", exc)

    def wake_receiver(self) -> None:
        """There is something to take, or will never be."""
        receiver = self._receiver
        if receiver is not None and not receiver.done():
            receiver.set_result(None)


class _Filling(asyncio.BufferedProtocol):
    """In the place of a connection while its transport reads into a buffer. All but the bytes is passed on to it."""

    def __init__(self, conn: BodyReceivingConnection[Any], view: memoryview, filled: int, enough: int) -> None:
        self._conn = conn
        self._view = view
        self._stop = min(len(view), filled + conn.codec.body_left)
        self._enough = min(enough, self._stop)
        self._ended = False
        self.filled = filled

    def end(self) -> None:
        """The connection is the protocol again. Idempotent."""
        transport = self._conn._transport
        if not self._ended and transport is not None:
            transport.set_protocol(self._conn)  # type: ignore[arg-type]  # by duck typing
        self._ended = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self.filled : self._stop]

    def buffer_updated(self, nbytes: int) -> None:
        self.filled += nbytes
        if self.filled == self._stop:
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
