"""What a coroutine awaits of its connection for each message. Where there is a C compiler ``_awaiting.pyx`` serves."""

from __future__ import annotations

from typing import Any

from anyio import BusyResourceError, EndOfStream, WouldBlock

__all__ = ["PlainAwaiting"]


class PlainAwaiting:
    """The base of connections that a coroutine reads; their other base is a :class:`MessagePath`."""

    __slots__ = ()

    async def receive(self: Any) -> Any:
        if not self._inbox or self._receiver is not None:
            await self._message()
        return self._take()

    async def _message(self: Any) -> None:
        """Return once the inbox has a message, or raise what ended it."""
        if self._receiver is not None:
            raise BusyResourceError("receiving")
        while not self._inbox:
            if self._ended:
                self._raise_end()
            receiver = self._receiver = self._context.loop.create_future()
            try:
                await receiver
            finally:
                self._receiver = None

    def receive_nowait(self: Any) -> Any:
        if not self._inbox or self._receiver is not None:
            raise WouldBlock
        return self._take()

    def __aiter__(self: Any) -> Any:
        return self

    async def __anext__(self: Any) -> Any:
        if not self._inbox or self._receiver is not None:
            try:
                await self._message()
            except EndOfStream:
                raise StopAsyncIteration from None
        return self._take()
