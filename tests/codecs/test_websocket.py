from __future__ import annotations

import struct
from typing import Any

import pytest

from aionet import Endpoint, JsonCodec, LengthPrefixCodec, LineCodec, NetstringCodec, RawCodec, WebSocketCodec
from aionet.codec import Codec
from aionet.codecs.websocket import ClientCodec, Page, Text
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, IncompleteFrame, MalformedFrame
from aionet.events import CloseReason
from aionet.testing import verify_codec

from .frames import close, feed, frame, read_frames, text

CHAT = Endpoint.parse("ws://example.com/chat")


def goodbye(codec: Codec[Any], reason: CloseReason = CloseReason.FRAMING_ERROR) -> tuple[int, str]:
    """The close frame: code and words."""
    [(opcode, payload)] = read_frames(codec.farewell(reason))
    assert opcode == 8
    return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


@pytest.mark.parametrize("inner", [RawCodec(), NetstringCodec(100)])
def test_contract(inner: Codec[bytes]) -> None:
    wires = [b"", b"a", b"x" * 100]
    if isinstance(inner, NetstringCodec):
        pairs = [(frame(2, inner.encode(wire)), [wire]) for wire in wires]
    else:
        pairs = [(frame(2, wire), [wire]) for wire in wires]
        pairs.append((text("hé", fin=False) + frame(9, b"?") + frame(0, b"!"), [b"h\xc3\xa9!"]))
    garbage = [text(b"\xff"), frame(2, b"a", rsv=4), frame(3), frame(2, b"a", mask=False), frame(0), close(), close(7)]
    codec = WebSocketCodec(inner, max_size=200)
    verify_codec(
        codec.opened,
        pairs,
        oversize=frame(2, length=201)[:4],
        garbage=garbage,
        encoder=lambda: codec.towards(CHAT).opened(),
    )


def test_contract_of_the_client_s_side() -> None:
    codec = WebSocketCodec(max_size=200)
    verify_codec(
        codec.towards(CHAT).opened,
        [(frame(2, b"a", mask=False), [b"a"]), (frame(1, b"x" * 130, mask=False), [b"x" * 130])],
        oversize=frame(2, length=201, mask=False),
        garbage=[frame(2, b"a")],
        encoder=codec.opened,
        same_encoding=False,
    )


def test_without_an_inner_codec_a_message_keeps_its_kind() -> None:
    codec = WebSocketCodec().opened()
    messages = codec.feed(text("text") + frame(2, b"bytes") + text("", fin=False) + frame(0, b"more"))
    assert messages == [b"text", b"bytes", b"more"]
    assert [type(message) for message in messages] == [Text, bytes, Text]
    written: list[tuple[Any, int]] = [*zip(messages, (1, 2, 1), strict=True), (bytearray(b"x"), 2), (Text("é"), 1)]
    for message, opcode in written:
        assert read_frames(codec.encode(message)) == [(opcode, bytes(message))]
    assert codec.encode("é") == codec.encode(Text("é"))
    assert read_frames(codec.carry(b"x") + codec.carry(Text("x"))) == [(2, b"x"), (1, b"x")]
    for wrong in (7, None, [b"x"], "\ud800"):
        with pytest.raises(EncodeError):
            codec.encode(wrong)  # type: ignore[arg-type]


def test_text_wherever_it_is_utf8() -> None:
    codec = WebSocketCodec(text=True).opened()
    for wire in (codec.encode(b"a") + codec.encode(b"\xff"), codec.encode_batch([b"a", b"\xff"])):
        assert read_frames(wire) == [(1, b"a"), (2, b"\xff")]
    assert read_frames(codec.encode_batch([b"a", b"b" * 126])) == [(1, b"a"), (1, b"b" * 126)]


def test_lines_come_and_leave_without_their_ends() -> None:
    codec = WebSocketCodec(LineCodec()).opened()
    assert feed(codec, [text("one"), text("two\n"), frame(2, b"three\r\nfour"), text("")]) == [
        b"one", b"two", b"three", b"four", b"",
    ]  # fmt: skip
    assert read_frames(codec.encode(b"five") + codec.encode_batch([b"six", b"\xff"])) == [
        (1, b"five"),
        (1, b"six"),
        (2, b"\xff"),
    ]
    with pytest.raises(EncodeError):
        codec.encode(b"two\nlines")
    codec = WebSocketCodec(LineCodec(5)).opened()
    assert codec.feed(text("short") + text("too long")) == [b"short"]
    assert isinstance(codec.fault, FrameTooLarge)
    assert goodbye(codec)[0] == 1009


def test_json_values_come_and_leave_as_they_are() -> None:
    codec = WebSocketCodec(JsonCodec(type=dict[str, int])).opened()
    assert codec.feed(text('{\n "a": 1\n}') + frame(2, b'{"b": 2}')) == [{"a": 1}, {"b": 2}]
    assert read_frames(codec.encode({"c": 3})) == [(1, b'{"c":3}')]
    assert codec.feed(text('{"d": 4}') + text("[]") + text('{"e": 5}')) == [{"d": 4}]
    assert isinstance(codec.fault, MalformedFrame)
    code, words = goodbye(codec)
    assert code == 1003
    assert words.startswith("a JSON value is not a dict")
    limited = WebSocketCodec(JsonCodec(LineCodec(20))).opened()
    with pytest.raises(EncodeError, match="at most 20"):
        limited.encode("x" * 20)
    limited.feed(text('"' + "x" * 20 + '"'))
    assert goodbye(limited)[0] == 1009


def test_any_other_codec_is_a_stream_in_payloads() -> None:
    codec = WebSocketCodec(LengthPrefixCodec(width=2)).opened()
    assert feed(codec, [frame(2, b"\0"), frame(2, b"\5hel"), text("lo")]) == [b"hello"]
    assert read_frames(codec.encode(b"you")) == [(2, b"\0\3you")]
    assert read_frames(codec.carry(b"\0\1!")) == [(2, b"\0\1!")]
    long = WebSocketCodec(LengthPrefixCodec(max_size=200_000)).opened()
    for wire in (long.encode(b"x" * 150_000), long.carry(b"x" * 150_004)):
        assert [len(payload) for _, payload in read_frames(wire)] == [65536, 65536, 18932]
    assert not long.batches
    codec.feed(frame(2, b"\0\5he"))
    assert codec.buffered == 4
    assert codec.feed(close()) == []
    assert isinstance(codec.fault, IncompleteFrame)
    assert goodbye(codec) == (1000, "")  # the answer to theirs, which came first


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        (frame(2, b"x" * 101), 1009, "101 bytes exceeds limit of 100"),
        (frame(2, b"", mask=False), 1002, "incorrect masking"),
        (frame(3), 1002, "invalid opcode"),
        (frame(2, b"", rsv=4), 1002, "reserved bits"),
        (frame(9, fin=False), 1002, "fragmented control frame"),
        (text(b"\xff"), 1007, "no UTF-8"),
        (close(1000, b"\xff"), 1007, "invalid start byte"),
        (close(999), 1002, "invalid status code"),
    ],
)
def test_close_codes_tell_why(sent: bytes, code: int, words: str) -> None:
    codec = WebSocketCodec(max_size=100).opened()
    codec.feed(sent)
    assert codec.fault is not None
    assert words in str(codec.fault)
    got = goodbye(codec)
    assert got[0] == code
    assert words in got[1]
    assert codec.farewell(CloseReason.FRAMING_ERROR) == b""


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (CloseReason.LOCAL_CLOSED, (1000, "")),
        (CloseReason.SHUTDOWN, (1001, "the server is leaving")),
        (CloseReason.IDLE_TIMEOUT, (1001, "idle for too long")),
        (CloseReason.MESSAGE_TIMEOUT, (1008, "message not finished in time")),
        (CloseReason.HANDLER_ERROR, (1011, "the handler failed")),
    ],
)
def test_our_own_closing(reason: CloseReason, expected: tuple[int, str]) -> None:
    codec = WebSocketCodec().opened()
    assert goodbye(codec, reason) == expected
    assert codec.farewell(reason) == b""
    assert not codec.ended
    assert codec.feed(text("still") + close(expected[0])) == [b"still"]
    assert codec.ended
    assert codec.farewell(reason) == b""
    assert codec.peer_close == (expected[0], "")


def test_the_peer_s_closing() -> None:
    codec = WebSocketCodec().opened()
    assert codec.peer_close is None
    assert codec.feed(text("last") + close(4001, b"bye") + text("never")) == [b"last"]
    assert codec.ended
    assert codec.peer_close == (4001, "bye")
    assert codec.data_to_send() == b""
    assert goodbye(codec, CloseReason.PEER_CLOSED) == (4001, "bye")
    assert codec.feed(text("never")) == codec.feed_eof() == []
    bare = WebSocketCodec().opened()
    bare.feed(close(None))
    assert bare.peer_close == (1005, "")
    assert read_frames(bare.farewell(CloseReason.PEER_CLOSED)) == [(8, b"")]


def test_an_end_without_a_goodbye() -> None:
    codec = WebSocketCodec().opened()
    assert codec.feed_eof() == []
    assert codec.fault is None
    assert codec.ended
    assert codec.farewell(CloseReason.PEER_CLOSED) == b""
    assert codec.peer_close is None
    codec = WebSocketCodec().opened()
    codec.feed(text("half")[:5])
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)


def test_what_the_close_frame_shall_say() -> None:
    codec = WebSocketCodec().opened()
    codec.close_with(4003, "banned" * 40)
    code, words = goodbye(codec, CloseReason.LOCAL_CLOSED)
    assert (code, len(words)) == (4003, 123)
    for wrong in (1005, 1006, 2000, 5000):
        with pytest.raises(EncodeError, match="cannot be sent as a close code"):
            codec.close_with(wrong)


def test_a_bomb_is_bounded_by_what_it_inflates_to() -> None:
    client, server = (WebSocketCodec(compress=True, max_size=size) for size in (1 << 24, 10_000))
    client = client.towards(CHAT)
    server.feed(client.data_to_send())
    client.feed(server.data_to_send())
    bomb = client.encode(bytes(5_000_000))
    assert len(bomb) < 10_000
    assert server.feed(bomb) == []
    assert isinstance(server.fault, FrameTooLarge)
    assert goodbye(server)[0] == 1009


def test_keys_are_equal_where_the_encoding_is() -> None:
    key = WebSocketCodec(LineCodec()).opened().encoding_key()
    assert key == WebSocketCodec(LineCodec()).opened().encoding_key()
    assert key != LineCodec().encoding_key()
    assert key != WebSocketCodec(LineCodec(), text=False).encoding_key()
    assert key != WebSocketCodec(LineCodec(9)).encoding_key()
    client = WebSocketCodec(LineCodec()).towards(CHAT)
    assert client.encoding_key() != client.clone().encoding_key()

    class Own(Codec[bytes]):
        pass

    assert WebSocketCodec(Own()).encoding_key() is None


def test_the_handler_s_codec_is_adopted_unless_one_was_given() -> None:
    codec = WebSocketCodec(max_size=7)
    adopted = codec.adopt(LineCodec)
    assert isinstance(adopted, WebSocketCodec)
    assert isinstance(adopted.inner, LineCodec)
    assert adopted.max_size == 7
    assert isinstance(adopted.clone().inner, LineCodec)
    assert adopted.adopt(JsonCodec) is adopted
    given = WebSocketCodec(RawCodec())
    assert given.adopt(LineCodec()) is given


def test_where_it_serves_and_where_it_connects() -> None:
    def path(codec: Any, target: str) -> bool:
        made = codec.clone() if isinstance(codec, Codec) else codec()
        made.feed(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return bool(made.data_to_send().startswith(b"HTTP/1.1 426"))

    for given in (LineCodec, LineCodec(), WebSocketCodec, WebSocketCodec(), lambda: WebSocketCodec(LineCodec())):
        served = WebSocketCodec.serving(CHAT, given)
        assert path(served, "/chat")
        assert not path(served, "/")
        towards = WebSocketCodec.connecting(CHAT, given)
        made = towards.clone() if isinstance(towards, Codec) else towards()
        assert isinstance(made, ClientCodec)
        assert made.data_to_send().startswith(b"GET /chat HTTP/1.1")
    assert path(WebSocketCodec.serving(CHAT, WebSocketCodec(path="/own")), "/own")
    assert path(WebSocketCodec(), "/anywhere")


def test_a_subclass_keeps_what_it_added() -> None:
    class Marked(WebSocketCodec[bytes]):
        def __init__(self) -> None:
            super().__init__(LineCodec(), pages={"/": Page(b"")})
            self.marks = ["a"]

    original = Marked()
    clone = original.clone()
    clone.marks.append("b")
    assert original.marks == ["a"]
    assert type(clone.opened()) is Marked


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_size": 0}, "max_size"),
        ({"path": "chat"}, "begins with a slash"),
        ({"origins": "https://example.com"}, "origins must be several"),
        ({"subprotocols": "chat"}, "subprotocols must be several"),
        ({"inner": 7}, "7 is no codec"),
        ({"inner": int}, "is no codec"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        WebSocketCodec(**options)


def test_carriers_are_not_carried() -> None:
    for wrong in (lambda: WebSocketCodec(WebSocketCodec()), lambda: JsonCodec(WebSocketCodec())):
        with pytest.raises(ConfigError, match="carries"):
            wrong()
