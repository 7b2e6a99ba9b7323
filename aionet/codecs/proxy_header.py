"""The PROXY protocol, versions 1 and 2: what a proxy says first of the client it speaks for. Pure; both directions.

After haproxy's specification "The PROXY protocol", 2020/03/05. A header stands before everything else, TLS too, and
says who the client is: believe it only from a network that is trusted to tell the truth.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from os import fsdecode, fsencode
from typing import Final

from ..errors import EncodeError, FrameTooLarge, MalformedFrame
from ..events import Address
from ._common import announced_too_large, excerpt

__all__ = ["MAX_HEADER", "SIGNATURE_V1", "SIGNATURE_V2", "ProxyHeader", "format_v1", "format_v2", "parse"]

SIGNATURE_V1: Final = b"PROXY "
SIGNATURE_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"

MAX_HEADER: Final = 4096
"""Bytes of the longest header that is taken. Version 1 has at most 107; of version 2, addresses take 232 at most, and
what proxies add in practice (names, ids, a client certificate's subject) some hundreds. The format allows 65,551."""

_MAX_V1: Final = 107
_FIXED: Final = struct.Struct("!12sBBH")
_TLV: Final = struct.Struct("!BH")
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_BLOCKS: Final = {
    _INET: struct.Struct("!4s4sHH"),
    _INET6: struct.Struct("!16s16sHH"),
    _UNIX: struct.Struct("!108s108s"),
}
_CRC32C: Final = 0x03
_STREAM: Final = 1
_DATAGRAM: Final = 2


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says.

    Attributes:
        version: 1 or 2.
        size: Its bytes; what follows them is the stream itself.
        source: Whom the proxy speaks for, as the socket module writes addresses. ``None``: nobody (the proxy itself,
            such as by a health check), or somebody whose address it cannot tell: the connection's own addresses hold.
        destination: Where that one connected to; ``None`` together with ``source``.
        tlvs: Version 2's further facts, as ``(type, value)`` in order, not interpreted; a checksum among them is right.
    """

    version: int
    size: int
    source: Address = None
    destination: Address = None
    tlvs: tuple[tuple[int, bytes], ...] = ()


def parse(data: bytes) -> ProxyHeader | None:
    """Read the header that ``data`` begins with. ``None``: so far it may be one, but is not complete.

    Raises:
        MalformedFrame: it begins with no header; says why.
        FrameTooLarge: with one of more than :data:`MAX_HEADER` bytes, told from its first 16.
    """
    if data.startswith(SIGNATURE_V2):
        return _parse_v2(data)
    if data.startswith(SIGNATURE_V1):
        return _parse_v1(data)
    if SIGNATURE_V2.startswith(data) or SIGNATURE_V1.startswith(data):
        return None
    raise MalformedFrame(f"a PROXY header was expected, not {excerpt(data)}", hint="does the proxy send one?")


def format_v1(source: Address, destination: Address) -> bytes:
    """The header of version 1, a line of text. ``None`` for both: of a client that cannot be told (``UNKNOWN``).

    Raises:
        EncodeError: not two addresses of one IP version; version 1 knows no Unix sockets.
    """
    if source is None and destination is None:
        return b"PROXY UNKNOWN\r\n"
    family, (from_host, from_port), (to_host, to_port) = _inet_pair(source, destination)
    version = 4 if family == _INET else 6
    return f"PROXY TCP{version} {from_host} {to_host} {from_port} {to_port}\r\n".encode()


def format_v2(
    source: Address, destination: Address, *, tlvs: Iterable[tuple[int, bytes]] = (), checksum: bool = False
) -> bytes:
    """The header of version 2. ``None`` for both: the proxy speaks for itself (``LOCAL``).

    Args:
        source: The client's address.
        destination: The one it connected to.
        tlvs: Further facts, ``(type, value)``.
        checksum: Whether to add a CRC-32C of the header.

    Raises:
        EncodeError: not two addresses of one family, a Unix path above 108 bytes, or more than :data:`MAX_HEADER`.
    """
    facts = b"".join(_TLV.pack(kind, len(value)) + value for kind, value in tlvs)
    command, family, block = _PROXY, _UNIX, b""
    if source is None and destination is None:
        command, family = _LOCAL, _UNSPEC
    elif isinstance(source, str) and isinstance(destination, str):
        paths = fsencode(source), fsencode(destination)
        if max(map(len, paths)) > 108:
            raise EncodeError("a Unix path in a PROXY header has at most 108 bytes")
        block = _BLOCKS[_UNIX].pack(*paths)
    else:
        family, *pairs = _inet_pair(source, destination)
        (from_host, from_port), (to_host, to_port) = pairs
        block = _BLOCKS[family].pack(from_host.packed, to_host.packed, from_port, to_port)
    if checksum:
        facts += _TLV.pack(_CRC32C, 4) + bytes(4)
    size = len(block) + len(facts)
    if _FIXED.size + size > MAX_HEADER:
        raise EncodeError(f"a PROXY header has at most {MAX_HEADER} bytes, not {_FIXED.size + size}")
    protocol = _STREAM if family else 0
    header = _FIXED.pack(SIGNATURE_V2, command, family << 4 | protocol, size) + block + facts
    return header[:-4] + crc32c(header).to_bytes(4) if checksum else header


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli; RFC 9260, appendix A) of these bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _inet_pair(source: Address, destination: Address) -> tuple[int, tuple[_IPAddress, int], tuple[_IPAddress, int]]:
    """The family of two socket addresses, and both as address and port."""
    pair = []
    for address in (source, destination):
        try:
            host, port = address[:2]  # type: ignore[index, str-unpack]
            pair.append((ipaddress.ip_address(str(host).partition("%")[0]), int(port)))
        except (TypeError, ValueError):
            raise EncodeError(f"{address!r} is no address that a PROXY header could carry") from None
    if pair[0][0].version != pair[1][0].version:
        raise EncodeError(f"a PROXY header carries addresses of one family, not {source!r} and {destination!r}")
    return (_INET if pair[0][0].version == 4 else _INET6), pair[0], pair[1]


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _MAX_V1)
    if end < 0:
        if len(data) < _MAX_V1:
            return None
        raise FrameTooLarge(f"a PROXY header of version 1 has at most {_MAX_V1} bytes, with its line end")
    size = end + 2
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(1, size)
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise MalformedFrame(
            f"PROXY TCP4 or TCP6, two addresses and two ports were expected, not {excerpt(data[:end])}"
        )
    kind = ipaddress.IPv4Address if words[1] == b"TCP4" else ipaddress.IPv6Address
    hosts = [_read_host(word, kind) for word in words[2:4]]
    ports = [_read_port(word) for word in words[4:]]
    source, destination = (_socket_address(host, port) for host, port in zip(hosts, ports, strict=True))
    return ProxyHeader(1, size, source, destination)


def _read_host(word: bytes, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> _IPAddress:
    try:
        if b"%" not in word:
            return kind(word.decode("ascii"))
    except ValueError:
        pass
    raise MalformedFrame(f"PROXY header: {excerpt(word)} is no address of its family")


def _read_port(word: bytes) -> int:
    if word.isdigit() and len(word) <= 5 and (word == b"0" or not word.startswith(b"0")) and int(word) < 65536:
        return int(word)
    raise MalformedFrame(f"PROXY header: {excerpt(word)} is no port")


def _socket_address(host: _IPAddress, port: int) -> Address:
    return (str(host), port) if host.version == 4 else (str(host), port, 0, 0)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED.size:
        return None
    _, command, kind, length = _FIXED.unpack_from(data)
    family, protocol = kind >> 4, kind & 0x0F
    if command not in (_LOCAL, _PROXY):
        raise MalformedFrame(f"PROXY header: version and command 0x{command:02x} are unknown")
    if command == _PROXY and (family > _UNIX or protocol > _DATAGRAM):
        raise MalformedFrame(f"PROXY header: family and protocol 0x{kind:02x} are unknown")
    size = _FIXED.size + length
    if size > MAX_HEADER:
        raise announced_too_large(size, MAX_HEADER)
    if len(data) < size:
        return None
    if command == _LOCAL or not (family and protocol):
        return ProxyHeader(2, size)  # the block is to be ignored
    block = _BLOCKS[family]
    if length < block.size:
        raise MalformedFrame(f"PROXY header: {length} bytes are too few for its addresses, which take {block.size}")
    fields = block.unpack_from(data, _FIXED.size)
    source: Address
    destination: Address
    if family == _UNIX:
        source, destination = map(_unix_path, fields)
    else:
        make = ipaddress.IPv4Address if family == _INET else ipaddress.IPv6Address
        source = _socket_address(make(fields[0]), fields[2])
        destination = _socket_address(make(fields[1]), fields[3])
    return ProxyHeader(2, size, source, destination, _tlvs(data[:size], _FIXED.size + block.size))


def _unix_path(field: bytes) -> str:
    """A path up to its NUL, or an abstract name, which starts with one."""
    return fsdecode(field[:1] + field[1:].partition(b"\0")[0]).rstrip("\0")


def _tlvs(header: bytes, offset: int) -> tuple[tuple[int, bytes], ...]:
    found = []
    while offset < len(header):
        start = offset + _TLV.size
        kind, length = _TLV.unpack_from(header, offset) if start <= len(header) else (0, len(header))
        offset = start + length
        if offset > len(header):
            raise MalformedFrame("PROXY header: its last fact is longer than the header")
        value = header[start:offset]
        if kind == _CRC32C and (
            length != 4 or crc32c(header[:start] + bytes(4) + header[offset:]) != int.from_bytes(value)
        ):
            raise MalformedFrame("PROXY header: its checksum is wrong")
        found.append((kind, value))
    return tuple(found)
