"""Messages behind a length, compiled or not."""

from __future__ import annotations

import sys
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aionet.codecs import LengthPrefixCodec
from aionet.codecs import length as module
from aionet.errors import EncodeError

from ..swapped import SWAPPED
from ..tools import in_ci

take_messages = module.take_messages  # type: ignore[attr-defined]

WIDTHS = st.sampled_from([1, 2, 4, 8])
ORDERS: st.SearchStrategy[Literal["big", "little"]] = st.sampled_from(["big", "little"])


def outcome(encode: Any, *args: Any) -> object:
    """What it returns, or the kind of what it raises."""
    try:
        return encode(*args)
    except EncodeError as exc:
        return type(exc)


@given(WIDTHS, ORDERS, st.booleans(), st.one_of(st.binary(max_size=12), st.binary(max_size=12).map(bytearray)))
def test_the_encoder_encodes_as_the_codec_does(width: int, order: Any, includes: bool, message: Any) -> None:
    codec = LengthPrefixCodec(width, order, 9, includes)
    assert outcome(codec.encoder(), message) == outcome(codec.encode, message)
    assert outcome(codec.encoder(), "text") is EncodeError


@given(WIDTHS, ORDERS, st.booleans(), st.lists(st.binary(max_size=20), max_size=9), st.binary(max_size=12))
@example(1, "big", False, [], b"")
@example(8, "big", False, [b"x"], b"\xff" * 8)
@example(8, "little", True, [b"x"], bytes(8))
def test_chunks_are_taken_apart_as_in_python(
    width: int, order: Any, includes: bool, messages: list[bytes], rest: bytes
) -> None:
    """A memoryview, and what is given in pieces, goes the other way: both must agree, with garbage behind as well."""
    codec, plain = (LengthPrefixCodec(width, order, 15, includes) for _ in range(2))
    data = b"".join(LengthPrefixCodec(width, order, 20, includes).encode(message) for message in messages) + rest
    found = codec.feed(data)
    assert found == [bytes(message) for message in plain.feed(bytearray(data))]  # type: ignore[arg-type]
    assert (codec.buffered, type(codec.fault), str(codec.fault)) == (
        plain.buffered,
        type(plain.fault),
        str(plain.fault),
    )


def test_a_codec_of_ones_own_is_asked_itself() -> None:
    class Loud(LengthPrefixCodec):
        def encode(self, message: bytes) -> bytes:
            return super().encode(message.upper())

    assert Loud(1).encoder()(b"hello") == b"\x05HELLO"


def test_one_encoder_serves_all_that_frame_alike() -> None:
    encoders = [
        LengthPrefixCodec(2).encoder(),
        LengthPrefixCodec(2).encoder(),
        LengthPrefixCodec(2, "little").encoder(),
    ]
    if not SWAPPED and take_messages is not None:
        assert encoders[0] is encoders[1]
    assert encoders[0](b"x") == b"\0\1x"
    assert encoders[2](b"x") == b"\1\0x"
    with pytest.raises(EncodeError, match="65536 bytes"):
        encoders[0](bytes(65_536))


def test_it_is_compiled_where_all_is_tested() -> None:
    if SWAPPED:
        assert take_messages is None
    elif in_ci() and sys.platform == "linux":
        assert take_messages is not None
