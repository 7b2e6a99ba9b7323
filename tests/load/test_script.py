from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import JsonCodec, LengthPrefixCodec, LineCodec, RawCodec
from aionet.errors import ConfigError
from aionet.load.script import CHUNK, RING_BYTES, Script, generated_messages


@given(st.integers(1, 3000))
def test_generated_messages_have_their_size_and_differ(size: int) -> None:
    messages = generated_messages(size, RawCodec())
    assert {len(message) for message in messages} == {size}
    assert len(set(messages)) == len(messages) >= min(10, RING_BYTES // size)
    assert all(message.isalnum() for message in messages)


def test_large_ones_stay_within_bounds() -> None:
    assert len(generated_messages(RING_BYTES, RawCodec())) == 1
    assert sum(map(len, generated_messages(100_000, RawCodec()))) <= RING_BYTES


def test_for_json_they_are_text() -> None:
    messages = generated_messages(20, JsonCodec())
    assert messages[1] == "000001abcdefghijklmn"
    script = Script(messages, messages, JsonCodec)
    assert script.request_size == 23  # quotes and line end
    assert script.framed


def test_a_ring_goes_on_behind_its_end() -> None:
    script = Script((b"one", b"two"), (b"1", b"2"))
    assert script.requests(3) == b"onetwoonetwoone"
    replies = script.raw_replies()
    assert replies.startswith(b"121212")
    assert len(replies) >= 2 + CHUNK


@pytest.mark.parametrize("codec", [LineCodec, LengthPrefixCodec])
def test_a_framed_script_has_messages_for_replies(codec: type[LineCodec]) -> None:
    script = Script((b"one", b"two"), (b"1", b"2"), codec)
    assert script.framed_replies()[:4] == [b"1", b"2", b"1", b"2"]
    assert script.requests(0) == codec().encode(b"one") + codec().encode(b"two")


@pytest.mark.parametrize(
    ("messages", "replies"),
    [
        ((), ()),
        ((b"a",), ()),
        ((b"a", b"bb"), (b"x", b"y")),
        ((b"a", b"b"), (b"x", b"yy")),
        ((b"",), (b"x",)),
        ((b"x",), (b"",)),
    ],
)
def test_what_cannot_be_told_apart_is_refused(messages: tuple[bytes, ...], replies: tuple[bytes, ...]) -> None:
    with pytest.raises(ConfigError):
        Script(messages, replies)


def test_no_bytes_are_no_message() -> None:
    with pytest.raises(ConfigError, match="at least 1 byte"):
        generated_messages(0, RawCodec())
