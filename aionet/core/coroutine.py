"""Connections read by a coroutine: a watermarked inbox between the socket's readiness and one task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import anyio

from ..errors import ProtocolError
from ..events import CloseReason
from ..styles import StreamStyle
from .context import StreamContext
from .message_path import CLOSING
from .receiving import BodyReceivingConnection
from .stream import BY_INBOX

try:
    from ._awaiting import Awaiting
except ImportError:  # it is compiled where there is a C compiler
    from .awaiting import PlainAwaiting as Awaiting  # type: ignore[assignment]


__all__ = ["CoroutineConnection"]

M = TypeVar("M")


class CoroutineConnection(Awaiting, BodyReceivingConnection[M]):
    """A connection whose messages are taken by :meth:`receive` or ``async for``.

    On a server one task runs the handler; a client has no task, its user's own code receives.
    """

    __slots__ = ("_ended", "_fault", "_task")

    _inbox: deque[M]

    def __init__(self, context: StreamContext[M]) -> None:
        super().__init__(context)
        self._inbox = deque()
        self._ended = False  # nothing will be added to the inbox
        self._fault: ProtocolError | None = None
        self._task: asyncio.Task[None] | None = None

    # ---- in: the base class delivers here ------------------------------------------------------

    def _start(self) -> None:
        super()._start()
        context = self._context
        if context.handler is not None and not self._held & CLOSING:
            serve: Callable[[], Any] = self._serve
            if context.style is StreamStyle.ASYNC_MESSAGE:
                serve = self._serve_messages
            self._task = context.loop.create_task(self._run(serve), name=f"aionet {context.name}")
            context.tasks.add(self._task)

    def _deliver(self, messages: list[M]) -> None:
        self._inbox.extend(messages)
        if self.bytes_received - self._inbox_mark > self._context.limits.max_inbound:
            self._hold(BY_INBOX)
        self.wake_receiver()

    def _end_of_messages(self) -> None:
        self._ended = True
        self.wake_receiver()

    def _meet_fault(self, fault: ProtocolError) -> None:
        # The coroutine meets it once it has taken all that came before; it may still write why.
        if self._stash:
            return  # _go_on comes back here
        if self._fault is None and not self._held & CLOSING:
            self._fault = fault
            self._ended = True
            self._hold(BY_INBOX)
            self.wake_receiver()

    def pause_writing(self) -> None:
        # Not held: the coroutine decides. A client that stopped reading while it cannot write, talking to a server
        # that does the same, would wait for ever.
        self._congested = True

    def _wake(self) -> None:
        super()._wake()
        if self._held & CLOSING:
            self._ended = True
            self.wake_receiver()

    # ---- out: the coroutine takes from here ----------------------------------------------------

    def _all_taken(self) -> None:
        if self._codec.pending and not self._stash:
            self._feed_pending()
        if not self._inbox:
            self._inbox_mark = self.bytes_received
            if self._held & BY_INBOX and not self._ended:
                self._release(BY_INBOX)

    def _feed_pending(self) -> None:
        """The next messages of a chunk that came before: its codec gives them a few at a time."""
        try:
            messages = self._feed(b"")
        except Exception as exc:
            self._fail("codec.feed", exc)
            return
        self.messages_received += len(messages)
        self._inbox.extend(messages)
        if self._codec.fault is not None:
            self._meet_fault(self._codec.fault)

    def _raise_end(self) -> NoReturn:
        """Raise what says why there is no message any more."""
        if self._fault is not None:
            raise anyio.BrokenResourceError(str(self._fault)) from self._fault
        draining = self._reason is CloseReason.SHUTDOWN and not self._held & CLOSING
        if draining or self._reason in (None, CloseReason.PEER_CLOSED):
            raise anyio.EndOfStream
        self._check_open()
        raise anyio.BrokenResourceError(self._reason.value) from self._exc

    # ---- the handler's task --------------------------------------------------------------------

    async def _run(self, serve: Callable[[], Any]) -> None:
        try:
            await serve()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError) as exc:
            if not self._ended and not self._held & CLOSING:
                self._fail("handler", exc)  # some other stream's end, which the handler should have met
        except asyncio.CancelledError as exc:
            if self._task is not None and not self._task.cancelling():
                self._fail("handler", exc)  # nobody cancelled it: it awaited something that was
                return
            self.abort(CloseReason.SHUTDOWN)
            if not self._lost:
                raise
        except Exception as exc:
            self._fail("handler", exc)
        finally:
            task, self._task = self._task, None
            if task is not None:
                self._context.tasks.discard(task)
            if self._fault is not None:
                self._close(CloseReason.FRAMING_ERROR, self._fault, linger=True)
            else:
                self.close()
            if self._lost:
                super()._finish()

    async def _serve(self) -> None:
        await self._context.handler(self)  # type: ignore[operator]

    def _served_by(self) -> Callable[[Any, M], Awaitable[None]]:
        """What is awaited for each message."""
        return self._context.on_message

    async def _serve_messages(self) -> None:
        on_message = self._served_by()
        try:
            async for message in self:
                await on_message(self, message)
                if self._held & CLOSING:
                    return
        except anyio.BrokenResourceError:
            if self._fault is None or self._held & CLOSING:
                raise
            self._call("on_fault", self._context.on_fault, self, self._fault)
            return
        if self._eof:
            super()._end_of_messages()
        drained = False
        while not self._held & CLOSING:  # on_eof or on_drain keep it open: it lives until somebody closes it
            if self._reason is CloseReason.SHUTDOWN and not drained:
                drained = True
                self._call("on_drain", self._context.on_drain, self)
            else:
                await self._wait()

    def close(self) -> None:
        super().close()
        self._inbox.clear()

    def _unread(self, transport: asyncio.Transport) -> bool:
        return bool(self._inbox) or super()._unread(transport)

    def drain(self) -> None:
        """The stream ends for the coroutine once it has taken what had come; then it may say goodbye."""
        if self._held & CLOSING or self._fault is not None:
            return
        if not self._codec.is_open:
            super().drain()
            return
        if self._ended and self._context.style is StreamStyle.COROUTINE:
            return  # it has met the end of its stream already
        if self._reason is None:
            self._reason = CloseReason.SHUTDOWN
        self._wake()  # async on_message: a handler that stayed open behind on_eof
        if not self._ended:
            self._inbox.extend(self._stash or ())  # it had come, too
            self._stash = None
            self._ended = True
            self._hold(BY_INBOX)
            self.wake_receiver()

    def cancel(self) -> None:
        """End the handler's task; the drain deadline has passed."""
        if self._task is not None:
            self._task.cancel()

    def _finish(self) -> None:
        self._ended = True
        self.wake_receiver()
        if self._task is None:
            super()._finish()
        elif self._names is None:  # the task finishes, once it has; by then uvloop's transport has forgotten them
            self._names = self._extra("peername"), self._extra("sockname")
