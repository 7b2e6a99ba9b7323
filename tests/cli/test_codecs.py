"""Codecs by name."""

from __future__ import annotations

import pytest

from aionet import JsonCodec, LengthPrefixCodec, LineCodec, NetstringCodec, RawCodec, VarintCodec, WebSocketCodec
from aionet.cli.codecs import over_websocket, parse_codec
from aionet.codec import Codec


@pytest.mark.parametrize(
    ("spec", "kind", "wire"),
    [
        ("raw", RawCodec, b"hi"),
        ("line", LineCodec, b"hi\n"),
        ("line:crlf", LineCodec, b"hi\r\n"),
        ("length", LengthPrefixCodec, b"\0\0\0\2hi"),
        ("length:2", LengthPrefixCodec, b"\0\2hi"),
        ("length:2:big", LengthPrefixCodec, b"\0\2hi"),
        ("length:8:little", LengthPrefixCodec, b"\2\0\0\0\0\0\0\0hi"),
        ("varint", VarintCodec, b"\2hi"),
        ("netstring", NetstringCodec, b"2:hi,"),
    ],
)
def test_each_name(spec: str, kind: type[Codec[bytes]], wire: bytes) -> None:
    named = parse_codec(spec)
    assert isinstance(named.codec, kind)
    assert named.codec.encode(named.read(b"hi")) == wire
    assert named.framed is (spec != "raw")
    assert named.show(b"\xff\n") == (b"\xff\n\n" if named.framed else b"\xff\n")


@pytest.mark.parametrize(
    ("spec", "wire"), [("json", b'{"a":1}\n'), ("json:length:1", b'\7{"a":1}'), ("json:netstring", b'7:{"a":1},')]
)
def test_json_on_top_of_any(spec: str, wire: bytes) -> None:
    named = parse_codec(spec)
    assert isinstance(named.codec, JsonCodec)
    assert named.codec.encode(named.read(b'{"a": 1}')) == wire
    assert named.show({"a": "\x1b\u202e"}) == b'{"a": "\\u001b\\u202e"}\n'
    with pytest.raises(ValueError, match="Expecting"):
        named.read(b"{")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lien", "did you mean 'line'? known: raw, line"),
        ("", "known: raw, line"),
        ("zzz", "known: raw, line"),
        ("raw:1", "raw does not take '1'"),
        ("line:lf:x", "line does not take 'lf:x'"),
        ("length:3", "width must be 1, 2, 4 or 8"),
        ("length:middle", "length does not take 'middle'"),
        ("json:jsno", "did you mean 'json'?"),
    ],
)
def test_a_typo_says_what_is_known(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match="codec ") as caught:
        parse_codec(spec)
    assert said in str(caught.value)


def test_over_websocket_a_message_is_a_line() -> None:
    raw = over_websocket(parse_codec("raw"), text=True)
    assert raw.framed
    assert raw.show(b"hi") == b"hi\n"
    assert isinstance(raw.codec, WebSocketCodec)
    assert raw.codec.text
    assert not over_websocket(parse_codec("raw"), text=False).codec.text
    values = over_websocket(parse_codec("json"), text=True)
    assert values.show(values.read(b'{"a": 1}')) == b'{"a": 1}\n'
    assert isinstance(values.codec, WebSocketCodec)
    assert isinstance(values.codec.inner, JsonCodec)
