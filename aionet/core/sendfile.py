"""A file to a connection, without a copy through this process where the system can: ``sendfile(2)``.

::

    the socket has room       os.sendfile, a window at a time
    it is full                a native transport tells when there is room again. To another a small piece is given, and
                              its buffer tells: no second descriptor is needed to wait with. The send deadline holds
    TLS, a codec's frames     pieces are read and written, as long as the peer keeps up

Both read only what is in the page cache already (``RWF_NOWAIT``); the rest is fetched in a thread first, so that a slow
disk holds up this one connection and not the loop. All senders of a loop take turns, one window a tick, so that many
large files together take no more of a tick than one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from ..events import CloseReason
from .context import StreamContext
from .flow import RESETS, OutboundConnection
from .message_path import CLOSING
from .tcp_info import TCP_INFO_SIZE, parse_tcp_info

__all__ = ["FileSendingConnection"]

M = TypeVar("M")

WINDOW: Final = 128 * 1024
ALONE: Final = 1024 * 1024
"""Bytes that one connection sends in its turn, some 30 us of the loop; and while nobody has had anything to say lately.
Measured, CPU-s a GB: with 128 KiB 0.18, 256 KiB 0.15, 512 KiB 0.12, 1 MiB 0.10."""

PIECE: Final = 16 * 1024
"""Bytes that are copied, through the transport, when the socket is full."""

COPIED: Final = 128 * 1024
"""Bytes that are read and written at once where the kernel cannot send the file itself."""

LARGE: Final = 1024 * 1024
"""Bytes of a file from which on the socket's buffer is looked at."""

NEAR: Final = 100
"""Microseconds of a round trip, up to which the peer is on this machine, or in its rack."""

NEAR_BUFFER: Final = 192 * 1024
"""Bytes of the send buffer to such a peer (the kernel doubles it): enough for 30 Gbit/s. The 4 MiB that the kernel
would make of it only let us run ahead of a reader who is as fast, past all caches: half the speed for twice the CPU."""

AHEAD: Final = 2 * 1024 * 1024
"""Bytes that a thread fetches from the disk at once: a hop to it costs as much as sending 256 KiB."""

_NO_SENDFILE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK})
"""What says that this kind of file, or of socket, cannot be sent by the kernel. Nothing has been sent then."""


class _Detour:
    """Keeps what is written while a file is being sent: it follows behind the file."""

    __slots__ = ("_conn", "_room", "chunks")

    def __init__(self, conn: OutboundConnection[Any], room: int) -> None:
        self._conn = conn
        self._room = room
        self.chunks: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.chunks.append(data)
        self._room -= len(data)
        if self._room < 0:
            self._conn.abort(CloseReason.SLOW_CONSUMER)


class FileSendingConnection(OutboundConnection[M]):
    """The part of a connection that sends files."""

    __slots__ = ("_detour",)

    def __init__(self, context: StreamContext[M]) -> None:
        super().__init__(context)
        self._detour: _Detour | None = None

    async def send_file(self, file: int, offset: int, count: int) -> int:
        if offset < 0 or count < 0:
            raise ValueError(f"offset and count must not be negative: {offset}, {count}")
        self._check_open()
        if self._detour is not None:
            raise anyio.BusyResourceError("sending a file")
        for group in tuple(self._groups or ()):
            group.settle_member(self)
        if self._out:
            self._flush()
            self._check_open()
        transport = self._transport
        assert transport is not None
        self._detour = detour = _Detour(self, self._context.limits.max_outbound)
        self._transport_write = detour.write
        try:
            sent = 0
            carried = self._codec.replies  # what leaves has a form of its own
            if transport.get_extra_info("sslcontext") is None and self.fileno() >= 0 and not carried:
                transport.set_write_buffer_limits(high=0)  # so that we hear when its buffer is empty
                try:
                    sent = await self._send_by_kernel(transport, file, offset, count)
                finally:
                    if not self._held & CLOSING:
                        limits = self._context.limits
                        transport.set_write_buffer_limits(high=limits.high_water, low=limits.low_water)
            if sent < count:
                sent += await self._send_by_copy(transport, file, offset + sent, count - sent)
            return sent
        finally:
            self._detour = None
            if not self._held & CLOSING:
                self._transport_write = transport.write
                if detour.chunks:
                    transport.write(b"".join(detour.chunks))

    def _put_aside(self, data: bytes) -> None:
        """While a file is sent, between two of its pieces: a ping that is answered behind it is answered too late."""
        if self._detour is None:
            super()._put_aside(data)
        elif self._transport is not None and not (self._congested and self._too_far_behind(len(data))):
            self._transport.write(data)
            self._sent(len(data))

    async def send_eof(self) -> None:
        if self._detour is not None:
            raise anyio.BusyResourceError("sending a file")
        await super().send_eof()

    async def _send_by_kernel(self, transport: asyncio.Transport, file: int, offset: int, count: int) -> int:
        """Returns bytes sent; fewer than ``count`` at the end of the file, or where the kernel cannot send it."""
        to = self.fileno()
        await_room = getattr(transport, "await_room", None)
        if count >= LARGE and await_room is not None:
            _fit_buffer(transport.get_extra_info("socket"))
        sent = fetched = 0
        full = False
        while sent < count:
            await self._my_turn()
            window = min(WINDOW if self._context.shared.was_busy() else ALONE, count - sent)
            if sent + window > fetched and not _is_cached(file, offset + sent, window):
                await self._in_thread(partial(_fetch, file, offset + sent, min(AHEAD, count - sent)))
                fetched = sent + min(AHEAD, count - sent)
            if full:
                taken = self._send_piece(transport, file, offset + sent, min(PIECE, window))
                full = False
            else:
                try:
                    taken = os.sendfile(to, file, offset + sent, window)
                    full = 0 < taken < window  # or the end of the file, which the next read will find
                except BlockingIOError:
                    taken, full = 0, True
                except OSError as exc:
                    if exc.errno in _NO_SENDFILE:
                        break
                    if exc.errno in RESETS:  # the transport will say so itself, unless nobody reads
                        self.abort(CloseReason.PEER_RESET)
                        raise anyio.BrokenResourceError(CloseReason.PEER_RESET.value) from exc
                    raise
            if not taken and not full:
                break
            if taken:
                sent += taken
                self._sent(taken)
            if full and await_room is not None:
                await_room()
                full = False
        return sent

    def _send_piece(self, transport: asyncio.Transport, file: int, offset: int, count: int) -> int:
        piece = os.pread(file, count, offset)
        if piece:
            transport.write(piece)
        return len(piece)

    async def _send_by_copy(self, transport: asyncio.Transport, file: int, offset: int, count: int) -> int:
        sent = 0
        while sent < count:
            await self._my_turn()
            wanted = min(COPIED, count - sent)
            piece = _read_cached(file, offset + sent, wanted)
            if piece is None:
                piece = await self._in_thread(partial(os.pread, file, wanted, offset + sent))
            if not piece:
                break
            transport.write(self._codec.carry(bytes(piece)) if self._codec.replies else piece)
            sent += len(piece)
            self._sent(len(piece))
        return sent

    async def _my_turn(self) -> None:
        """Wait until the peer keeps up and this connection may send a window."""
        await self._context.shared.turns.next()
        await self._keep_up()

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        result = await anyio.to_thread.run_sync(function, abandon_on_cancel=True)
        await self._keep_up()
        return result

    async def _keep_up(self) -> None:
        """Wait until the transport's buffer has room, and raise what says that nothing can be sent any more."""
        while self._congested and not self._held & CLOSING:
            await self._wait()
        self._check_open()

    def _sent(self, count: int) -> None:
        self.bytes_sent += count
        self._heard_at = self._deadlines.now


_SO_BUF_LOCK: Final = 72  # Linux 5.15
_SNDBUF_LOCKED: Final = 1


def _fit_buffer(sock: socket.socket) -> None:
    """Bound what is on its way to a near peer; unless somebody has said how large the buffer is to be."""
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK) & _SNDBUF_LOCKED:
            facts = parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE))
            if facts.get("min_rtt", NEAR + 1) <= NEAR:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NEAR_BUFFER)
    except (AttributeError, OSError):
        return  # no Linux, an older one, or no TCP


_NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)  # Linux


def _read_cached(file: int, offset: int, count: int) -> bytearray | None:
    """These bytes, or fewer; ``None`` if the disk would have to be waited for, or nobody can tell."""
    if _NOWAIT is None:
        return None
    buffer = bytearray(count)
    try:
        got = os.preadv(file, [buffer], offset, _NOWAIT)
    except OSError:  # not cached; or a file system that cannot tell; or one that fails, as reading in a thread will say
        return None
    if got < count:
        del buffer[got:]
    return buffer


def _is_cached(file: int, offset: int, count: int) -> bool:
    """Whether these bytes are in memory, as far as the last of them tells: files are mostly read from the front."""
    return _read_cached(file, offset + count - 1, 1) is not None


def _fetch(file: int, offset: int, count: int) -> None:
    """In a thread: bring the next bytes into memory. What cannot be read is for the one who sends to find."""
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file, offset, count, os.POSIX_FADV_WILLNEED)
        os.pread(file, count, offset)
    except OSError:
        return
