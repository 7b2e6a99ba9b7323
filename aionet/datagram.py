"""The contracts of datagrams: what users subclass, and what they hold.

The three ways are those of streams: :class:`DatagramHandler` with a plain ``on_datagram``, with an ``async def
on_datagram``, or an ``async def handler(port)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from .events import Address, DatagramStats

__all__ = ["DatagramHandler", "DatagramPort"]

M = TypeVar("M")


class DatagramPort(ABC, Generic[M]):
    """A bound (or, on a client, connected) datagram socket."""

    __slots__ = ()

    @abstractmethod
    def send(self, data: bytes, peer: Address = None) -> None:
        """Send one datagram to ``peer`` (on a connected port: leave it out). Never waits.

        Called while datagrams are being handled, the replies leave together when the batch is done. A datagram that
        cannot leave because the outbox is full, or that the system refuses, is dropped and counted.

        Raises:
            ValueError: ``peer`` is missing on a port that is not connected, or is no numeric address with a port
                (a name would have to be looked up, and block the loop).
        """

    @abstractmethod
    async def receive(self) -> tuple[bytes, Address]:
        """The next datagram and whose it is. Only for coroutine handlers and clients.

        Raises:
            anyio.EndOfStream: the server drains, and all was received.
            anyio.ClosedResourceError: the port is closed.
            anyio.BrokenResourceError: on a connected port: the network refused an earlier datagram (ICMP, such as
                "port unreachable"; ``__cause__`` is the ``OSError``). Raised once for it; the port goes on.
            anyio.BusyResourceError: another task, or the port's own handler, is already receiving.
        """

    @abstractmethod
    def close(self) -> None:
        """Send what waits, as far as the system takes it at once, then close. Idempotent."""

    @property
    @abstractmethod
    def sockname(self) -> Address:
        """Our own address."""

    @property
    @abstractmethod
    def peername(self) -> Address:
        """The peer's address on a connected port, else ``None``."""

    @property
    @abstractmethod
    def stats(self) -> DatagramStats:
        """Counts up to now."""

    @abstractmethod
    def fileno(self) -> int:
        """The socket's descriptor, for looking; -1 when closed."""

    async def aclose(self) -> None:
        """:meth:`close`."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[tuple[bytes, Address]]: ...


class DatagramHandler:
    """What to do with datagrams. One instance serves a whole route."""

    def on_bind(self, port: DatagramPort[Any]) -> None:
        """The port is bound. Called once, before any datagram."""

    def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> Any:
        """One datagram has come. ``async def`` is allowed: then they are served in order from a bounded queue.

        An exception drops this datagram alone and is reported; the port goes on.
        """

    def on_error(self, port: DatagramPort[Any], exc: OSError) -> None:
        """The network refused an earlier datagram (ICMP, such as "port unreachable"). Clients alone hear of it."""

    def on_drain(self, port: DatagramPort[Any]) -> None:
        """The server is leaving; the port closes when this returns."""

    def on_close(self, port: DatagramPort[Any]) -> None:
        """The port is closed. Exactly once."""
