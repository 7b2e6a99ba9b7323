"""What ``connect`` and ``open_datagram`` return: awaitable, and an asynchronous context manager."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Opening"]


class Closable(Protocol):
    """What can be closed and waited for."""

    async def aclose(self) -> None:
        """Close, and wait until it is gone."""


C = TypeVar("C", bound=Closable)


class Opening(Generic[C], Awaitable[C]):
    """``resource = await opening``, or ``async with opening as resource``, which also closes it."""

    __slots__ = ("_open", "_resource")

    def __init__(self, open_: Callable[[], Coroutine[Any, Any, C]]) -> None:
        self._open = open_
        self._resource: C | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._open().__await__()

    async def __aenter__(self) -> C:
        self._resource = await self._open()
        return self._resource

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._resource is not None:
            await self._resource.aclose()
