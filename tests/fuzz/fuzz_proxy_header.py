"""PROXY headers: read the same whatever follows, never before their end, and written anew they name the same."""

from __future__ import annotations

from typing import Final

from aionet.codecs.proxy_header import MAX_HEADER, SIGNATURE_V1, SIGNATURE_V2, ProxyHeader, format_v1, format_v2, parse
from aionet.errors import ProtocolError

_INET: Final = (("192.0.2.9", 4711), ("192.0.2.1", 443))
_INET6: Final = (("2001:db8::9", 4711, 0, 0), ("2001:db8::1", 443, 0, 0))

SEEDS: Final = (
    format_v1(*_INET) + b"hello",
    format_v1(*_INET6),
    format_v1(None, None),
    b"PROXY UNKNOWN ffff::1 ::2 3 4\r\n",
    format_v2(*_INET) + b"hello",
    format_v2(*_INET6, tlvs=[(0x02, b"example.com"), (0x20, b"\x01" + bytes(8))], checksum=True),
    format_v2("/run/a", "\0b"),
    format_v2(None, None),
    SIGNATURE_V2 + b"\x21\x00\x00\x00",
    SIGNATURE_V2 + b"\x21\x11\xff\xff",
)


def check(data: bytes) -> None:
    try:
        header = parse(data)
    except ProtocolError:
        header = None
        # What is wrong with it stays wrong, whatever follows.
        assert _outcome(data + b"x") is ProtocolError
    if header is None:
        if len(data) >= MAX_HEADER:
            assert _outcome(data) is ProtocolError
        return
    assert 0 < header.size <= min(len(data), MAX_HEADER)
    assert parse(data[: header.size]) == parse(data + b"\r\n") == header
    for end in {0, 1, 5, 12, 15, 16, header.size // 2, header.size - 1}:
        if end < header.size:
            assert parse(data[:end]) is None
    if header.source is not None:
        _says_what_it_names(data[: header.size], header)


def _outcome(data: bytes) -> object:
    try:
        return parse(data)
    except ProtocolError:
        return ProtocolError


def _says_what_it_names(data: bytes, header: ProxyHeader) -> None:
    """Written anew it names the same."""
    made = format_v1 if data.startswith(SIGNATURE_V1) else format_v2
    again = parse(made(header.source, header.destination))
    assert again is not None
    assert (again.source, again.destination) == (header.source, header.destination)
