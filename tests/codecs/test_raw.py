from __future__ import annotations

from typing import Any, cast

import pytest

from aionet.codecs import RawCodec
from aionet.errors import EncodeError
from aionet.testing import verify_codec


def test_contract() -> None:
    verify_codec(RawCodec(), [(b"abc", [b"abc"]), (b"\0" * 600, [b"\0" * 600])], eof_ok=True, normalise=b"".join)


def test_a_chunk_is_a_message_and_nothing_is_none() -> None:
    codec = RawCodec()
    assert codec.feed(b"one\ntwo") == [b"one\ntwo"]
    assert codec.feed(b"") == []
    assert codec.feed_eof() == []
    assert codec.buffered == 0
    assert codec.fault is None


def test_all_of_a_stream_is_a_body_unless_somebody_wants_to_see_it() -> None:
    class Upper(RawCodec):
        def feed(self, data: bytes) -> list[bytes]:
            return [data.upper()]

    class Named(RawCodec):
        name = "named"

    assert RawCodec().body_left == Named().body_left > 1 << 40
    assert Upper().body_left == 0


def test_bytes_are_passed_on_and_buffers_copied() -> None:
    codec = RawCodec()
    data = b"data"
    assert codec.encode(data) is data
    buffer = bytearray(data)
    encoded = [codec.encode(cast("Any", buffer)), codec.encode(cast("Any", memoryview(buffer)))]
    buffer[:] = b"else"
    assert encoded == [b"data", b"data"]


@pytest.mark.parametrize("message", ["text", 5, None, [1, 2]])
def test_only_bytes_can_be_encoded(message: Any) -> None:
    with pytest.raises(EncodeError, match=f"must be bytes, not {type(message).__name__}"):
        RawCodec().encode(message)
