"""Guests: routes served by somebody's ``asyncio.Protocol``, on the same ports as ours.

A guest is the protocol of its transport itself: nothing of ours is on its way. So what is done for it is what can be
done from outside: its connections have places and limits like any, it hears of a drain if it has a ``shutdown()``, and
who is left at the drain deadline is cut. What belongs to its protocol (idle clients, slow readers, sizes) is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Final

from ..events import (
    Address,
    CloseReason,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionStats,
    Events,
    HandlerFailed,
)
from .admission import Admission
from .context import ConnectionNames, Door
from .deadlines import Deadlines
from .flow import reason_of
from .hosting import RouteDoor
from .loop import FAILURES

__all__ = ["Guest", "GuestHost"]

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at a guest, which may have set another protocol on its transport (HTTP that becomes
WebSocket): the end of that one is what we have to hear of then."""

_UNCOUNTED: Final = ConnectionStats(0, 0, 0, 0, 0)


class GuestHost(RouteDoor):
    """What the guests of one route share."""

    def __init__(
        self,
        name: str,
        factory: Callable[[], Any],
        *,
        door: Door,
        limit: Admission | None,
        loop: asyncio.AbstractEventLoop,
        events: Events,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(door, limit)
        self.name = name
        self.loop = loop
        self.events = events
        self.deadlines = deadlines
        self.connections: set[Guest] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # none of ours
        self._factory = factory

    def make(self, peer: Address) -> Any:
        try:
            protocol = self._factory()
            for name in ("connection_made", "connection_lost"):
                if not callable(getattr(protocol, name, None)):
                    raise TypeError(f"{protocol!r} is no asyncio.Protocol: it has no {name}()")
        except FAILURES as exc:
            self.failed(peer, "protocol", exc)
            return None
        return protocol

    def begin(
        self, protocol: Any, transport: asyncio.Transport, address_key: Hashable, names: ConnectionNames | None
    ) -> None:
        if names is not None:
            transport = _NamedTransport(transport, names)
        guest = Guest(self, protocol, transport, address_key)
        self.admit(guest)
        if self.events.wants(ConnectionOpened):
            self.events.emit(ConnectionOpened(self.name, guest.peername))
        try:
            protocol.connection_made(transport)
        except FAILURES as exc:
            self.failed(guest.peername, "connection_made", exc)
            guest.abort(CloseReason.HANDLER_ERROR)

    def failed(self, peer: Address, where: str, exc: BaseException) -> None:
        """A guest has raised what it should not have."""
        self.events.emit(HandlerFailed(self.name, peer, where, exc))


class Guest:
    """One connection of a guest, seen from outside."""

    __slots__ = ("_host", "_protocol", "_reason", "_transport", "address_key", "due", "peername")

    def __init__(self, host: GuestHost, protocol: Any, transport: asyncio.Transport, address_key: Hashable) -> None:
        self._host = host
        self._transport = transport
        self._reason: CloseReason | None = None
        self.peername: Address = transport.get_extra_info("peername")
        self.address_key = address_key
        self.due = -1
        self._listen_to(protocol)
        host.connections.add(self)
        host.deadlines.watch(self, host.loop.time() + LOOK_EVERY)

    def _listen_to(self, protocol: Any) -> None:
        """Hear of the end of this protocol. Of one that lets nobody, we hear when we look."""
        self._protocol = protocol
        lost = protocol.connection_lost

        def connection_lost(exc: BaseException | None) -> None:
            vars(protocol).pop("connection_lost", None)
            try:
                lost(exc)
            except FAILURES as failure:
                self._host.failed(self.peername, "connection_lost", failure)
            self._gone(exc)

        with suppress(AttributeError):
            protocol.connection_lost = connection_lost

    def check_deadlines(self, now: float) -> float | None:
        """Look whether it is still the same protocol, and still there."""
        current = self._transport.get_protocol()
        if current is None:
            self._gone(None)
            return None
        if current is not self._protocol:
            self._listen_to(current)
        return now + LOOK_EVERY

    def drain(self) -> None:
        """The server is leaving."""
        self.check_deadlines(0)
        self._reason = CloseReason.SHUTDOWN
        shutdown = getattr(self._protocol, "shutdown", None)
        if callable(shutdown):
            try:
                shutdown()
            except FAILURES as exc:
                self._host.failed(self.peername, "shutdown", exc)

    def abort(self, reason: CloseReason = CloseReason.LOCAL_CLOSED) -> None:
        """Close at once."""
        self._reason = self._reason or reason
        self._transport.abort()

    def _gone(self, exc: BaseException | None) -> None:
        host = self._host
        if self not in host.connections:
            return
        host.connections.discard(self)
        host.deadlines.forget(self)
        if host.events.wants(ConnectionClosed):
            reason = self._reason or reason_of(exc)
            host.events.emit(ConnectionClosed(host.name, self.peername, reason, exc, _UNCOUNTED))
        host.leave(self)


class _NamedTransport(asyncio.Transport):
    """The transport of a guest whose client came through a proxy: it shows the client's address, not the proxy's."""

    def __init__(self, inner: asyncio.Transport, names: ConnectionNames) -> None:
        # Some guests ask the socket; it knows the proxy alone.
        super().__init__()
        self._shown = {"peername": names[0], "sockname": names[1], "socket": None}
        self._inner = inner
        for name in _PASSED_ON:
            setattr(self, name, getattr(inner, name))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._shown[name] if name in self._shown else self._inner.get_extra_info(name, default)


_PASSED_ON: Final = (
    *("write", "writelines", "write_eof", "can_write_eof", "close", "abort", "is_closing"),
    *("is_reading", "pause_reading", "resume_reading", "set_protocol", "get_protocol"),
    *("set_write_buffer_limits", "get_write_buffer_limits", "get_write_buffer_size"),
)
