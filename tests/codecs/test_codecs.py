"""What holds for every codec: properties over any messages, bytes and cuts, and what a codec may cost."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aionet.codecs
from aionet.codec import Codec
from aionet.codecs import (
    FixedSizeCodec,
    JsonCodec,
    LengthPrefixCodec,
    LineCodec,
    NetstringCodec,
    RawCodec,
    VarintCodec,
)
from aionet.errors import EncodeError, ProtocolError
from aionet.testing import verify_codec

binary = st.binary(max_size=300)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def lines(delimiter: bytes) -> st.SearchStrategy[bytes]:
    near = st.lists(st.sampled_from([delimiter[:1], delimiter[-1:], b"x"]), max_size=8).map(b"".join)
    return (near | binary).filter(lambda message: (message + delimiter).find(delimiter) == len(message))


MESSAGE_CODECS: list[tuple[Codec[Any], st.SearchStrategy[Any]]] = [
    (LineCodec(300), lines(b"\n").filter(lambda line: not line.endswith(b"\r"))),
    (LineCodec(300, keep_cr=True), lines(b"\n")),
    (LineCodec(300, b"\r\n"), lines(b"\r\n")),
    (LineCodec(300, b"abab"), lines(b"abab")),
    (LengthPrefixCodec(1), st.binary(max_size=255)),
    (LengthPrefixCodec(2, "little", 300), binary),
    (LengthPrefixCodec(4, max_size=300, includes_header=True), binary),
    (LengthPrefixCodec(8, max_size=300), binary),
    (VarintCodec(300), binary),
    (NetstringCodec(300), binary),
    (FixedSizeCodec(5), st.binary(min_size=5, max_size=5)),
    (JsonCodec(), json_values),
    (JsonCodec(LengthPrefixCodec()), json_values),
]
CODECS = [codec for codec, _ in MESSAGE_CODECS] + [RawCodec()]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=repr)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({place % (len(data) + 1) for place in places})
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def outcome(codec: Codec[Any], chunks: list[bytes]) -> tuple[list[Any], type[ProtocolError] | None]:
    messages = []
    for chunk in chunks:
        messages += codec.feed(chunk)
        assert 0 <= codec.buffered <= codec.max_size + 21
        assert codec.fault is None or codec.buffered == 0
    if codec.fault is None:
        messages += codec.feed_eof()
    return messages, None if codec.fault is None else type(codec.fault)


places = st.lists(st.integers(0, 10_000), max_size=12)
# Bytes that lead deep into one grammar or another are likelier than chance would have them.
near_grammar = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"ab", b"a", b"0", b"1", b"3", b":", b",", b"{}", b"\0", b"\1", b"\2", b"\x80", b"\xff"]
    )
    | st.binary(max_size=3),
    max_size=40,
).map(b"".join)


@pytest.mark.parametrize(("codec", "strategy"), MESSAGE_CODECS, ids=[repr(codec) for codec, _ in MESSAGE_CODECS])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_messages_cut_anywhere_arrive(
    codec: Codec[Any], strategy: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    messages = data.draw(st.lists(strategy, max_size=8))
    sender = codec.clone()
    chunks = cut(b"".join(sender.encode(message) for message in messages), data.draw(places))
    assert outcome(codec.clone(), chunks) == (messages, None)


@each_codec
@settings(max_examples=80, deadline=None)
@given(data=near_grammar | st.binary(max_size=800), where=places)
def test_any_bytes_give_the_same_however_they_are_cut(codec: Codec[Any], data: bytes, where: list[int]) -> None:
    whole = outcome(codec.clone(), [data])
    for chunks in (cut(data, where), [data[index : index + 1] for index in range(len(data))]):
        messages, fault = outcome(codec.clone(), chunks)
        if isinstance(codec, RawCodec):
            messages, whole = [b"".join(messages)], ([b"".join(whole[0])], whole[1])
        assert (messages, fault) == whole


@each_codec
def test_a_clone_has_the_same_settings_and_is_another(codec: Codec[Any]) -> None:
    clone = codec.clone()
    assert clone is not codec
    assert type(clone) is type(codec)
    assert repr(clone) == repr(codec)
    assert clone.max_size == codec.max_size
    assert clone.encoding_key() == codec.encoding_key()
    assert hash(clone.encoding_key()) == hash(codec.encoding_key())


def test_codecs_that_encode_differently_have_different_keys() -> None:
    keys = [codec.encoding_key() for codec in CODECS if not (isinstance(codec, LineCodec) and codec.keep_cr is False)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("kind", [getattr(aionet.codecs, name) for name in aionet.codecs.__all__])
def test_a_subclass_with_a_constructor_of_its_own_is_cloned_whole(kind: Any) -> None:
    class Marked(kind):  # type: ignore[misc]
        def __init__(self, mark: list[str]) -> None:
            super().__init__(*([5] if kind is FixedSizeCodec else []))
            self.mark = mark

    original = Marked(["a"])
    clone = original.clone()
    clone.mark.append("b")
    assert type(clone) is Marked
    assert original.mark == ["a"]
    assert clone.encoding_key() == original.encoding_key()
    assert clone.encoding_key() != kind(*([5] if kind is FixedSizeCodec else [])).encoding_key()


@each_codec
def test_text_is_refused_by_all_that_carry_bytes(codec: Codec[Any]) -> None:
    if isinstance(codec, JsonCodec):
        return
    with pytest.raises(EncodeError) as caught:
        codec.encode("text")
    assert caught.value.hint == "encode text first: message.encode()"
    assert codec.encode(bytearray(b"12345")) == codec.encode(b"12345") == codec.encode(memoryview(b"12345"))


@each_codec
def test_an_idle_codec_is_small(codec: Codec[Any]) -> None:
    """About 100 bytes for each idle connection, the collector's 16 included; JSON has two codecs."""
    assert not hasattr(codec, "__dict__")
    size = sys.getsizeof(codec)
    if isinstance(codec, JsonCodec):
        assert size <= 96
        size = sys.getsizeof(codec.inner)
    assert size <= 96


def python_calls(function: Callable[[], object]) -> int:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    gc.disable()  # what others have left is not cleared away in between
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls - 1  # the function itself


@pytest.mark.parametrize(
    ("codec", "message", "feed_calls", "encode_calls"),
    [
        (RawCodec(), b"12345", 1, 1),
        (LineCodec(), b"12345", 1, 1),
        (LengthPrefixCodec(), b"12345", 1, 1),
        (VarintCodec(), b"12345", 1, 1),
        (NetstringCodec(), b"12345", 1, 1),
        (FixedSizeCodec(5), b"12345", 2, 1),  # a comprehension is a call of its own before Python 3.12
        (JsonCodec(), {"a": 1}, 3, 2),
    ],
    ids=repr,
)
def test_python_calls_of_a_chunk_and_of_a_message(
    codec: Codec[Any], message: Any, feed_calls: int, encode_calls: int
) -> None:
    chunk = codec.encode(message) * 16
    assert python_calls(lambda: codec.feed(chunk)) <= feed_calls
    assert python_calls(lambda: codec.encode(message)) <= encode_calls


class Minimal(Codec[bytes]):
    """All that a user has to write. Keeps nothing: each chunk is made of whole two-byte messages, or refused."""

    def feed(self, data: bytes) -> list[bytes]:
        if len(data) % 2:
            self.fault = ProtocolError("odd")
            return []
        return [data[index : index + 2] for index in range(0, len(data), 2)]

    def encode(self, message: bytes) -> bytes:
        return message


def test_a_codec_of_feed_and_encode_alone_has_working_defaults() -> None:
    codec = Minimal()
    clone = codec.clone()
    assert codec.feed(b"aabb") == [b"aa", b"bb"]
    assert codec.feed_eof() == []
    assert (codec.buffered, codec.max_size, codec.replies, codec.data_to_send()) == (0, 65536, False, b"")
    assert codec.encoding_key() is None
    assert codec.feed(b"a") == []
    assert isinstance(codec.fault, ProtocolError)
    assert clone.fault is None


class Pairs(Codec[bytes]):
    """A codec as the documentation shows it: plain attributes, no slots, its own limit."""

    max_size = 2

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        data = self.rest + data
        whole = len(data) // 2 * 2
        self.rest = data[whole:]
        return [data[index : index + 2] for index in range(0, whole, 2)]

    @property
    def buffered(self) -> int:
        return len(self.rest)

    def encode(self, message: bytes) -> bytes:
        return message


def test_a_users_codec_passes_the_verifier() -> None:
    verify_codec(Pairs(), [(b"aa", [b"aa"]), (b"aabb", [b"aa", b"bb"])])
    verify_codec(Pairs, [(b"aa", [b"aa"])])
