from __future__ import annotations

import pytest

from aionet.codecs import FixedSizeCodec
from aionet.errors import ConfigError, EncodeError, IncompleteFrame
from aionet.testing import verify_codec


@pytest.mark.parametrize("size", [1, 2, 7, 600])
def test_contract(size: int) -> None:
    first, second = b"a" * size, b"b" * size
    verify_codec(FixedSizeCodec(size), [(first, [first]), (first + second, [first, second])], samples=20)


def test_a_record_cut_off_is_a_fault() -> None:
    codec = FixedSizeCodec(4)
    assert codec.feed(b"abcdef") == [b"abcd"]
    assert codec.buffered == 2
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)


def test_only_messages_of_the_size_are_encoded() -> None:
    codec = FixedSizeCodec(4)
    assert codec.size == codec.max_size == 4
    assert codec.encode(b"abcd") == b"abcd"
    for message in (b"", b"abc", b"abcde"):
        with pytest.raises(EncodeError, match="exactly 4 bytes"):
            codec.encode(message)


def test_size_is_checked() -> None:
    with pytest.raises(ConfigError, match="size must be a whole number of bytes, at least 1, not 0"):
        FixedSizeCodec(0)
