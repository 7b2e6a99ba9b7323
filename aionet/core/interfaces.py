"""This machine's own addresses: asked of the kernel, not of the resolver.

``gethostbyname(gethostname())``, the usual recipe, gives what /etc/hosts says of the name: on Debian 127.0.1.1.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["OwnAddress", "own_addresses", "parse_addresses"]

# rtnetlink(7), netlink(7)
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_NLM_F_REQUEST_DUMP: Final = 0x301
_NLMSG_DONE: Final = 3
_NLMSG_ERROR: Final = 2
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_IFADDRMSG: Final = struct.Struct("=BBBBI")
_RTATTR: Final = struct.Struct("=HH")
_REPLY_TIMEOUT: Final = 1.0
"""Seconds; the kernel answers at once."""


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address of an interface; ``prefix`` is the length of its network's, in bits."""

    interface: str
    address: str
    prefix: int


def own_addresses() -> list[OwnAddress]:
    """Every address of every interface; where the kernel speaks no netlink, the one towards each loopback.

    Raises:
        OSError: the system refused.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return [OwnAddress("", address, prefix) for address, prefix in _by_connecting()]
    found: list[OwnAddress] = []
    names = dict(socket.if_nameindex())
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(_REPLY_TIMEOUT)
        sock.send(
            _HEADER.pack(_HEADER.size + _IFADDRMSG.size, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0)
            + _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        )
        done = False
        while not done:
            some, done = parse_addresses(sock.recv(65536), names)
            found += some
    return found


def parse_addresses(data: bytes, names: dict[int, str]) -> tuple[list[OwnAddress], bool]:
    """The addresses in one reply of the kernel, and whether it is the last (netlink(7)).

    Args:
        data: Whole messages.
        names: Interfaces by index; one that is missing is written as its number.
    """
    found: list[OwnAddress] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < _HEADER.size:
            return found, True
        if kind == _RTM_NEWADDR:
            found += _own_address(data[offset + _HEADER.size : offset + length], names)
        offset += _aligned(length)
    return found, False


def _own_address(message: bytes, names: dict[int, str]) -> Iterator[OwnAddress]:
    family, prefix, _, _, index = _IFADDRMSG.unpack_from(message)
    attributes = dict(_attributes(message[_IFADDRMSG.size :]))
    # Of a point-to-point link, IFA_ADDRESS is the other end.
    packed = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
    if packed is None or family not in (socket.AF_INET, socket.AF_INET6):
        return
    address = ipaddress.ip_address(packed)
    interface = names.get(index, str(index))
    scope = f"%{interface}" if address.version == 6 and address.is_link_local else ""
    yield OwnAddress(interface, f"{address}{scope}", prefix)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _RTATTR.size <= len(data):
        length, kind = _RTATTR.unpack_from(data, offset)
        if length < _RTATTR.size:
            return
        yield kind, data[offset + _RTATTR.size : offset + length]
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _by_connecting() -> Iterator[tuple[str, int]]:
    """To connect a datagram socket sends nothing, but makes the system choose the address to send from."""
    for family, peer, prefix in ((socket.AF_INET, "127.0.0.1", 8), (socket.AF_INET6, "::1", 128)):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((peer, 9))
                yield str(sock.getsockname()[0]), prefix
        except OSError:
            continue
