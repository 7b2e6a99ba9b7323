"""What an IP address is, and every way to write it: what ``inet_aton``, ``inet_pton`` and their inverses compute."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

__all__ = ["AddressFacts", "address_facts", "is_local", "read_packed"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_OWN_NETWORKS: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/32 127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 "  # RFC 1122, 1918, 3927
        "::/128 ::1/128 fc00::/7 fe80::/10"  # RFC 4291, 4193
    ).split()
)
"""Loopback (the unspecified address connects there), private and link-local networks. Not ``is_private``, which
Python 3.11 and 3.12 also say of ::ffff:8.8.8.8."""


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """An address in other forms.

    Attributes:
        address: The canonical form (RFC 5952).
        version: 4 or 6.
        kind: ``"loopback"``, ``"private"``, ``"link-local"``, ``"multicast"``, ``"unspecified"``, ``"global"``,
            ``"reserved"``.
        packed: In network byte order, hexadecimal: what ``inet_aton`` and ``inet_pton`` give.
        number: The same as one number.
        full: All digits: ``2001:0db8:...``; of IPv4, the address itself.
        pointer: The name whose PTR record names it (RFC 1035, 3596).
        mapped: Of IPv4, the IPv6 address that stands for it on a dual-stack socket; of such an IPv6 address, the IPv4
            one; else ``None``.
        scope: The interface a link-local IPv6 address belongs to, or ``None``.
    """

    address: str
    version: int
    kind: str
    packed: str
    number: int
    full: str
    pointer: str
    mapped: str | None
    scope: str | None


def address_facts(text: str) -> AddressFacts:
    """The facts of an address.

    Raises:
        ValueError: it is none.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        mapped: str | None = f"::ffff:{address}"
        scope = None
    else:
        inner = address.ipv4_mapped
        mapped = None if inner is None else str(inner)
        scope = address.scope_id
        address = ipaddress.IPv6Address(int(address))  # the forms below have no scope
    return AddressFacts(
        address=f"{address}%{scope}" if scope else str(address),
        version=address.version,
        kind=_kind(address),
        packed=address.packed.hex(),
        number=int(address),
        full=address.exploded,
        pointer=address.reverse_pointer,
        mapped=mapped,
        scope=scope,
    )


def is_local(text: str) -> bool:
    """Whether this address is one's own to scan: loopback, private, link-local."""
    address = _plain(text)
    return any(address.version == network.version and address in network for network in _OWN_NETWORKS)


def read_packed(text: str) -> str | None:
    """The IPv6 address of ``0x`` and 32 hexadecimal digits (the inverse of ``packed``), or ``None``."""
    digits = text.removeprefix("0x")
    if len(text) != 34 or len(digits) != 32 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return None
    return str(ipaddress.IPv6Address(int(digits, 16)))


def _plain(text: str) -> IPAddress:
    """Without scope, and as IPv4 where that is what is reached."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _kind(address: IPAddress) -> str:
    inner = _plain(str(address))
    for name in ("unspecified", "loopback", "link_local", "multicast"):
        if getattr(inner, f"is_{name}"):
            return name.replace("_", "-")
    if is_local(str(inner)):
        return "private"
    return "global" if inner.is_global else "reserved"
