from __future__ import annotations

import struct
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.codecs.proxy_header import (
    MAX_HEADER,
    SIGNATURE_V1,
    SIGNATURE_V2,
    ProxyHeader,
    crc32c,
    format_v1,
    format_v2,
    parse,
)
from aionet.errors import EncodeError, FrameTooLarge, MalformedFrame, ProtocolError
from aionet.events import Address

V4: Final = ("192.0.2.1", 56324)
V4_TO: Final = ("198.51.100.2", 443)
V6: Final = ("2001:db8::1", 56324, 0, 0)
V6_TO: Final = ("2001:db8::2", 443, 0, 0)
PAIRS: Final[list[tuple[Address, Address]]] = [
    (V4, V4_TO),
    (V6, V6_TO),
    ("/run/client.sock", "/run/server.sock"),
    (None, None),
]


def v2(command: int, kind: int, block: bytes) -> bytes:
    return SIGNATURE_V2 + struct.pack("!BBH", command, kind, len(block)) + block


def test_the_line_of_version_1() -> None:
    line = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
    assert format_v1(V4, V4_TO) == line
    assert parse(line + b"GET /") == ProxyHeader(1, len(line), V4, V4_TO)
    assert format_v1(V6, V6_TO) == b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
    assert parse(format_v1(V6, V6_TO)) == ProxyHeader(1, 46, V6, V6_TO)
    assert format_v1(None, None) == b"PROXY UNKNOWN\r\n"
    assert parse(b"PROXY UNKNOWN ffff::1 whatever it is 1 2\r\n") == ProxyHeader(1, 42)


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_version_2_there_and_back(source: Address, destination: Address) -> None:
    header = format_v2(source, destination)
    assert parse(header + b"rest") == ProxyHeader(2, len(header), source, destination)


def test_version_2_by_hand() -> None:
    block = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56324, 443)
    assert format_v2(V4, V4_TO) == v2(0x21, 0x11, block)
    assert parse(v2(0x21, 0x12, block)) == ProxyHeader(2, 28, V4, V4_TO)  # a datagram's addresses are no other
    for unknown in (v2(0x21, 0x00, block), v2(0x21, 0x10, block), v2(0x20, 0xFF, b"junk"), v2(0x20, 0, b"")):
        assert parse(unknown) == ProxyHeader(2, len(unknown))
    names = b"\0abstract".ljust(108, b"\0") + b"/run/x".ljust(108, b"\0")
    assert parse(v2(0x21, 0x31, names)) == ProxyHeader(2, 232, "\0abstract", "/run/x")
    assert parse(v2(0x21, 0x31, bytes(216))) == ProxyHeader(2, 232, "", "")


def test_facts_and_their_checksum() -> None:
    facts = ((0x01, b"h2"), (0x02, b"example.com"), (0xE0, b""))
    header = format_v2(V6, V6_TO, tlvs=facts, checksum=True)
    parsed = parse(header)
    assert parsed is not None
    assert parsed.tlvs[:-1] == facts
    assert parsed.tlvs[-1][0] == 0x03
    for index in range(16, len(header)):
        damaged = bytearray(header)
        damaged[index] ^= 0x01
        if index < len(header) - 7:  # the checksum's own type, once damaged, makes it another fact
            with pytest.raises(MalformedFrame):
                parse(bytes(damaged))


def test_the_checksum_is_castagnoli_s() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


@pytest.mark.parametrize(
    ("data", "kind", "why"),
    [
        (b"GET / HTTP/1.1\r\n", MalformedFrame, "was expected, not b'GET"),
        (b"PROXY\t", MalformedFrame, "was expected"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", MalformedFrame, "two ports"),
        (b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", MalformedFrame, "TCP4 or TCP6"),
        (b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", MalformedFrame, "two addresses"),
        (b"PROXY TCP4 192.0.2.1 2001:db8::1 1 2\r\n", MalformedFrame, "b'2001:db8::1' is no address"),
        (b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", MalformedFrame, "is no address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", MalformedFrame, "is no address"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", MalformedFrame, "b'65536' is no port"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", MalformedFrame, "b'01' is no port"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 +2\r\n", MalformedFrame, "is no port"),
        (b"PROXY UNKNOWN " + b"x" * 93, FrameTooLarge, "at most 107"),
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", FrameTooLarge, "at most 107"),
        (v2(0x11, 0x11, bytes(12)), MalformedFrame, "0x11 are unknown"),
        (v2(0x22, 0x11, bytes(12)), MalformedFrame, "0x22 are unknown"),
        (v2(0x21, 0x41, bytes(12)), MalformedFrame, "0x41 are unknown"),
        (v2(0x21, 0x13, bytes(12)), MalformedFrame, "0x13 are unknown"),
        (v2(0x21, 0x11, bytes(11)), MalformedFrame, "too few"),
        (v2(0x21, 0x11, bytes(12) + b"\x01\x00"), MalformedFrame, "last fact"),
        (v2(0x21, 0x11, bytes(12) + b"\x01\x00\x02a"), MalformedFrame, "last fact"),
        (v2(0x21, 0x11, bytes(12) + b"\x03\x00\x02ab"), MalformedFrame, "checksum"),
        (SIGNATURE_V2 + b"\x21\x11" + struct.pack("!H", MAX_HEADER - 15), FrameTooLarge, "4097 bytes"),
        (SIGNATURE_V2 + b"\x21\x11\xff\xff", FrameTooLarge, "65551 bytes"),
    ],
)
def test_what_is_refused(data: bytes, kind: type[ProtocolError], why: str) -> None:
    with pytest.raises(kind, match=why):
        parse(data)


def test_what_cannot_be_told() -> None:
    pairs: list[tuple[Address, Address]] = [(V4, V6_TO), (V4, None), ("/run/x", V4), (("localhost", 1), V4_TO)]
    for source, destination in pairs:
        for write in (format_v1, format_v2):
            with pytest.raises(EncodeError):
                write(source, destination)
    with pytest.raises(EncodeError, match="no address"):
        format_v1("/run/x", "/run/y")
    with pytest.raises(EncodeError, match="108 bytes"):
        format_v2("x" * 109, "y")
    with pytest.raises(EncodeError, match="at most 4096"):
        format_v2(V4, V4_TO, tlvs=[(0xE0, bytes(4080))])


def test_a_scope_is_left_out() -> None:
    """It means something on one machine only."""
    assert format_v1(("fe80::1%eth0", 1, 0, 2), ("fe80::2%eth0", 2, 0, 2)) == b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"


headers = st.one_of(
    *(st.just(write(*pair)) for pair in (PAIRS[0], PAIRS[1], PAIRS[3]) for write in (format_v1, format_v2)),
    st.just(format_v2(V4, V4_TO, tlvs=[(0xE1, b"value")], checksum=True)),
)
anything = st.one_of(
    st.binary(max_size=64),
    st.binary(max_size=120).map(SIGNATURE_V1.__add__),
    st.binary(max_size=300).map(SIGNATURE_V2.__add__),
    st.binary(max_size=300).map((SIGNATURE_V2 + b"\x21\x11\x00\x40").__add__),
)


def outcome(data: bytes) -> object:
    try:
        return parse(data)
    except ProtocolError as fault:
        return type(fault)


@given(headers, st.binary(max_size=20))
def test_incomplete_until_its_last_byte_and_blind_to_what_follows(header: bytes, rest: bytes) -> None:
    assert all(parse(header[:cut]) is None for cut in range(len(header)))
    assert parse(header + rest) == parse(header)


@given(anything)
def test_a_decision_once_made_stays(data: bytes) -> None:
    outcomes = [outcome(data[:cut]) for cut in range(len(data) + 1)]
    decided = [found for found in outcomes if found is not None]
    assert outcomes == [None] * (len(outcomes) - len(decided)) + decided
    assert len(set(decided)) <= 1
