"""What a UDP scan sends: a question, where a port's usual service answers nothing else; else an empty datagram."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["PAYLOADS", "payload_for"]

_DNS: Final = bytes.fromhex("a10e 0100 0001 0000 0000 0000 00 0002 0001")
"""RFC 1035: which name servers has the root? Recursion desired."""

_NTP: Final = b"\xe3" + bytes(47)
"""RFC 5905: a client's request, version 4."""

_SNMP: Final = bytes.fromhex(
    "3029 020101 0406 7075626c6963 a01c 020413579bdf 020100 020100 300e 300c 06082b06010201010100 0500"
)
"""RFC 3416 and 1901: GetRequest of sysDescr.0, version 2c, community "public"."""

_STUN: Final = bytes.fromhex("0001 0000 2112a442 0a1b2c3d4e5f60718293a4b5")
"""RFC 8489: a binding request."""

_MDNS: Final = bytes.fromhex("0000 0000 0001 0000 0000 0000") + (
    b"\x09_services\x07_dns-sd\x04_udp\x05local\x00" + bytes.fromhex("000c 0001")
)
"""RFC 6763, section 9: which kinds of services are there?"""

PAYLOADS: Final[Mapping[int, bytes]] = MappingProxyType({53: _DNS, 123: _NTP, 161: _SNMP, 3478: _STUN, 5353: _MDNS})


def payload_for(port: int) -> bytes:
    """The datagram to send to this port."""
    return PAYLOADS.get(port, b"")
