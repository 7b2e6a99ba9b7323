from __future__ import annotations

import pytest

from aionet.codecs import VarintCodec
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, MalformedFrame, ProtocolError
from aionet.testing import verify_codec


def test_contract() -> None:
    pairs = [
        (b"\x00", [b""]),
        (b"\x01a", [b"a"]),
        (b"\x7f" + b"x" * 127, [b"x" * 127]),
        (b"\x80\x01" + b"x" * 128, [b"x" * 128]),
        (b"\xac\x02" + b"y" * 300, [b"y" * 300]),
    ]
    codec = VarintCodec(300)
    verify_codec(codec, pairs, oversize=b"\xad\x02", garbage=[b"\xff" * 20, b"\x80" * 20, b"\x80\x00"])
    assert [codec.encode(messages[0]) for _, messages in pairs] == [wire for wire, _ in pairs]


@pytest.mark.parametrize(
    ("header", "kind", "why"),
    [
        (b"\x80\x00", MalformedFrame, "shortest form: b'\\x80\\x00'"),
        (b"\x81\x80\x00", MalformedFrame, "shortest form"),
        (b"\xff" * 9 + b"\x02", MalformedFrame, "64 bits"),
        (b"\x80" * 10, MalformedFrame, "does not end after 10 bytes"),
        (b"\xff" * 9 + b"\x01", FrameTooLarge, f"{2**64 - 1} bytes"),
        (b"\x81\x80\x40", FrameTooLarge, "1048577 bytes was announced, at most 1048576"),
    ],
)
def test_lengths_that_are_refused(header: bytes, kind: type[ProtocolError], why: str) -> None:
    codec = VarintCodec()
    assert codec.feed(b"\x02ok" + header + b"\x02no") == [b"ok"]
    assert type(codec.fault) is kind
    assert why in str(codec.fault)
    assert codec.buffered == 0


def test_the_longest_lengths_that_are_taken() -> None:
    codec = VarintCodec(2**64)
    assert codec.feed(b"\xff" * 9 + b"\x01" + b"x") == []
    assert codec.fault is None
    assert codec.buffered == 11


def test_what_cannot_be_encoded_or_configured() -> None:
    with pytest.raises(EncodeError, match="at most 5"):
        VarintCodec(5).encode(b"123456")
    with pytest.raises(ConfigError, match="max_size"):
        VarintCodec(0)
