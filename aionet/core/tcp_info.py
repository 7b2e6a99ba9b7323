"""``struct tcp_info`` of Linux (``TCP_INFO``, tcp(7)), read by as much of it as the kernel gives.

The structure only ever grows at its end (include/uapi/linux/tcp.h): a field is there if it fits into what came.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["TCP_INFO_FIELDS", "TCP_INFO_SIZE", "TCP_STATES", "TCPInfoField", "parse_tcp_info"]

TCP_INFO_SIZE: Final = 512
"""Bytes to ask the kernel for; the newest structure has 280, and the kernel says how many it filled."""

TCP_STATES: Final = (
    "",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
)


@dataclass(frozen=True, slots=True)
class TCPInfoField:
    """One number of the structure: where it is, how it reads (a :mod:`struct` format), its unit, what it means."""

    name: str
    offset: int
    format: str
    unit: str
    meaning: str


TCP_INFO_FIELDS: Final = (
    TCPInfoField("state", 0, "B", "", "where the connection is in its life (RFC 9293)"),
    TCPInfoField("rtt", 68, "I", "us", "smoothed round-trip time"),
    TCPInfoField("rttvar", 72, "I", "us", "how much the round-trip time varies"),
    TCPInfoField("min_rtt", 148, "I", "us", "the shortest round trip seen"),
    TCPInfoField("rto", 8, "I", "us", "silence after which a segment is sent again"),
    TCPInfoField("retransmits", 2, "B", "", "times the oldest unanswered segment was sent again, just now"),
    TCPInfoField("total_retrans", 100, "I", "segments", "sent again since the connection began"),
    TCPInfoField("lost", 32, "I", "segments", "thought lost just now"),
    TCPInfoField("unacked", 24, "I", "segments", "on their way, not yet acknowledged"),
    TCPInfoField("cwnd", 80, "I", "segments", "congestion window: how many may be on their way"),
    TCPInfoField("ssthresh", 76, "I", "segments", "window above which it grows slowly"),
    TCPInfoField("snd_mss", 16, "I", "bytes", "largest segment sent"),
    TCPInfoField("rcv_mss", 20, "I", "bytes", "largest segment expected from the peer"),
    TCPInfoField("pmtu", 60, "I", "bytes", "largest packet the path carries"),
    TCPInfoField("rcv_space", 96, "I", "bytes", "receive window the kernel aims at"),
    TCPInfoField("bytes_acked", 120, "Q", "bytes", "sent and acknowledged"),
    TCPInfoField("bytes_received", 128, "Q", "bytes", "received"),
    TCPInfoField("delivery_rate", 160, "Q", "bytes/s", "most recent rate of delivery"),
)
"""What is shown, in this order; the structure has more."""


_UNSET: Final = {"min_rtt": 0xFFFF_FFFF, "ssthresh": 0x7FFF_FFFF}
"""What the kernel writes where it has no number yet."""


def parse_tcp_info(data: bytes) -> dict[str, int]:
    """The fields that are in ``data``, by name. Short or odd data gives fewer of them, never an error."""
    found: dict[str, int] = {
        field.name: struct.unpack_from(f"={field.format}", data, field.offset)[0]
        for field in TCP_INFO_FIELDS
        if field.offset + struct.calcsize(f"={field.format}") <= len(data)
    }
    return {name: value for name, value in found.items() if value != _UNSET.get(name)}
