from __future__ import annotations

import dataclasses
from typing import Any, assert_type

import msgspec
import pytest

from aionet.codec import Codec
from aionet.codecs import JsonCodec, LengthPrefixCodec, LineCodec
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, IncompleteFrame, MalformedFrame
from aionet.testing import verify_codec


class Point(msgspec.Struct, tag=True):
    x: int
    y: int = 0


class Name(msgspec.Struct, tag=True):
    name: str


@dataclasses.dataclass
class Record:
    values: list[int]


def test_contract() -> None:
    pairs: list[tuple[bytes, list[Any]]] = [
        (b'{"a":[1,2.5,null]}\n', [{"a": [1, 2.5, None]}]),
        (b'"\\u00e9"\r\n', ["\xe9"]),
        (b"1\n2\n", [1, 2]),
    ]
    garbage = [b"{\n", b"\n", b'"\xff"\n', b"[" * 60, b"NaN\n", b"1 2\n", b'"\xed\xa0\x80"\n']
    verify_codec(JsonCodec(LineCodec(64)), pairs, oversize=b"1" * 65, garbage=garbage)


def test_contract_with_a_type_and_another_framing() -> None:
    codec = JsonCodec(LengthPrefixCodec(2, max_size=100), type=Record)
    pairs = [(codec.encode(record), [record]) for record in (Record([]), Record([1, 2, 3]))]
    verify_codec(codec, pairs, oversize=b"\0\x65", garbage=[b"\0\2{}", b"\0\0"])


def test_types() -> None:
    assert_type(JsonCodec(), JsonCodec[Any])
    assert_type(JsonCodec(type=Point), JsonCodec[Point])
    union: JsonCodec[Point | Name] = JsonCodec(type=Point | Name)
    assert union.feed(b'{"type":"Point","x":1}\n{"type":"Name","name":"a"}\n') == [Point(1), Name("a")]


def test_a_value_of_another_type_says_where_and_comes_after_the_good_ones() -> None:
    codec = JsonCodec(type=Record)
    assert codec.feed(b'{"values":[1]}\n{"values":[1,"2"]}\n{"values":[3]}\npart') == [Record([1])]
    assert isinstance(codec.fault, MalformedFrame)
    assert str(codec.fault) == "a JSON value is not a Record: Expected `int`, got `str` - at `$.values[1]`"
    assert codec.buffered == 0
    assert codec.feed(b'\n{"values":[1]}\n') == []
    assert codec.feed_eof() == []


@pytest.mark.parametrize("payload", [b"", b"{", b"nope", b'"\xff"', b"NaN", b"1 2", b"'a'"])
def test_what_is_no_json(payload: bytes) -> None:
    codec = JsonCodec()
    assert codec.feed(b"1\n" + payload + b"\n2\n") == [1]
    assert isinstance(codec.fault, MalformedFrame)
    assert str(codec.fault).startswith("a message is not JSON: ")


def test_the_framing_s_own_fault_comes_after_the_messages_before_it() -> None:
    codec = JsonCodec(LineCodec(4))
    assert codec.feed(b"1\n2\n" + b"3" * 5) == [1, 2]
    assert isinstance(codec.fault, FrameTooLarge)

    codec = JsonCodec(LineCodec(4))
    assert codec.feed(b"1\n?\n" + b"3" * 5) == [1]
    assert isinstance(codec.fault, MalformedFrame)


def test_the_end_of_the_stream_is_the_framing_s() -> None:
    codec = JsonCodec()
    codec.feed(b"1")
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)

    lenient = JsonCodec(LineCodec(eof_ends_line=True))
    lenient.feed(b"12")
    assert lenient.feed_eof() == [12]
    assert lenient.fault is None


def test_deep_nesting_is_a_fault_and_an_encode_error_not_a_crash() -> None:
    codec = JsonCodec(LineCodec(1 << 20))
    assert codec.feed(b"1\n" + b"[" * 500_000 + b"\n") == [1]
    assert str(codec.fault) == "a JSON value is nested too deeply"

    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(EncodeError, match="list value cannot be written as JSON"):
        JsonCodec().encode(value)


def test_a_reason_is_escaped_and_cut() -> None:
    codec = JsonCodec(type=msgspec.defstruct("Strict", [("a", int)], forbid_unknown_fields=True))
    codec.feed(b'{"\\u001b\\n' + b"k" * 5000 + b'":1}\n')
    text = str(codec.fault)
    assert "unknown field `\\x1b\\nkkk" in text
    assert len(text) < 250


@pytest.mark.parametrize("message", [object(), {1j: 2}, "\ud800", {(1, 2): 3}])
def test_what_cannot_be_written_as_json(message: Any) -> None:
    with pytest.raises(EncodeError, match="cannot be written as JSON"):
        JsonCodec().encode(message)


def test_what_the_framing_cannot_carry() -> None:
    with pytest.raises(EncodeError, match="at most 5"):
        JsonCodec(LineCodec(5)).encode("12345")
    with pytest.raises(EncodeError, match="delimiter"):
        JsonCodec().encode(msgspec.Raw(b"[1,\n2]"))


def test_not_a_number_is_sent_as_null() -> None:
    assert JsonCodec().encode([float("nan"), float("inf")]) == b"[null,null]\n"


class Replying(LineCodec):
    replies = True

    def data_to_send(self) -> bytes:
        return b"pong"


def test_the_framing_s_replies_limit_and_key_are_passed_on() -> None:
    codec = JsonCodec(Replying(99))
    assert codec.replies
    assert codec.data_to_send() == b"pong"
    assert codec.max_size == 99
    assert not JsonCodec().replies

    class Bare(Codec[bytes]):
        pass

    assert JsonCodec(Bare()).encoding_key() is None
    assert JsonCodec().encoding_key() != JsonCodec(LineCodec(delimiter=b"\0")).encoding_key()


def test_a_subclass_is_cloned_with_what_it_added() -> None:
    class Noting(JsonCodec[Any]):
        def __init__(self, note: list[str]) -> None:
            super().__init__(LineCodec(50), type=list[int])
            self.note = note

    original = Noting(["a"])
    clone = original.clone()
    clone.note.append("b")
    assert original.note == ["a"]
    assert clone.inner is not original.inner
    assert clone.feed(b"[1]\n") == [[1]]


@pytest.mark.parametrize("inner", [LineCodec, b"\n", int])
def test_inner_is_checked(inner: Any) -> None:
    with pytest.raises(ConfigError, match="inner must be a codec"):
        JsonCodec(inner)


def test_type_is_checked() -> None:
    with pytest.raises(ConfigError, match="cannot be decoded from JSON"):
        JsonCodec(type=dict[Point, int] | dict[str, int])
