"""TLS of a server's connection, over the loop's plain transport: between that and a protocol it is the other's part.

Why not the loop's own: it wants the socket before anything is read of it, which leaves no room for a first byte that
decides, nor for a PROXY header; it tells nobody whose handshake is under way; and it is slower: echo of 1 KiB, CPU a
message, uvloop 32.5 us, asyncio 21.5, this one 10.9 and 14.4. What is written goes through OpenSSL and to the
transport in one call each, what is read comes out as one chunk, however many records it had.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

from .context import ConnectionNames
from .deadlines import Deadlines
from .loop import shared
from .tls_path import CLOSING, HANDSHAKE, OPEN, TLSBuffers, TLSPath

__all__ = ["TLS_SHUTDOWN", "TLSProtocol", "TLSTransport", "receiver"]

TLS_SHUTDOWN: Final = 5.0
"""Seconds for the peer to answer our close_notify. asyncio allows 30: a descriptor held for nothing."""


class TLSProtocol(Protocol):
    """What waits for a handshake to be done."""

    def secured(self, transport: TLSTransport) -> None:
        """The handshake is done: from here on the transport serves. (If it fails: ``connection_lost``.)"""


def receiver(protocol: Any) -> Callable[[bytes], object]:
    """What takes bytes for this protocol, be it an ``asyncio.Protocol`` or an ``asyncio.BufferedProtocol``."""
    take: Callable[[bytes], object] | None = getattr(protocol, "data_received", None)
    return partial(_fill, protocol) if take is None else take


def _nobody(data: bytes) -> None:
    """Where bytes go when there is no protocol any more."""


def _fill(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        buffer = memoryview(protocol.get_buffer(len(rest)))
        size = min(len(buffer), len(rest))
        if not size:
            raise RuntimeError("get_buffer() returned an empty buffer")
        buffer[:size] = rest[:size]
        protocol.buffer_updated(size)
        rest = rest[size:]


class TLSTransport(TLSPath, asyncio.BufferedProtocol):
    """The protocol of a plain transport, and the transport of a protocol that speaks inside. By class it is the former
    alone, since ``asyncio.Transport`` has a slot, which does not fit beside a compiled base: uvloop's are none either.

    Write buffer, water marks and flow control are the plain transport's. Each direction ends by a close_notify of its
    own (RFC 8446, section 6.1), so that there is a half-close as without TLS.
    """

    __slots__ = (
        "_close_by",
        "_deadlines",
        "_loop",
        "_names",
        "_waiting",
        "due",
    )

    def __init__(
        self,
        raw: asyncio.Transport,
        context: ssl.SSLContext,
        protocol: TLSProtocol,
        *,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        names: ConnectionNames,
    ) -> None:
        found = shared(loop)
        if found.tls is None:
            found.tls = TLSBuffers()
        super().__init__(raw, context, found.tls)
        self._loop = loop
        self._protocol = protocol
        self._deliver = receiver(protocol)
        self._deadlines = deadlines
        self._names = names
        self._close_by = 0.0
        self._waiting = -1
        self.due = -1

    # ---- the plain transport calls these -------------------------------------------------------

    def eof_received(self) -> bool:
        if self._state != OPEN:
            return False  # the plain transport closes
        if not self._eof:
            # Whoever can cut a line could have cut it here: that is no end the peer has vouched for.
            self._exc = ConnectionResetError(errno.ECONNRESET, "the peer closed without close_notify (RFC 8446, 6.1)")
        return self._eof

    def connection_lost(self, exc: BaseException | None) -> None:
        self._deadlines.forget(self)
        self._state = CLOSING
        protocol, self._protocol, self._deliver = self._protocol, None, _nobody  # or they would keep each other alive
        protocol.connection_lost(self._exc or exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    # ---- the end -------------------------------------------------------------------------------

    def close(self) -> None:
        if self._state == HANDSHAKE:
            self.abort()
        elif self._state == OPEN:
            self._end(self._say_close_notify())

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._state == OPEN:
            out = self._say_close_notify()
            if out:
                self._raw.write(out)

    def _fail(self, exc: BaseException) -> None:
        if self._state != CLOSING:
            self._exc = exc
            self._end()

    def _end(self, last: bytes = b"") -> None:
        """Send the last and then the end of the stream; throw away what still comes, until the peer closes too.

        Closed at once, the socket would answer what still comes by a reset, which destroys our last words on their way.
        """
        self._state = CLOSING
        raw = self._raw
        if last:
            raw.write(last)
        if self._eof or raw.is_closing():
            raw.close()
            return
        try:
            raw.write_eof()
        except OSError:  # asyncio, where a reset has not been read yet
            raw.abort()
            return
        raw.resume_reading()
        self._close_by = self._loop.time() + TLS_SHUTDOWN
        self._deadlines.watch(self, self._close_by)

    def check_deadlines(self, now: float) -> float | None:
        """Cut a peer that does not answer, but not one that still takes what we had to say."""
        waiting = self._raw.get_write_buffer_size()
        if waiting and waiting != self._waiting:
            self._waiting, self._close_by = waiting, now + TLS_SHUTDOWN
        if now < self._close_by:
            return self._close_by
        self.abort()
        return None

    def abort(self) -> None:
        self._state = CLOSING
        self._raw.abort()

    # ---- looking, and what the plain transport does for us ----------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "peername":
                return self._names[0]
            case "sockname":
                return self._names[1]
            case "ssl_object":
                return self._ssl
            case "sslcontext":
                return self._ssl.context
            case "cipher":
                return self._ssl.cipher()
            case "compression":
                return self._ssl.compression()
            case "peercert":
                return self._ssl.getpeercert()
        return self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._deliver = receiver(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self._protocol)

    def is_closing(self) -> bool:
        return self._state == CLOSING or self._raw.is_closing()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        if self._state != CLOSING:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()
