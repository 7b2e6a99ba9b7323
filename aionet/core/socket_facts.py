"""What the kernel says about an open socket: addresses, the options in force, TCP_INFO, who is at the other end."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..endpoint import OPTIONS
from ..events import Address
from .tcp_info import TCP_INFO_SIZE, parse_tcp_info

__all__ = ["PeerCredentials", "SocketFacts", "SocketOption", "read_socket_facts"]

OptionInForce = bool | int | str


@dataclass(frozen=True, slots=True)
class SocketOption:
    """One option as it is in force.

    Attributes:
        name: As the socket module and the man pages call it.
        value: What the kernel says.
        unit: Of a number; empty where it has none.
        meaning: One line.
        key: The endpoint option that sets it (:data:`aionet.endpoint.OPTIONS`), if one does.
    """

    name: str
    value: OptionInForce
    unit: str
    meaning: str
    key: str | None


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Who listens at the other end of a Unix socket (``SO_PEERCRED``, unix(7)): as of its ``listen``."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class SocketFacts:
    """One look at a socket.

    Attributes:
        family: ``"IPv4"``, ``"IPv6"`` or ``"Unix"``.
        local: Our own address.
        peer: The other's; ``None`` if the socket is not connected.
        options: Those this system has.
        tcp: ``TCP_INFO`` by name; empty where there is none.
        credentials: On Unix sockets, where the system says.
    """

    family: str
    local: Address
    peer: Address
    options: tuple[SocketOption, ...]
    tcp: Mapping[str, int]
    credentials: PeerCredentials | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Where an option is found; names, because not every system has every constant."""

    level: str
    name: str
    kind: type[bool] | type[int] | type[str]
    unit: str
    key: str | None
    meaning: str = ""


_BUFFERS: Final = (
    _Known("SOL_SOCKET", "SO_RCVBUF", int, "bytes", "rcvbuf", "kernel's receive buffer (Linux: twice what was set)"),
    _Known("SOL_SOCKET", "SO_SNDBUF", int, "bytes", "sndbuf", "kernel's send buffer (Linux: twice what was set)"),
)
_TCP: Final = (
    _Known("IPPROTO_TCP", "TCP_NODELAY", bool, "", "nodelay"),
    _Known("SOL_SOCKET", "SO_KEEPALIVE", bool, "", "keepalive"),
    _Known("IPPROTO_TCP", "TCP_KEEPIDLE", int, "s", "keepalive_idle"),
    _Known("IPPROTO_TCP", "TCP_KEEPINTVL", int, "s", "keepalive_interval"),
    _Known("IPPROTO_TCP", "TCP_KEEPCNT", int, "", "keepalive_count"),
    _Known(
        "IPPROTO_TCP", "TCP_USER_TIMEOUT", int, "ms", "user_timeout", "time sent data may stay unacknowledged; 0: unset"
    ),
    *_BUFFERS,
    _Known("IPPROTO_TCP", "TCP_CONGESTION", str, "", None, "congestion control that decides how fast to send"),
)
_UDP: Final = (
    _Known("SOL_SOCKET", "SO_BROADCAST", bool, "", "broadcast"),
    *_BUFFERS,
)
_IPV4: Final = (_Known("IPPROTO_IP", "IP_TTL", int, "hops", None, "routers a packet may pass"),)
_IPV6: Final = (_Known("IPPROTO_IPV6", "IPV6_UNICAST_HOPS", int, "hops", None, "routers a packet may pass"),)
_IPV4_UDP: Final = (_Known("IPPROTO_IP", "IP_MULTICAST_TTL", int, "hops", "ttl"),)
_IPV6_UDP: Final = (_Known("IPPROTO_IPV6", "IPV6_MULTICAST_HOPS", int, "hops", "ttl"),)


def read_socket_facts(descriptor: int) -> SocketFacts:
    """Look at the socket behind ``descriptor``, which stays its owner's.

    Raises:
        OSError: it is not open, or no socket.
    """
    # A duplicate, because a socket object closes what it holds.
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        family = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6", socket.AF_UNIX: "Unix"}
        return SocketFacts(
            family.get(sock.family, str(sock.family)),
            sock.getsockname() or None,
            _peer(sock),
            tuple(option for known in _known(sock) if (option := _read(sock, known)) is not None),
            _tcp_info(sock),
            _credentials(sock),
        )


def _known(sock: socket.socket) -> tuple[_Known, ...]:
    stream = sock.type == socket.SOCK_STREAM
    if sock.family == socket.AF_INET:
        return _TCP + _IPV4 if stream else _UDP + _IPV4 + _IPV4_UDP
    if sock.family == socket.AF_INET6:
        return _TCP + _IPV6 if stream else _UDP + _IPV6 + _IPV6_UDP
    return _BUFFERS


def _read(sock: socket.socket, known: _Known) -> SocketOption | None:
    """The option as it is, or ``None`` where the system has no such thing."""
    level, name = getattr(socket, known.level, None), getattr(socket, known.name, None)
    if level is None or name is None:
        return None
    value: OptionInForce
    try:
        if known.kind is str:
            value = sock.getsockopt(level, name, 64).rstrip(b"\0").decode("ascii", "replace")
        else:
            value = known.kind(sock.getsockopt(level, name))
    except OSError:
        return None
    meaning = known.meaning
    if not meaning and known.key is not None:
        meaning = OPTIONS[known.key].meaning.removeprefix(f"{known.name}: ")
    return SocketOption(known.name, value, known.unit, meaning, known.key)


def _peer(sock: socket.socket) -> Address:
    try:
        peer: Address = sock.getpeername()
    except OSError:
        return None
    return peer


def _tcp_info(sock: socket.socket) -> dict[str, int]:
    name = getattr(socket, "TCP_INFO", None)
    if name is None or sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return {}
    try:
        return parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, name, TCP_INFO_SIZE))
    except OSError:
        return {}


def _credentials(sock: socket.socket) -> PeerCredentials | None:
    name = getattr(socket, "SO_PEERCRED", None)
    if name is None or sock.family != socket.AF_UNIX:
        return None
    try:
        return PeerCredentials(*struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, name, 12)))
    except (OSError, struct.error):
        return None
