"""Several things at once: side by side, in the background, and sent ahead of their answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

import anyio

from aionet.errors import ConnectError

from ..disk import heard
from ..errors import TransferError
from .channel import Channel
from .remote import Remote
from .retry import is_passing

__all__ = ["Background", "Pipeline", "concurrently"]

K = TypeVar("K")


async def concurrently(*awaitables: Awaitable[Any]) -> None:
    """Wait for all of them. The first failure ends the others; unlike a task group's, it is raised as it is."""
    failures: list[Exception] = []

    async def guarded(awaitable: Awaitable[Any], scope: anyio.CancelScope) -> None:
        try:
            await awaitable
        except Exception as exc:
            failures.append(exc)
            scope.cancel()

    async with anyio.create_task_group() as tasks:
        for awaitable in awaitables:
            tasks.start_soon(guarded, awaitable, tasks.cancel_scope)
    if failures:
        raise failures[0]


class Background:
    """One piece of work at a time, in order, of which only the last is not waited for: a thread writes one batch while
    the event loop gathers the next.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._job: asyncio.Future[Any] | None = None

    async def start(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Begin, as soon as what was begun before is done.

        Raises:
            Exception: what was begun before has failed.
        """
        async with self._turn:
            await self.finish()
            self._job = asyncio.ensure_future(work())
            self._job.add_done_callback(heard)

    async def finish(self) -> None:
        """Wait until nothing is under way.

        Raises:
            Exception: it has failed.
        """
        job, self._job = self._job, None
        if job is not None:
            await job


class Pipeline(Generic[K]):
    """Requests on one connection, sent ahead of their answers. If it breaks, those not answered are sent on the next.

    Args:
        remote: The server.
        post: Send what belongs to one key.
        take: Take the answer that belongs to it. It is called in the order of the keys.
        refused: The server refused one key; the others go on.
        ahead: Keys under way.
        most: Bytes under way, if ``weight`` says how many one key stands for.
        patience: As of :meth:`Remote.channel`.
    """

    def __init__(
        self,
        remote: Remote,
        post: Callable[[Channel, K], Awaitable[None]],
        take: Callable[[Channel, K], Awaitable[None]],
        refused: Callable[[K, TransferError], None],
        *,
        ahead: int,
        most: int = 4 * 1024 * 1024,
        weight: Callable[[K], int] = lambda key: 0,
        patience: float = 0.0,
    ) -> None:
        self._remote = remote
        self._post = post
        self._take = take
        self._refused = refused
        self._ahead = self._window = ahead
        self._most = most
        self._weight = weight
        self._patience = patience
        self._backoff = remote.backoff()

    async def run(self, waiting: deque[K]) -> None:
        """Until all are answered; more may be appended meanwhile.

        Raises:
            ConnectError, TransferError: the server is gone for good, or something failed on this side.
        """
        while waiting:
            asked: deque[K] = deque()
            try:
                async with self._remote.channel(self._patience) as channel:
                    await self._run_on(channel, waiting, asked)
            except (ConnectError, TransferError) as exc:
                waiting.extendleft(reversed(asked))
                # A connection that breaks often must not carry more than it can answer before it breaks again.
                self._window = max(1, self._window // 4)
                await self._remote.pause(self._backoff, exc)

    async def _run_on(self, channel: Channel, waiting: deque[K], asked: deque[K]) -> None:
        under_way = 0
        while waiting or asked:
            while waiting and len(asked) < self._window and under_way < self._most:
                key = waiting.popleft()
                asked.append(key)
                under_way += self._weight(key)
                await self._post(channel, key)
            key = asked[0]
            try:
                await self._take(channel, key)
            except TransferError as exc:
                if not exc.remote or is_passing(exc):
                    raise
                self._refused(key, exc)
            asked.popleft()
            under_way -= self._weight(key)
            self._backoff.progressed()
            if self._window < self._ahead:
                self._window += 1
