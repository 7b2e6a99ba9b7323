from __future__ import annotations

from typing import Any, SupportsIndex

import pytest

from aionet.codecs import LineCodec
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, IncompleteFrame
from aionet.testing import verify_codec


def test_contract() -> None:
    pairs = [
        (b"a\n", [b"a"]),
        (b"\n", [b""]),
        (b"ab\r\n", [b"ab"]),
        (b"0123456789\r\n", [b"0123456789"]),
        (b"\r\r\n\n\rx\n", [b"\r", b"", b"\rx"]),
    ]
    with pytest.raises(AssertionError, match="encode"):  # a CR at the end of a message is lost, as documented
        verify_codec(LineCodec(10), pairs)
    verify_codec(LineCodec(10), pairs, encodes=False, oversize=b"x" * 11, garbage=[b"\r" * 30, b"x" * 10 + b"\r"])
    verify_codec(LineCodec(10), pairs[:-1], oversize=b"0123456789\rx")


@pytest.mark.parametrize("delimiter", [b"\r\n", b"\0", b"aab", b"aa", b"--boundary--"])
def test_contract_with_other_delimiters(delimiter: bytes) -> None:
    pairs = [(message + delimiter, [message]) for message in (b"", b"x", b"\n", b"b-a-b", b"b" * 12)]
    garbage = [delimiter[:-1] * 20, b"x" + delimiter[:1] * 30]
    verify_codec(LineCodec(12, delimiter), pairs, oversize=b"b" * 12 + delimiter[:-1] + b"?", garbage=garbage)


def test_cr_can_be_kept() -> None:
    codec = LineCodec(3, keep_cr=True)
    verify_codec(codec, [(b"a\r\n", [b"a\r"]), (b"\r\r\r\n", [b"\r\r\r"])], oversize=b"abc\r")
    assert "keep_cr=True" in repr(codec)


def test_the_last_line_without_a_delimiter() -> None:
    strict = LineCodec()
    assert strict.feed(b"one\nhi") == [b"one"]
    assert strict.buffered == 2
    assert strict.feed_eof() == []
    assert isinstance(strict.fault, IncompleteFrame)
    assert "2 bytes into it" in str(strict.fault)
    assert strict.buffered == 0

    lenient = LineCodec(eof_ends_line=True)
    verify_codec(lenient, [(b"one\n", [b"one"])], eof_ok=True)
    assert lenient.feed(b"one\nhi") == [b"one"]
    assert lenient.feed_eof() == [b"hi"]
    assert lenient.fault is None
    assert lenient.buffered == 0
    assert LineCodec(eof_ends_line=True).feed_eof() == []


@pytest.mark.parametrize(("delimiter", "excess"), [(b"\n", b"\r"), (b"END", b"EN")])
def test_a_last_line_is_within_the_limit_too(delimiter: bytes, excess: bytes) -> None:
    codec = LineCodec(3, delimiter, eof_ends_line=True)
    assert codec.feed(b"abc" + excess) == []
    assert codec.fault is None
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, FrameTooLarge)


def test_a_fault_shows_sizes_and_only_a_little_of_the_peers_bytes() -> None:
    codec = LineCodec(100)
    assert codec.feed(b"good\n" + b"\x1b[2J" * 1000 + b"\nlater\n") == [b"good"]
    text = str(codec.fault)
    assert text.startswith("a line of more than 100 bytes (4000 seen) that begins b'\\x1b[2J")
    assert len(text) < 200
    assert "\x1b" not in text


def test_an_endless_line_is_refused_with_the_first_byte_too_many() -> None:
    codec = LineCodec(4)
    for _ in range(4):
        assert codec.feed(b"x") == []
    assert codec.fault is None
    codec.feed(b"x")
    assert isinstance(codec.fault, FrameTooLarge)


class CountingBuffer(bytearray):
    """Counts the buffered bytes that anybody looks at again."""

    looked_at = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        self.looked_at += len(part) if isinstance(part, bytearray) else 1
        return part

    def __contains__(self, item: Any) -> bool:
        self.looked_at += len(self)
        return super().__contains__(item)

    def find(
        self,
        sub: Any,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
        /,
    ) -> int:
        self.looked_at += len(self)
        return super().find(sub, start, end)

    def split(self, sep: Any = None, maxsplit: SupportsIndex = -1) -> list[bytearray]:
        self.looked_at += len(self)
        return super().split(sep, maxsplit)


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"<end>"])
def test_a_drip_of_bytes_is_not_searched_again_and_again(delimiter: bytes) -> None:
    codec = LineCodec(1 << 20, delimiter)
    codec.feed(b"x")
    buffer = CountingBuffer(b"x")
    codec._pending = buffer
    for _ in range(20_000):
        assert codec.feed(b"x") == []
    assert codec.buffered == 20_001
    assert buffer.looked_at <= 20_000 * (len(delimiter) - 1)
    assert codec.feed(delimiter) == [b"x" * 20_001]


@pytest.mark.parametrize(
    ("delimiter", "message"), [(b"\n", b"two\nlines"), (b"aa", b"xa"), (b"--", b"a--b"), (b"--", b"a-")]
)
def test_a_message_that_would_be_read_as_another_is_not_encoded(delimiter: bytes, message: bytes) -> None:
    with pytest.raises(EncodeError, match="must not contain the delimiter") as caught:
        LineCodec(delimiter=delimiter).encode(message)
    assert caught.value.hint


def test_a_message_too_large_is_not_encoded() -> None:
    codec = LineCodec(3)
    assert codec.encode(b"abc") == b"abc\n"
    with pytest.raises(EncodeError, match="4 bytes cannot be encoded, at most 3"):
        codec.encode(b"abcd")


@pytest.mark.parametrize("delimiter", [b"", "\n", None, bytearray(b"\n")])
def test_delimiter_is_checked(delimiter: Any) -> None:
    with pytest.raises(ConfigError, match="delimiter must be at least one byte"):
        LineCodec(delimiter=delimiter)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1", None])
def test_max_size_is_checked(size: Any) -> None:
    with pytest.raises(ConfigError, match="max_size must be a whole number"):
        LineCodec(size)
