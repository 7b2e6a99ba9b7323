from __future__ import annotations

from typing import Any, Literal

import pytest

from aionet.codecs import LengthPrefixCodec
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, IncompleteFrame, MalformedFrame
from aionet.testing import verify_codec

ORDERS: list[Literal["big", "little"]] = ["big", "little"]


@pytest.mark.parametrize("includes_header", [False, True])
@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_contract(width: int, byteorder: Literal["big", "little"], includes_header: bool) -> None:
    def length(size: int) -> bytes:
        return (size + width * includes_header).to_bytes(width, byteorder)

    codec = LengthPrefixCodec(width, byteorder, 100, includes_header)
    pairs = [(length(len(message)) + message, [message]) for message in (b"", b"\0", b"abc", b"x" * 100)]
    verify_codec(codec, pairs, oversize=length(101), garbage=[b"\0" * 9, b"\xff" * 9], samples=30)
    assert [codec.encode(message) for (message,) in (messages for _, messages in pairs)] == [wire for wire, _ in pairs]


def test_a_length_that_does_not_count_itself_is_malformed() -> None:
    codec = LengthPrefixCodec(4, includes_header=True)
    assert codec.feed(b"\0\0\0\5x" + b"\0\0\0\3" + b"\0\0\0\5y") == [b"x"]
    assert isinstance(codec.fault, MalformedFrame)
    assert "a length of 3" in str(codec.fault)
    assert "at least 4" in str(codec.fault)


def test_the_limit_holds_before_anything_is_buffered() -> None:
    codec = LengthPrefixCodec(max_size=1000)
    assert codec.feed((1001).to_bytes(4, "big")) == []
    assert isinstance(codec.fault, FrameTooLarge)
    assert str(codec.fault) == "a message of 1001 bytes was announced, at most 1000 are allowed"
    assert codec.buffered == 0


def test_max_size_is_lowered_to_what_the_width_can_say() -> None:
    assert LengthPrefixCodec(1).max_size == 255
    assert LengthPrefixCodec(1, includes_header=True).max_size == 254
    assert LengthPrefixCodec(2).max_size == 65535
    codec = LengthPrefixCodec(1, includes_header=True)
    assert codec.encode(b"x" * 254)[0] == 255
    with pytest.raises(EncodeError, match="255 bytes cannot be encoded, at most 254"):
        codec.encode(b"x" * 255)


def test_a_large_message_in_small_chunks() -> None:
    codec = LengthPrefixCodec()
    message = bytes(range(256)) * 4096
    wire = codec.encode(message) + b"\0\0"
    messages = [each for start in range(0, len(wire), 1000) for each in codec.feed(wire[start : start + 1000])]
    assert messages == [message]
    assert codec.buffered == 2
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)


def test_what_waits_does_not_keep_the_chunk_alive_or_cost_more_than_its_bytes() -> None:
    codec = LengthPrefixCodec()
    codec.feed(b"\0\0\1\0" + b"x")
    for _ in range(200):
        codec.feed(b"y")
    assert isinstance(codec._pending, bytearray)  # not a list of 200 chunks
    assert codec.buffered == 205


def test_settings_can_be_read() -> None:
    codec = LengthPrefixCodec(2, "little", 99, True)
    assert (codec.width, codec.byteorder, codec.max_size, codec.includes_header) == (2, "little", 99, True)
    assert repr(codec) == "LengthPrefixCodec(width=2, byteorder='little', max_size=99, includes_header=True)"


@pytest.mark.parametrize("width", [0, 3, 16, "4", None])
def test_width_is_checked(width: Any) -> None:
    with pytest.raises(ConfigError, match="width must be 1, 2, 4 or 8"):
        LengthPrefixCodec(width)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"byteorder": "network"}, "'big' or 'little'"), ({"max_size": 0}, "at least 1")]
)
def test_other_settings_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LengthPrefixCodec(**arguments)
