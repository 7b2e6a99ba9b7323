from __future__ import annotations

import pytest

from aionet.codecs import NetstringCodec
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, MalformedFrame, ProtocolError
from aionet.testing import verify_codec


def test_contract() -> None:
    pairs = [
        (b"0:,", [b""]),
        (b"1:,,", [b","]),
        (b"5:1:a,x,", [b"1:a,x"]),
        (b"12:hello world!,", [b"hello world!"]),
    ]
    garbage = [b"05:hello,", b"5 :hello", b"5:hello;", b"-1:", b":", b"1_0:", b"9" * 50, b"0" * 50, b"\n", b"+1:a,"]
    codec = NetstringCodec(12)
    verify_codec(codec, pairs, oversize=b"13:", garbage=garbage)
    verify_codec(codec, pairs, oversize=b"100")
    assert [codec.encode(messages[0]) for _, messages in pairs] == [wire for wire, _ in pairs]


@pytest.mark.parametrize(
    ("wire", "kind", "why"),
    [
        (b"05:", MalformedFrame, "leading zeros: b'05'"),
        (b"00", MalformedFrame, "leading zeros"),
        (b":", MalformedFrame, "starts with its length"),
        (b"+1:a,", MalformedFrame, "starts with its length in digits and ':', not b'+1'"),
        (b"GET", MalformedFrame, "not b'GET'"),
        (b"1:a;", MalformedFrame, "ends with ',', not b';'"),
        (b"13:", FrameTooLarge, "13 bytes was announced, at most 12"),
        (b"123", FrameTooLarge, "more than 2 digits, at most 12 bytes"),
    ],
)
def test_what_is_refused(wire: bytes, kind: type[ProtocolError], why: str) -> None:
    codec = NetstringCodec(12)
    assert codec.feed(b"2:ok," + wire) == [b"ok"]
    assert type(codec.fault) is kind
    assert why in str(codec.fault)
    assert codec.buffered == 0


def test_a_missing_comma_is_found_across_chunks() -> None:
    codec = NetstringCodec(12)
    assert [codec.feed(b"2:a"), codec.feed(b"b"), codec.feed(b";1:c,")] == [[], [], []]
    assert isinstance(codec.fault, MalformedFrame)
    assert codec.feed(b"1:c,") == []


def test_what_cannot_be_encoded_or_configured() -> None:
    with pytest.raises(EncodeError, match="at most 5"):
        NetstringCodec(5).encode(b"123456")
    with pytest.raises(ConfigError, match="max_size"):
        NetstringCodec(0)
