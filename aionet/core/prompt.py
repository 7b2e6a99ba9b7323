"""Connections whose handler answers what it can at once, and has a task for the rest: ``on_message_nowait``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from .context import StreamContext
from .coroutine import CoroutineConnection
from .loop import FAILURES
from .message_path import CLOSING

__all__ = ["AT_ONCE", "PromptConnection"]

M = TypeVar("M")

_NONE: Final = object()  # None can be a message: JSON's null is

AT_ONCE: Final = 16
"""Messages of a connection that are answered at once before others have their turn."""


class PromptConnection(CoroutineConnection[M]):
    """As its base; but each message is offered to ``on_message_nowait`` first, and most never see the task.

    In order: a message is offered once all before it are answered, and the output is not congested.
    """

    __slots__ = ("_at_work", "_offer", "_offered", "_promptly")

    def __init__(self, context: StreamContext[M]) -> None:
        super().__init__(context)
        assert context.on_message_nowait is not None
        self._offer = context.on_message_nowait
        self._at_work = False  # the task is at a message
        self._offered: Any = _NONE  # the message that was offered last, and not answered
        self._promptly = 0  # messages answered at once by the task, since it last let others have their turn

    def _deliver(self, messages: list[M]) -> None:
        inbox = self._inbox
        if self._at_work or inbox:
            super()._deliver(messages)
            return
        inbox.extend(messages)
        if not self._groups:  # a member keeps the order of its own and its groups' messages by the longer way
            self._corked = True
        offer = self._offer
        try:
            for _ in range(AT_ONCE):
                if self._congested:
                    break
                message = inbox.popleft()
                if not offer(self, message):
                    self._offered = message
                    inbox.appendleft(message)
                    break
                if not inbox and not self._held & CLOSING:
                    self._all_taken()
                if self._held or not inbox:
                    break
            if self._out and not self._dirty:
                self._flush()
            self._corked = False
        except FAILURES as exc:
            inbox.clear()
            self._fail("on_message_nowait", exc)
            return
        if self._held & CLOSING:
            inbox.clear()
        elif inbox:
            super()._deliver([])

    def _served_by(self) -> Callable[[Any, M], Awaitable[None]]:
        return PromptConnection._serve_one  # not bound: a connection that refers to itself is freed late

    async def _serve_one(self, message: M) -> None:
        if message is not self._offered and not self._congested and self._offer(self, message):
            self._promptly += 1
            if self._promptly == AT_ONCE:
                self._promptly = 0
                await asyncio.sleep(0)
            return
        self._offered = _NONE
        self._at_work = True
        await self._context.on_message(self, message)
        self._at_work = False
