"""Which class serves which style on which loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..styles import StreamStyle
from .context import StreamContext
from .coroutine import CoroutineConnection
from .prompt import PromptConnection
from .stream import StreamConnection

__all__ = ["connection_factory"]

M = TypeVar("M")


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


class _BufferedCoroutine(CoroutineConnection[Any], _SharedBuffer):
    __slots__ = ()


class _BufferedPrompt(PromptConnection[Any], _SharedBuffer):
    __slots__ = ()


def connection_factory(context: StreamContext[Any]) -> Callable[[], StreamConnection[Any]]:
    """What makes the protocol of each new connection of this route."""
    # Not under the loop's own TLS, a client's: where the peer's end comes together with more than fits the buffer,
    # asyncio forgets the rest (sslproto: _do_flush after _do_read__buffered).
    kinds: tuple[type[StreamConnection[Any]], ...] = (StreamConnection, CoroutineConnection, PromptConnection)
    if context.shared.buffer is not None and context.half_close:
        kinds = (_BufferedStream, _BufferedCoroutine, _BufferedPrompt)
    called, awaited, prompt = kinds
    kind = awaited if context.style in (StreamStyle.ASYNC_MESSAGE, StreamStyle.COROUTINE) else called
    if context.on_message_nowait is not None:
        kind = prompt
    return lambda: kind(context)
