"""What serves the routes of a port that finds out first whose a connection is."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from ..events import Address, HandlerFailed
from .admission import TOO_MANY, Admission
from .connections import connection_factory
from .context import ConnectionNames, Door, StreamContext
from .loop import FAILURES
from .stream import StreamConnection

__all__ = ["RouteDoor", "StreamHost"]


class RouteDoor:
    """The inner door, of one route: through the port's all its connections have come already.

    At the limit of a route that shares its port, its connections are refused: the port cannot stop accepting for it.

    Args:
        door: The port's.
        limit: What the route allows beyond that; ``None``: everything.
    """

    def __init__(self, door: Door, limit: Admission | None) -> None:
        self._door = door
        self._limit = limit

    def refuses(self, address_key: Hashable) -> str | None:
        if self._limit is None:
            return None
        if self._limit.full:
            return f"its route has all the connections it may have ({self._limit.limit})"
        return TOO_MANY if self._limit.crowded(address_key) else None

    def admit(self, conn: Any) -> bool:
        if self._limit is not None:
            self._limit.add(conn.address_key)
        return True

    def leave(self, conn: Any) -> None:
        if self._limit is not None:
            self._limit.remove(conn.address_key)
        self._door.leave(conn)

    def leave_early(self, conn: Any) -> None:
        self._door.leave_early(conn)


class StreamHost(RouteDoor):
    """Serves a route by connections of our own."""

    def __init__(self, context: StreamContext[Any], door: Door, limit: Admission | None) -> None:
        super().__init__(door, limit)
        self.context = context
        context.door = self
        self._make = connection_factory(context)

    def make(self, peer: Address) -> StreamConnection[Any] | None:
        try:
            return self._make()
        except FAILURES as exc:  # the user's codec, or what makes it
            self.context.events.emit(HandlerFailed(self.context.name, peer, "codec", exc))
            return None

    def begin(
        self,
        protocol: StreamConnection[Any],
        transport: asyncio.Transport,
        address_key: Hashable,
        names: ConnectionNames | None,
    ) -> None:
        protocol.take_over(transport, address_key, names)
