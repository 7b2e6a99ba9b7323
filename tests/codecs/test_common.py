from __future__ import annotations

import pytest

from aionet.codecs._common import announced_too_large, excerpt, refused_too_large, to_bytes, whole_number
from aionet.errors import ConfigError, EncodeError


def test_text_gets_a_hint() -> None:
    with pytest.raises(EncodeError, match="must be bytes, not str") as caught:
        to_bytes("text")
    assert caught.value.hint == "encode text first: message.encode()"


def test_a_copy_is_independent() -> None:
    buffer = bytearray(b"abc")
    copy = to_bytes(memoryview(buffer)[::2])
    buffer[0] = 0
    assert copy == b"ac"


def test_an_excerpt_is_escaped_and_cut() -> None:
    assert excerpt(b"\x1b[0m\xff\n") == "b'\\x1b[0m\\xff\\n'"
    assert excerpt(bytearray(b"x" * 32)) == "b'" + "x" * 32 + "'"
    assert excerpt(b"x" * 33) == "b'" + "x" * 32 + "'..."


def test_numbers() -> None:
    assert whole_number("size", 0, least=0) == 0
    with pytest.raises(ConfigError, match="size must be a whole number of bytes, at least 1, not 0"):
        whole_number("size", 0)


def test_both_sides_say_size_and_limit() -> None:
    for error in (announced_too_large(7, 5), refused_too_large(7, 5)):
        assert "7 bytes" in str(error)
        assert "at most 5" in str(error)
        assert error.hint
