"""What the core reports. It never logs: it emits these, and whoever cares subscribes.

An event nobody subscribed to is never built, so watching costs nothing until somebody does::

    server.events.subscribe(lambda event: print(event.reason), ConnectionClosed)

Subscribers are called synchronously on the event loop, in the order of subscription. One that raises is
unsubscribed, and its exception goes to ``sys.unraisablehook``: watching must never hurt what is watched.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

__all__ = [
    "AcceptResumed",
    "AcceptSuspended",
    "Address",
    "CloseReason",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionRefused",
    "ConnectionStats",
    "DatagramStats",
    "DatagramsDropped",
    "DrainFinished",
    "Event",
    "Events",
    "HandlerFailed",
    "ListenerStarted",
    "MessagesDropped",
    "ServerStateChanged",
    "TransferFinished",
]

Address = tuple[Any, ...] | str | None
"""As the socket module gives it: ``(host, port)``, ``(host, port, flow, scope)``, a Unix path, or ``None``."""


class CloseReason(enum.Enum):
    """Why a connection ended. The value is a phrase for people."""

    PEER_CLOSED = "closed by the peer"
    PEER_RESET = "reset by the peer"
    LOCAL_CLOSED = "closed by the handler"
    IDLE_TIMEOUT = "idle for too long"
    HANDSHAKE_TIMEOUT = "handshake not finished in time"
    MESSAGE_TIMEOUT = "message not finished in time"
    FRAMING_ERROR = "the peer broke the protocol"
    HANDLER_ERROR = "the handler failed"
    SLOW_CONSUMER = "the peer did not read in time"
    REFUSED = "refused at the door"
    SHUTDOWN = "the server is leaving"
    TRANSPORT_ERROR = "the network failed"


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Counts of one connection, taken at one moment."""

    messages_received: int
    messages_sent: int
    messages_dropped: int
    bytes_received: int
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class DatagramStats:
    """Counts of one datagram port, taken at one moment."""

    datagrams_received: int
    datagrams_sent: int
    datagrams_dropped: int
    bytes_received: int
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class ServerStateChanged(Event):
    """The server went from one state of its life to the next."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ListenerStarted(Event):
    """An endpoint is bound; ``endpoint`` carries the real port."""

    endpoint: str
    route: str


@dataclass(frozen=True, slots=True)
class AcceptSuspended(Event):
    """A listener stopped accepting: the connection limit, or the descriptor limit, is reached."""

    endpoint: str
    connections: int
    limit: int


@dataclass(frozen=True, slots=True)
class AcceptResumed(Event):
    """A suspended listener accepts again, and there has been room for a second."""

    endpoint: str
    connections: int


@dataclass(frozen=True, slots=True)
class ConnectionRefused(Event):
    """Connections closed before a handler saw them. Reported at most once a second: ``count`` sums up."""

    endpoint: str
    peer: Address
    why: str
    count: int


@dataclass(frozen=True, slots=True)
class ConnectionOpened(Event):
    """A connection is admitted, its TLS handshake done; the handler's ``on_connect`` follows."""

    route: str
    peer: Address


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Event):
    """A connection is gone; the handler's ``on_close`` has returned."""

    route: str
    peer: Address
    reason: CloseReason
    exc: BaseException | None
    stats: ConnectionStats


@dataclass(frozen=True, slots=True)
class HandlerFailed(Event):
    """A handler, a codec, a matcher or a guest raised what it should not have. Its connection alone is closed."""

    route: str
    peer: Address
    where: str
    exc: BaseException


@dataclass(frozen=True, slots=True)
class MessagesDropped(Event):
    """A group's policy dropped messages for a member that does not keep up. At most one a member and second."""

    peer: Address
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class DatagramsDropped(Event):
    """Datagrams dropped: the inbox or the outbox was full, or the system refused one. At most one a second."""

    endpoint: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class TransferFinished(Event):
    """A request that reads or changes files is done, or has come to nothing.

    Attributes:
        route: Which service.
        peer: Whose connection.
        user: Who he has proven to be; ``""``: anybody.
        verb: Such as ``GET``; a word of the service's protocol.
        name: The file, as the peer has asked for it.
        bytes: That were sent or received for it.
        seconds: From the request to the end.
        outcome: ``OK``, or the code of what went wrong.
    """

    route: str
    peer: Address
    user: str
    verb: str
    name: str
    bytes: int
    seconds: float
    outcome: str


@dataclass(frozen=True, slots=True)
class DrainFinished(Event):
    """The server has let its connections go. ``cut`` lists the peers whose connections were aborted."""

    seconds: float
    cut: tuple[Address, ...]


class Events:
    """Who wants to hear of what. One for each server; cheap to ask."""

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind: dict[type[Event], list[Callable[[Any], object]]] = {}

    def subscribe(self, subscriber: Callable[[Any], object], *kinds: type[Event]) -> Callable[[], None]:
        """Call ``subscriber(event)`` for events of exactly these kinds (all kinds, if none is named).

        Returns:
            A callable that ends the subscription.
        """
        for kind in kinds or Event.__subclasses__():
            self._by_kind.setdefault(kind, []).append(subscriber)
        return lambda: self._unsubscribe(subscriber)

    def _unsubscribe(self, subscriber: Callable[[Any], object]) -> None:
        for kind, listeners in list(self._by_kind.items()):
            listeners[:] = [listener for listener in listeners if listener != subscriber]
            if not listeners:
                del self._by_kind[kind]

    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody listens. Ask before building an event on a busy path."""
        return kind in self._by_kind

    def emit(self, event: Event) -> None:
        """Hand the event to its subscribers. Never raises."""
        for subscriber in tuple(self._by_kind.get(type(event), ())):
            try:
                subscriber(event)
            except Exception as exc:
                self._unsubscribe(subscriber)
                sys.unraisablehook(_unraisable(exc, subscriber))


def _unraisable(exc: Exception, subscriber: object) -> Any:
    return SimpleNamespace(
        exc_type=type(exc),
        exc_value=exc,
        exc_traceback=exc.__traceback__,
        err_msg="aionet event subscriber failed and is unsubscribed",
        object=subscriber,
    )
