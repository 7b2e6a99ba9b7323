"""A transport without a network: what a protocol writes is recorded, what it reads is put in by the test."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["MemoryTransport"]


class MemoryTransport(asyncio.Transport):
    """What a stream protocol takes for its socket's transport.

    It behaves as asyncio's own do: ``write`` sends at once and buffers what the peer does not take, ``pause_writing``
    and ``resume_writing`` are called at the water marks, ``close`` sends what is buffered first, ``abort`` does not,
    ``connection_lost`` follows in a later tick. :class:`asyncio.BufferedProtocol` is read into its own buffer.

    The peer's side is :meth:`feed`, :meth:`feed_eof`, :meth:`lose`, :meth:`stall` and :meth:`take`.

    Args:
        loop: Whose ticks it uses.
        protocol: What it serves, an ``asyncio.Protocol`` or what has its methods; call :meth:`connect` to begin.
        extra: What ``get_extra_info`` knows, such as ``{"peername": ("192.0.2.1", 7)}``.

    Attributes:
        writes: What each call of ``write`` brought, in order.
        taken: Bytes the peer has taken.
        aborted: Whether our side cut the connection.
        reset: Whether the peer meets a reset instead of an end: our side cut, or closed with input unread, which
            destroys what is still on its way to the peer (RFC 1122, section 4.2.2.13).
        eof_sent: Whether the peer has been told that no more comes (``write_eof``, or the end).
        lost: Whether ``connection_lost`` has been called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__({**(extra or {})})
        self.writes: list[bytes] = []
        self.taken = bytearray()
        self.aborted = self.reset = self.eof_sent = self.lost = False
        self._loop = loop
        self._protocol = protocol
        self._buffer = bytearray()  # written and not taken
        self._room: int | None = None  # bytes the peer will still take; None: all
        self._high, self._low = 64 * 1024, 16 * 1024
        self._paused_writing = False
        self._arrived: deque[bytes] = deque()  # sent by the peer, not yet read
        self._peer_done = False
        self._eof_read = False
        self._reading = True
        self._eof_written = False
        self._closing = False
        self._ending = False

    def connect(self) -> None:
        """Call the protocol's ``connection_made``."""
        self._protocol.connection_made(self)

    # ---- the peer's side -----------------------------------------------------------------------

    @property
    def unread(self) -> int:
        """Bytes that the peer has sent and the protocol has not read."""
        return sum(map(len, self._arrived))

    def feed(self, data: bytes) -> None:
        """The peer sends one chunk. While reading is paused, it waits; once the connection has ended, it is lost."""
        if self._peer_done:
            raise RuntimeError("the peer has said that it sends no more")
        if data and not self._ending:
            self._arrived.append(bytes(data))
            self._read()

    def feed_eof(self) -> None:
        """The peer sends no more. What it sent before is read first."""
        self._peer_done = True
        self._read()

    def lose(self, exc: BaseException | None = None) -> None:
        """The connection is gone, by a reset or a fault of the network: what waits on either side is lost."""
        self._arrived.clear()
        self._buffer.clear()
        self._end(exc)

    def stall(self, room: int = 0) -> None:
        """The peer takes ``room`` bytes more and then stops reading."""
        self._room = room
        self._drain()

    def take(self, count: int | None = None) -> None:
        """The peer takes ``count`` more of the bytes that wait; left out: all of them, and whatever comes."""
        self._room = None if count is None else (self._room or 0) + count
        self._drain()

    # ---- the protocol's side: reading ----------------------------------------------------------

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        while self._arrived and self.is_reading():
            self._hand_over(self._arrived.popleft())
        if self._peer_done and not self._eof_read and not self._arrived and self.is_reading():
            self._eof_read = True
            if not self._protocol.eof_received():
                self.close()

    def _hand_over(self, data: bytes) -> None:
        if not isinstance(self._protocol, asyncio.BufferedProtocol):
            self._protocol.data_received(data)
            return
        buffer = memoryview(self._protocol.get_buffer(-1))
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        if count < len(data):
            self._arrived.appendleft(data[count:])  # for whoever is the protocol then
        self._protocol.buffer_updated(count)

    # ---- the protocol's side: writing ----------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._eof_written:
            raise RuntimeError("write after write_eof")
        if self._ending or not data:
            return
        self.writes.append(bytes(data))
        self._buffer += data
        self._drain()
        if len(self._buffer) > self._high and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._closing and not self._eof_written:
            self._eof_written = True
            self._drain()

    def can_write_eof(self) -> bool:
        return True

    def _drain(self) -> None:
        """Give the peer what it takes, and do what waits for that."""
        count = len(self._buffer) if self._room is None else min(self._room, len(self._buffer))
        if self._room is not None:
            self._room -= count
        self.taken += self._buffer[:count]
        del self._buffer[:count]
        if self._paused_writing and len(self._buffer) <= self._low and not self._ending:
            self._paused_writing = False
            self._protocol.resume_writing()
        if not self._buffer:
            if self._eof_written:
                self.eof_sent = True
            if self._closing:
                self._end(None)

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be at least low ({low}), and low at least 0")
        self._high, self._low = high, low

    # ---- the protocol's side: the end ----------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._drain()

    def abort(self) -> None:
        if not self._ending:
            self.aborted = self.reset = True
            self._buffer.clear()
            self._end(None)

    def _end(self, exc: BaseException | None) -> None:
        if not self._ending:
            self._closing = self._ending = True
            if self._arrived:
                self.reset = True
            self._loop.call_soon(self._lost, exc)

    def _lost(self, exc: BaseException | None) -> None:
        self.lost = self.eof_sent = True
        self._protocol.connection_lost(exc)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol
