"""Lines encoded many at once, compiled or not."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aionet.codecs import LineCodec
from aionet.codecs.line import join_lines  # type: ignore[attr-defined]
from aionet.errors import EncodeError

from ..swapped import SWAPPED
from ..tools import in_ci


class Bytes(bytes):
    """Bytes of a kind of one's own."""


def outcome(encode: Any, *args: Any) -> object:
    """What it returns, or the kind of what it raises."""
    try:
        return encode(*args)
    except (EncodeError, TypeError) as exc:
        return type(exc)


@given(
    st.lists(st.one_of(st.binary(max_size=9), st.binary(max_size=3).map(bytearray), st.binary(max_size=3).map(Bytes))),
    st.sampled_from([b"\n", b"\0", b"\xff", b"aa", b"\r\n"]),
)
@example([b"12345678"], b"\n")
@example([b"123456789"], b"\n")
@example([b"", b"\n"], b"\n")
@example([b"a", "text"], b"\n")
@example([b"a", 7], b"\0")
@example([b"xa", b"ax"], b"aa")
@example([], b"\n")
def test_a_batch_is_what_its_messages_are_one_by_one(messages: list[Any], delimiter: bytes) -> None:
    codec = LineCodec(8, delimiter)
    one_by_one = outcome(lambda: b"".join(map(codec.encode, messages)))
    assert outcome(codec.encode_batch, messages) == one_by_one
    for message in messages:
        assert outcome(codec.encoder(), message) == outcome(codec.encode, message)


def test_a_codec_of_ones_own_is_asked_itself() -> None:
    class Loud(LineCodec):
        def encode(self, message: bytes) -> bytes:
            return super().encode(message.upper())

    assert Loud().encoder()(b"hello") == b"HELLO\n"
    assert LineCodec(delimiter=b"--").encoder()(b"hello") == b"hello--"


def test_one_encoder_serves_all_whose_lines_are_alike() -> None:
    encoders = [LineCodec(8).encoder(), LineCodec(8).encoder(), LineCodec(8, b"\0").encoder()]
    if join_lines is not None:
        assert encoders[0] is encoders[1]
    assert encoders[0](b"x") != encoders[2](b"x")
    with pytest.raises(EncodeError, match="9 bytes"):
        encoders[0](b"x" * 9)


def test_it_is_compiled_where_all_is_tested() -> None:
    if SWAPPED:
        assert join_lines is None
    elif in_ci() and sys.platform == "linux":
        assert join_lines is not None
