"""The system calls of datagrams: many at once where the system can (:class:`ManyACall`), or :class:`OneByOne`.

``recvmmsg(2)`` and ``sendmmsg(2)``, which Python does not have, are called through ctypes, on Linux where pointers have
64 bits. The arrays that the kernel reads and writes are made once a thread and used by all ports of its loop; from call
to call only what differs is written. Addresses stay as the kernel has them: a peer's tuple is made when it is first
heard of.

Datagrams of one peer that come in a row, all of one length but for the last, pass as one (udp(7)): the kernel puts them
together (``UDP_GRO``) and takes them apart (``UDP_SEGMENT``), on the wire they are what they always were.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .datagram_queue import Datagram
from .sockets import SocketAddress

__all__ = ["MERGED_SLOTS", "SLOTS", "DatagramCalls", "ManyACall", "OneByOne", "datagram_calls"]

SLOTS: Final = 64
"""Datagrams a call: enough to share its cost, few enough to leave the loop to others."""

MERGED_SLOTS: Final = 8
"""The same while they come merged, up to 64 in one."""

_SLOT: Final = 64 * 1024
"""Bytes for one datagram, whatever its length (65,527 at most, RFC 768). Memory is taken only where it is written."""

_MAX_MERGED: Final = 65_000
"""Bytes that are merged into one; an IPv4 packet holds 65,507."""

_MAX_SEGMENTS: Final = 64
"""Datagrams merged into one: ``UDP_MAX_SEGMENTS`` of Linux."""

_NAME: Final = 32
"""Bytes from one address to the next; a ``sockaddr_in6`` has 28."""

_MAX_PEERS: Final = 4096
"""Peers whose addresses are known in both forms; above it all are forgotten and learnt anew. About 1 MiB."""

_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
"""linux/udp.h; the socket module of Python 3.11 does not name them."""

_CONTROL: Final = struct.Struct("=QiiH6x")
"""A cmsghdr (length, level, type) and a number of 16 bits, which is all that a length needs: received, it is an int, of
which these are the lower half on the machines there are. 24 bytes are ``CMSG_SPACE`` of either."""

_CMSG_LEN: Final = 18

_NAME_SIZES: Final[dict[int, int]] = {socket.AF_INET: 16, socket.AF_INET6: 28}
"""``sizeof`` the sockaddr of each family."""


_NOTHING_THERE: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)

OnError = Callable[[OSError], object]
"""Told of an ICMP message about something sent earlier."""


class DatagramCalls(Protocol):
    """How datagrams are received and sent. Not for two threads."""

    def allow_merging(self, sock: socket.socket) -> None:
        """Let the kernel hand over merged datagrams, if it can (Linux 5.0)."""

    def receive(self, sock: socket.socket, slots: int, on_error: OnError) -> tuple[list[Datagram], bool]:
        """What has come, at most ``slots`` datagrams and what is merged in them; and whether some came merged."""

    def send(
        self, sock: socket.socket, batch: Sequence[Datagram], largest: int, on_error: OnError
    ) -> tuple[int, int, bool]:
        """Send these, at most :data:`SLOTS`, until one is refused.

        Args:
            sock: Non-blocking.
            batch: Data and peer of each; a peer of ``None`` on a connected socket.
            largest: Only datagrams of at most so many bytes are merged.
            on_error: Told of an ICMP message.

        Returns:
            How many were taken, their bytes, and whether the first that was refused was merged. Why it was refused
            is for a single ``sendto`` of it to find out.
        """


class _IOVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("hdr", _MsgHdr), ("len", ctypes.c_uint))


_WORDS: Final = ctypes.sizeof(_MMsgHdr) // 4
_LEN: Final = _MMsgHdr.len.offset // 4
_NAMELEN: Final = _MsgHdr.namelen.offset // 4
_LONGS: Final = ctypes.sizeof(_MMsgHdr) // 8
_NAME_AT: Final = _MsgHdr.name.offset // 8
_CONTROLLEN: Final = _MsgHdr.controllen.offset // 8


class _Headers:
    """Message headers, each with one buffer, one address and one control message; and views into them."""

    def __init__(self, slab: int) -> None:
        self._headers = (_MMsgHdr * SLOTS)()
        self._iovecs = (_IOVec * SLOTS)()
        self._names = (ctypes.c_char * (_NAME * SLOTS))()
        self._controls = (ctypes.c_char * (_CONTROL.size * SLOTS))()
        for slot in range(SLOTS):
            self._iovecs[slot] = _IOVec(slab + slot * _SLOT, _SLOT)
            self._headers[slot].hdr = _MsgHdr(
                name=ctypes.addressof(self._names) + slot * _NAME,
                iov=ctypes.addressof(self._iovecs) + slot * ctypes.sizeof(_IOVec),
                iovlen=1,
                control=ctypes.addressof(self._controls) + slot * _CONTROL.size,
            )
        self.address = ctypes.addressof(self._headers)
        raw = memoryview(self._headers).cast("B")
        self.words = raw.cast("I")
        self.longs = raw.cast("Q")
        self.iovecs = memoryview(self._iovecs).cast("B").cast("Q")  # base, length, base, length...
        self.names = memoryview(self._names).cast("B")
        self.controls = memoryview(self._controls).cast("B")


class ManyACall:
    """``recvmmsg`` and ``sendmmsg``. Between two calls nothing in the arrays has a meaning, but for who uses which."""

    def __init__(self, library: Any) -> None:
        self._recvmmsg = library.recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg = library.sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._slab = bytearray(SLOTS * _SLOT)
        self._view = memoryview(self._slab)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._slab))
        self._in = _Headers(self._base)
        self._out = _Headers(self._base)
        self._constants = {size: memoryview(array("I", [size] * SLOTS)) for size in (0, *_NAME_SIZES.values())}
        self._room = memoryview(array("Q", [_CONTROL.size] * SLOTS))
        self._nothing = memoryview(array("Q", [0] * SLOTS))
        self._segments = [0] * SLOTS
        self._family = 0  # of the addresses that the headers have room for
        self._used = SLOTS
        self._peers: dict[bytes, SocketAddress] = {}
        self._names: dict[SocketAddress, bytes] = {}

    def receive(self, sock: socket.socket, slots: int, on_error: OnError) -> tuple[list[Datagram], bool]:
        arrays = self._in
        family = sock.family
        size = _NAME_SIZES[family]
        used = self._used  # the kernel has written into these, and into no others
        if family != self._family:
            self._family, used = family, SLOTS
            arrays.words[_NAMELEN::_WORDS] = self._constants[size]
        if used == 1:
            arrays.longs[_CONTROLLEN] = _CONTROL.size
        else:
            arrays.longs[_CONTROLLEN : used * _LONGS : _LONGS] = self._room[:used]
        count = self._recvmmsg(sock.fileno(), arrays.address, slots, socket.MSG_DONTWAIT, None)
        found: list[Datagram] = []
        if count < 0:
            self._used = 1
            code = ctypes.get_errno()
            if code not in _NOTHING_THERE:
                on_error(OSError(code, os.strerror(code)))
            return found, False
        self._used = count
        if count == 1 and not arrays.longs[_CONTROLLEN]:  # the most common of all
            name = bytes(arrays.names[:size])
            found.append((bytes(self._view[: arrays.words[_LEN]]), self._peers.get(name) or self._learn(name)))
            return found, False
        merged = any(arrays.longs[_CONTROLLEN : count * _LONGS : _LONGS].tolist())
        view, names, peers = self._view, arrays.names, self._peers
        at = name_at = 0
        for slot, length in enumerate(arrays.words[_LEN : count * _WORDS : _WORDS].tolist()):
            name = bytes(names[name_at : name_at + size])
            peer = peers.get(name) or self._learn(name)
            segment = self._segment(slot) if merged else 0
            if segment:
                end = at + length
                found += [(bytes(view[start : min(start + segment, end)]), peer) for start in range(at, end, segment)]
            else:
                found.append((bytes(view[at : at + length]), peer))
            at += _SLOT
            name_at += _NAME
        return found, merged

    def allow_merging(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)

    def _segment(self, slot: int) -> int:
        """The length of the datagrams that were merged into this one; 0: none were."""
        if not self._in.longs[slot * _LONGS + _CONTROLLEN]:
            return 0
        _, level, kind, value = _CONTROL.unpack_from(self._in.controls, slot * _CONTROL.size)
        return int(value) if (level, kind) == (_SOL_UDP, _UDP_GRO) else 0

    def send(
        self, sock: socket.socket, batch: Sequence[Datagram], largest: int, on_error: OnError
    ) -> tuple[int, int, bool]:
        arrays, view, base = self._out, self._view, self._base
        iovecs, names, known = arrays.iovecs, arrays.names, self._names
        counts: list[int] = []  # datagrams in each message
        family = sock.family
        name_size = _NAME_SIZES[family]
        at = start = segment = last_size = 0
        last_peer: Any = self  # nobody
        slot = -1
        for data, peer in batch:
            size = len(data)
            if (
                peer is last_peer
                and 0 < size <= segment == last_size <= largest
                and at + size - start <= _MAX_MERGED
                and counts[slot] < _MAX_SEGMENTS
            ):
                counts[slot] += 1
                iovecs[2 * slot + 1] += size
            else:
                if peer is None:
                    name_size = 0
                else:
                    name = known.get(peer) or self._name(peer, family)  # type: ignore[arg-type]
                    if name is None:
                        break
                    names[(slot + 1) * _NAME : (slot + 1) * _NAME + name_size] = name
                slot += 1
                counts.append(1)
                start, last_peer = at, peer
                self._segments[slot] = segment = size
                iovecs[2 * slot] = base + at
                iovecs[2 * slot + 1] = size
            view[at : at + size] = data
            at += size
            last_size = size
        if slot < 0:
            return 0, 0, False
        self._prepare(counts, name_size)
        taken = self._sendmmsg(sock.fileno(), arrays.address, len(counts), socket.MSG_DONTWAIT)
        if taken == len(counts):
            return sum(counts), at, False
        if taken < 0:
            taken = 0
            code = ctypes.get_errno()
            if code == errno.ECONNREFUSED:
                on_error(OSError(code, os.strerror(code)))
        return sum(counts[:taken]), sum(iovecs[1 : 2 * taken : 2].tolist()), counts[taken] > 1

    def _prepare(self, counts: list[int], name_size: int) -> None:
        arrays = self._out
        messages = len(counts)
        arrays.words[_NAMELEN : messages * _WORDS : _WORDS] = self._constants[name_size][:messages]
        arrays.longs[_CONTROLLEN : messages * _LONGS : _LONGS] = self._nothing[:messages]
        if max(counts) == 1:
            return
        for slot, count in enumerate(counts):
            if count > 1:
                segment = self._segments[slot]
                _CONTROL.pack_into(arrays.controls, slot * _CONTROL.size, _CMSG_LEN, _SOL_UDP, _UDP_SEGMENT, segment)
                arrays.longs[slot * _LONGS + _CONTROLLEN] = _CONTROL.size

    # ---- addresses -----------------------------------------------------------------------------

    def _learn(self, name: bytes) -> SocketAddress:
        """The peer of this ``sockaddr``, as the socket module gives it."""
        port = int.from_bytes(name[2:4])
        peer: SocketAddress
        if len(name) == _NAME_SIZES[socket.AF_INET]:
            peer = (socket.inet_ntop(socket.AF_INET, name[4:8]), port)
        else:
            host = socket.inet_ntop(socket.AF_INET6, name[8:24])
            peer = (host, port, int.from_bytes(name[4:8]), int.from_bytes(name[24:28], sys.byteorder))
        self._remember(name, peer)
        return peer

    def _name(self, peer: SocketAddress, family: int) -> bytes | None:
        """The ``sockaddr`` of this peer; ``None`` where that takes more than a number (a scope, a mistake)."""
        try:
            host, port, *rest = peer
            head = family.to_bytes(2, sys.byteorder) + port.to_bytes(2)
            if family == socket.AF_INET:
                name: bytes = head + socket.inet_pton(socket.AF_INET, host) + bytes(8)
            else:
                flow, scope = rest or (0, 0)
                name = head + flow.to_bytes(4) + socket.inet_pton(family, host) + scope.to_bytes(4, sys.byteorder)
        except (OSError, OverflowError, TypeError, ValueError, AttributeError):
            return None
        self._remember(name, peer)
        return name

    def _remember(self, name: bytes, peer: SocketAddress) -> None:
        if len(self._peers) >= _MAX_PEERS or len(self._names) >= _MAX_PEERS:
            self._peers.clear()
            self._names.clear()
        self._peers[name] = peer
        self._names[peer] = name


class OneByOne:
    """The calls that every system has."""

    def __init__(self) -> None:
        self._buffer = bytearray(_SLOT)
        self._view = memoryview(self._buffer)

    def allow_merging(self, sock: socket.socket) -> None:
        """Nothing is merged here."""

    def receive(self, sock: socket.socket, slots: int, on_error: OnError) -> tuple[list[Datagram], bool]:
        found: list[Datagram] = []
        for _ in range(slots):
            try:
                size, peer = sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                break
            except OSError as exc:
                on_error(exc)
                if sock.fileno() < 0:
                    break  # whoever heard of it has closed
            else:
                found.append((bytes(self._view[:size]), peer))  # a copy at once: the buffer is shared
        return found, False

    def send(
        self, sock: socket.socket, batch: Sequence[Datagram], largest: int, on_error: OnError
    ) -> tuple[int, int, bool]:
        return 0, 0, False  # each by itself, as those that were refused are


class _Local(threading.local):
    calls: DatagramCalls | None = None


_local = _Local()


def _load() -> Any:
    """The C library, if it has both calls, and structures of the sizes described here."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    library = ctypes.PyDLL(None, use_errno=True)  # these calls never wait: letting go of the GIL would cost more
    return library if hasattr(library, "recvmmsg") and hasattr(library, "sendmmsg") else None


_library: Final = _load()


def datagram_calls() -> DatagramCalls:
    """Those of this thread, made at first use."""
    if _local.calls is None:
        _local.calls = OneByOne() if _library is None else ManyACall(_library)
    return _local.calls
