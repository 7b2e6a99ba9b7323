"""Which class serves which style on which loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..codecs import RawCodec
from ..styles import StreamStyle
from .context import StreamContext
from .coroutine import CoroutineConnection
from .flow import FLUSH_AT
from .loop import FAILURES
from .stream import StreamConnection

__all__ = ["BatchConnection", "ChunkConnection", "connection_factory"]

M = TypeVar("M")


class BatchConnection(StreamConnection[M]):
    """The handler takes all messages of a chunk at once."""

    __slots__ = ()

    def _deliver(self, messages: list[M]) -> None:
        if not self._groups:  # a member keeps the order of its own and its groups' messages by the longer way
            self._corked = True
            if not self._out:
                self._batching = self._batches
        try:
            self._on_message(self, messages)
            if self._out and not self._dirty:
                self._flush()
            self._corked = False
            self._batching = None
        except FAILURES as exc:
            self._fail("on_messages", exc)


class ChunkConnection(StreamConnection[bytes]):
    """Messages are chunks as they come: no codec stands between. A fifth of the way of a chunk is saved."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        if self._held or self._groups or self._out:
            super().data_received(data)
            return
        self.bytes_received += len(data)
        self._heard_at = self._deadlines.now
        self.messages_received += 1
        self._corked = True
        self._batching = self._batches
        try:
            self._on_message(self, data)
            out = self._out
            if out:
                if len(out) == 1 and self._batching is not None and not self._congested:
                    answer: bytes = out.pop()  # one answer to one chunk, the most common of all: _flush, in place
                    self._room = FLUSH_AT
                    self.messages_sent += 1
                    self.bytes_sent += len(answer)
                    self._transport_write(answer)
                else:
                    self._flush()
            self._corked = False
            self._batching = None
        except FAILURES as exc:
            self._fail("on_message", exc)


class _SharedBuffer(asyncio.BufferedProtocol):
    """Read into the one buffer that all connections of the loop share, and copy out at once.

    asyncio's own transports allocate 256 KiB for every read otherwise, which costs more than the read. Copied,
    because a view of a shared buffer must not outlive the call: transports keep views of what they could not send.
    """

    __slots__ = ()
    _context: StreamContext[Any]

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = self._context.shared.buffer
        assert buffer is not None
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._context.shared.buffer[:nbytes]))  # type: ignore[index]  # get_buffer gave it

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError


class _BufferedStream(StreamConnection[Any], _SharedBuffer):
    __slots__ = ()


class _BufferedChunk(ChunkConnection, _SharedBuffer):
    __slots__ = ()


class _BufferedBatch(BatchConnection[Any], _SharedBuffer):
    __slots__ = ()


class _BufferedCoroutine(CoroutineConnection[Any], _SharedBuffer):
    __slots__ = ()


# uvloop reads into a shared buffer by itself, and hands out bytes.
_PLAIN: Final[dict[StreamStyle, type[StreamConnection[Any]]]] = {
    StreamStyle.CALLBACK: StreamConnection,
    StreamStyle.BATCH: BatchConnection,
    StreamStyle.ASYNC_MESSAGE: CoroutineConnection,
    StreamStyle.COROUTINE: CoroutineConnection,
}
_BUFFERED: Final[dict[StreamStyle, type[StreamConnection[Any]]]] = {
    StreamStyle.CALLBACK: _BufferedStream,
    StreamStyle.BATCH: _BufferedBatch,
    StreamStyle.ASYNC_MESSAGE: _BufferedCoroutine,
    StreamStyle.COROUTINE: _BufferedCoroutine,
}


def connection_factory(context: StreamContext[Any]) -> Callable[[], StreamConnection[Any]]:
    """What makes the protocol of each new connection of this route."""
    # Not under the loop's own TLS, a client's: where the peer's end comes together with more than fits the buffer,
    # asyncio forgets the rest (sslproto: _do_flush after _do_read__buffered).
    buffered = context.shared.buffer is not None and context.half_close
    kind = (_BUFFERED if buffered else _PLAIN)[context.style]
    if context.style is StreamStyle.CALLBACK and type(context.make_codec()) is RawCodec:
        kind = _BufferedChunk if buffered else ChunkConnection
    return lambda: kind(context)
