"""The contract's own code: what a codec does when nothing is overridden."""

from __future__ import annotations

import pytest

from aionet.codec import Codec
from aionet.errors import IncompleteFrame


class Pairs(Codec[bytes]):
    """Two bytes a message: what a user writes, ``feed`` and ``encode`` alone."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        data = self.rest + data
        whole = len(data) // 2 * 2
        self.rest = data[whole:]
        return [data[at : at + 2] for at in range(0, whole, 2)]

    def encode(self, message: bytes) -> bytes:
        return message

    @property
    def buffered(self) -> int:
        return len(self.rest)


def test_defaults_of_a_codec() -> None:
    codec = Pairs()
    assert codec.max_size == 65536
    assert codec.fault is None
    assert not codec.replies
    assert not codec.batches
    assert codec.data_to_send() == b""
    assert codec.encoding_key() is None
    assert codec.encode_batch([b"ab", b"cd"]) == b"abcd"
    assert Codec[bytes]().buffered == 0
    assert codec.body_left == 0
    codec.skip_body(0)
    with pytest.raises(NotImplementedError):
        Codec[bytes]().feed(b"")
    with pytest.raises(NotImplementedError):
        Codec[bytes]().encode(b"")


def test_bytes_left_over_at_the_end_are_a_fault() -> None:
    codec = Pairs()
    assert codec.feed(b"abc") == [b"ab"]
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)
    assert str(codec.fault) == "the stream ended inside a message, 1 bytes into it"


def test_an_end_between_messages_is_none() -> None:
    codec = Pairs()
    codec.feed(b"ab")
    assert codec.feed_eof() == []
    assert codec.fault is None


def test_a_clone_is_fresh_and_separate() -> None:
    codec = Pairs()
    codec.max_size = 7
    clone = codec.clone()
    clone.feed(b"a")
    assert clone.max_size == 7
    assert codec.buffered == 0
