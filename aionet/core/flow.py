"""The half of a connection that sends, apart from the way of a message: waiting, watermarks, those who do not read.

What has left the message path is in the transport's buffer: above ``high_water`` the connection is congested.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Hashable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import anyio

from ..codec import Codec
from ..events import Address, CloseReason, ConnectionStats, Event, HandlerFailed
from ..handler import Connection, TLSFacts
from .context import StreamContext
from .loop import LoopShared
from .message_path import CLOSING, MessagePath
from .tls import tls_facts

__all__ = ["RESETS", "Membership", "OutboundConnection", "nowhere", "reason_of"]

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)

RESETS: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN})
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Membership(Protocol[M_contra]):
    """What a connection knows of a group it belongs to."""

    def settle_member(self, conn: M_contra) -> None:
        """Give ``conn`` what was broadcast before what it is about to write itself."""

    def member_writable(self, conn: M_contra) -> None:
        """``conn`` keeps up again."""

    def discard(self, conn: M_contra) -> None:
        """``conn`` is gone."""


class OutboundConnection(MessagePath, Connection[M]):
    """The half of a connection that sends, and what is asked of it from outside."""

    __slots__ = ("_exc", "_lost", "_names", "_reason", "_transport", "_waiters")

    _context: StreamContext[M]

    def __init__(self, context: StreamContext[M]) -> None:
        super().__init__(context, context.make_codec())
        self._transport: asyncio.Transport | None = None
        self._lost = False
        self._names: tuple[Address, Address] | None = None  # of a TLS transport, which forgets them when it closes
        self._reason: CloseReason | None = None
        self._exc: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] | None = None

    # ---- writing -------------------------------------------------------------------------------

    def write_encoded(self, data: bytes) -> None:
        self._put(self._codec.carry(data) if self._codec.replies else data)

    def _report(self, where: str, exc: BaseException) -> None:
        self._context.events.emit(HandlerFailed(self._context.name, self.peername, where, exc))

    def _too_far_behind(self, more: int) -> bool:
        assert self._transport is not None
        if self._transport.get_write_buffer_size() + more <= self._context.limits.max_outbound:
            return False
        self.abort(CloseReason.SLOW_CONSUMER)
        return True

    async def send(self, item: M) -> None:
        self._check_open()
        before = self.bytes_sent
        self.write(item)
        if self._congested or self.bytes_sent != before:
            await self._until_room()

    async def _until_room(self) -> None:
        if not self._congested:
            await asyncio.sleep(0)  # 64 KiB left at once: a sender whose peer is fast must not own the loop
            return
        while self._congested and not self._lost:
            await self._wait()
        self._check_open()

    async def send_eof(self) -> None:
        if self._transport_write is nowhere and not self._held & CLOSING:
            return
        self._check_open()
        goodbye = self._farewell(CloseReason.LOCAL_CLOSED)
        if not goodbye and not self._context.half_close:
            self.close()
            return
        for group in tuple(self._groups or ()):
            group.discard(self)  # gives it what was said so far; more it cannot be told
        if goodbye:
            self._put_aside(goodbye)
        if self._out:
            self._flush()
        self._transport_write = nowhere
        assert self._transport is not None
        if not goodbye:
            self._say_eof(self._transport)  # if not: whoever reads will meet the reset

    def _farewell(self, reason: CloseReason) -> bytes:
        """The codec's last words, if it has any to say."""
        if not self._codec.replies:
            return b""
        try:
            return self._codec.farewell(reason)
        except Exception as exc:
            self._report("codec.farewell", exc)
            return b""

    def _put_aside(self, data: bytes) -> None:
        """As :meth:`_put`, for what is no message."""
        self._put(data)
        self.messages_sent -= 1

    def _say_eof(self, transport: asyncio.Transport) -> bool:
        """Whether the peer could be told that no more will come; asyncio raises where a reset has not been read yet."""
        try:
            transport.write_eof()
        except OSError:
            return False
        return True

    def _check_open(self) -> None:
        """Raise what says why nothing can be sent any more, if so."""
        if not self._held & CLOSING:
            if self._transport_write is nowhere:
                raise anyio.ClosedResourceError
            return
        if self._reason in (None, CloseReason.LOCAL_CLOSED):
            raise anyio.ClosedResourceError
        raise anyio.BrokenResourceError(self._reason.value) from self._exc

    # ---- for groups ----------------------------------------------------------------------------

    def join(self, group: Membership[Any]) -> None:
        """The connection is a member of ``group`` from now on."""
        if self._corked:  # what was written so far leaves before what the group says next
            if self._out and not self._dirty:
                self._flush()
            self._corked = False
            self._batching = False
        self._groups = [*(self._groups or ()), group]

    def leave(self, group: Membership[Any]) -> None:
        """The connection is no member of ``group`` any more."""
        self._groups = [other for other in self._groups or () if other is not group] or None

    @property
    def shared(self) -> LoopShared:
        """What the connections of this loop share."""
        return self._context.shared

    @property
    def encoding_key(self) -> Hashable:
        """Connections with equal keys encode equally."""
        key = self._codec.encoding_key()
        return self._context if key is None else key

    def emit(self, event: Event) -> None:
        """Report something about this connection."""
        self._context.events.emit(event)

    def wants(self, kind: type[Event]) -> bool:
        return self._context.events.wants(kind)

    # ---- waiting -------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait until something changes: writable again, closing, gone."""
        waiter = self._context.loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait_closed(self) -> None:
        while not self._lost:
            await self._wait()

    async def aclose(self) -> None:
        self.close()
        try:
            await self.wait_closed()
        except BaseException:
            self.abort()
            raise

    # ---- looking -------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        return not self._congested and not self._held & CLOSING

    @property
    def closing(self) -> bool:
        return bool(self._held & CLOSING)

    @property
    def peername(self) -> Address:
        name: Address = self._extra("peername") if self._names is None else self._names[0]
        return name

    @property
    def sockname(self) -> Address:
        name: Address = self._extra("sockname") if self._names is None else self._names[1]
        return name

    @property
    def tls(self) -> TLSFacts | None:
        ssl_object = self._extra("ssl_object")
        return None if ssl_object is None else tls_facts(ssl_object)

    def _extra(self, name: str) -> Any:
        return None if self._transport is None else self._transport.get_extra_info(name)

    @property
    def route(self) -> str:
        return self._context.name

    @property
    def stats(self) -> ConnectionStats:
        return ConnectionStats(
            self.messages_received, self.messages_sent, self.messages_dropped, self.bytes_received, self.bytes_sent
        )

    @property
    def codec(self) -> Codec[M]:
        return self._codec

    def _reset_when_closed(self) -> None:
        """Let the peer see a reset (SO_LINGER of 0 seconds), not an end that looks as if all had been said."""
        sock = self._extra("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # the network was faster
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def fileno(self) -> int:
        sock = None if self._lost else self._extra("socket")
        return -1 if sock is None else int(sock.fileno())


def nowhere(data: bytes) -> None:
    """Where bytes go that are written after ``send_eof``."""


def reason_of(exc: BaseException | None) -> CloseReason:
    """Why a transport ended that nobody here has closed."""
    if exc is None:
        return CloseReason.PEER_CLOSED
    if isinstance(exc, OSError) and exc.errno in RESETS:
        return CloseReason.PEER_RESET
    return CloseReason.TRANSPORT_ERROR
