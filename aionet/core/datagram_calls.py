"""The system calls of datagrams: many at once where they are compiled (``_datagrams.pyx``), or :class:`OneByOne`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from .datagram_queue import Datagram

try:
    from ._datagrams import ManyACall
except ImportError:  # it is compiled where there is a C compiler, for Linux
    ManyACall = None  # type: ignore[assignment,misc]

__all__ = ["MERGED_SLOTS", "SLOTS", "DatagramCalls", "ManyACall", "OneByOne", "datagram_calls"]

SLOTS: Final = 64
"""Datagrams a call: enough to share its cost, few enough to leave the loop to others."""

MERGED_SLOTS: Final = 8
"""The same while they come merged, up to 64 in one."""

_SLOT: Final = 64 * 1024
"""Bytes for one datagram, whatever its length (65,527 at most, RFC 768). Memory is taken only where it is written."""

OnError = Callable[[OSError], object]
"""Told of an ICMP message about something sent earlier."""


class DatagramCalls(Protocol):
    """How datagrams are received and sent. Not for two threads."""

    def allow_merging(self, sock: socket.socket) -> None:
        """Let the kernel hand over merged datagrams, if it can (Linux 5.0)."""

    def receive(self, sock: socket.socket, slots: int, on_error: OnError) -> tuple[list[Datagram], int, bool]:
        """What has come, at most ``slots`` datagrams and what is merged in them; their bytes, and whether some came
        merged."""

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


class OneByOne:
    """The calls that every system has."""

    def __init__(self) -> None:
        self._buffer = bytearray(_SLOT)
        self._view = memoryview(self._buffer)

    def allow_merging(self, sock: socket.socket) -> None:
        """Nothing is merged here."""

    def receive(self, sock: socket.socket, slots: int, on_error: OnError) -> tuple[list[Datagram], int, bool]:
        found: list[Datagram] = []
        total = 0
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
                total += size
        return found, total, False

    def send(
        self, sock: socket.socket, batch: Sequence[Datagram], largest: int, on_error: OnError
    ) -> tuple[int, int, bool]:
        return 0, 0, False  # each by itself, as those that were refused are


class _Local(threading.local):
    calls: DatagramCalls | None = None


_local = _Local()


def datagram_calls() -> DatagramCalls:
    """Those of this thread, made at first use."""
    if _local.calls is None:
        _local.calls = OneByOne() if ManyACall is None else ManyACall()
    return _local.calls
