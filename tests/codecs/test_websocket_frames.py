from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Side

from aionet.codecs._websocket_frames import Text, is_utf8
from aionet.errors import FrameTooLarge, MalformedFrame
from aionet.events import CloseReason

from .frames import MAX_SIZE, assert_same, by_codec, by_library, client, close, feed, frame, read_frames, server, text


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"\xce\xba\xe1\xbd\xb9", b"\xce", b"\xba", b"x" * (MAX_SIZE + 1)]),
)
codes = st.sampled_from(
    [b"", b"\x03", b"\x03\xe8", b"\x03\xe9bye", b"\x03\xee", b"\x0f\xa0\xff", b"\x03\xe8" + b"x" * 124]
)
clean = st.builds(frame, st.sampled_from([1, 2]), payloads)
odd = st.builds(
    frame,
    st.sampled_from([0, 1, 2, 9, 10]),
    payloads,
    fin=st.sampled_from([True, True, False]),
    rsv=st.sampled_from([0, 0, 0, 0, 1, 2, 4]),
    mask=st.sampled_from([True, True, True, True, False]),
    length=st.sampled_from([None, None, None, None, 127, 65536, 1 << 63]),
    wide=st.sampled_from([0, 0, 0, 2, 8]),
)
streams = st.lists(
    st.one_of(
        clean,
        clean,
        st.builds(frame, st.sampled_from([0, 1, 2]), payloads, fin=st.booleans()),
        st.builds(frame, st.sampled_from([9, 10]), payloads),
        odd,
        st.builds(frame, st.just(8), codes),
        st.binary(max_size=12),
    ),
    max_size=8,
).map(b"".join)


def unmasked(stream: bytes) -> bytes:
    """The stream as a server would send it: its mask bits cleared, where ours are set. Payloads become other bytes."""
    out = bytearray()
    at = 0
    while at + 2 <= len(stream):
        length = stream[at + 1] & 0x7F
        wide = {126: 2, 127: 8}.get(length, 0)
        size = int.from_bytes(stream[at + 2 : at + 2 + wide]) if wide else length
        body = at + 2 + wide + (4 if stream[at + 1] & 0x80 else 0)
        out += bytes([stream[at], stream[at + 1] & 0x7F]) + stream[at + 2 : at + 2 + wide] + stream[body : body + size]
        at = body + min(size, len(stream))
    return bytes(out)


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(min_value=0, max_value=2000), max_size=12))
@example(text("hé", fin=False) + frame(9, b"?") + frame(0, b"") + frame(2, b"\xff") + close(1001, b"bye"), [1, 7, 8])
def test_a_server_takes_any_bytes_in_any_chunks_as_the_library_does(stream: bytes, cuts: list[int]) -> None:
    expected = by_library(stream, Side.SERVER, MAX_SIZE)
    got = by_codec(server(), cut(stream, cuts), masked=False)
    assert_same(got, expected)


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(min_value=0, max_value=2000), max_size=12), st.booleans())
def test_a_client_takes_any_bytes_in_any_chunks_as_the_library_does(
    stream: bytes, cuts: list[int], as_is: bool
) -> None:
    stream = stream if as_is else unmasked(stream)
    expected = by_library(stream, Side.CLIENT, MAX_SIZE)
    got = by_codec(client(), cut(stream, cuts), masked=True)
    assert_same(got, expected)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.booleans())
def test_what_one_side_encodes_the_other_reads(payloads: list[bytes], from_client: bool) -> None:
    sender, reader = (client(), server()) if from_client else (server(), client())
    for wire in (sender.encode_batch(payloads), b"".join(map(sender.encode, payloads))):
        assert reader.feed(wire) == payloads
        assert read_frames(wire, masked=from_client) == [(2, payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 200_000])
@pytest.mark.parametrize("side", [server, client])
def test_each_form_of_the_length(size: int, side: Any) -> None:
    payload = os.urandom(size)
    other = client if side is server else server
    wire = side(300_000).encode(payload)
    assert Frame(Opcode.BINARY, payload).serialize(mask=False)[:2] in (wire[:2], bytes([wire[0], wire[1] & 0x7F]))
    for step in (len(wire), 1000, 65536):
        assert feed(other(300_000), [wire[at : at + step] for at in range(0, len(wire), step)]) == [payload]


@pytest.mark.parametrize("mask", [True, False])
def test_behind_our_close_frame_pings_are_answered_no_more(mask: bool) -> None:
    """Their answers would gather for as long as the peer takes to close."""
    codec = server() if mask else client()
    assert read_frames(codec.say_goodbye(1000, ""), masked=not mask) == [(8, b"\x03\xe8")]
    codec.feed((frame(9, b"x" * 125, mask=mask) + frame(9, mask=mask, wide=2)) * 100)
    assert codec.data_to_send() == codec.say_goodbye(1000, "") == b""


@pytest.mark.parametrize("form", [b"\xfe\x00\x05", b"\xff" + bytes(7) + b"\x05"])
def test_a_length_may_be_longer_than_it_need_be(form: bytes) -> None:
    """RFC 6455 forbids it to senders; the library takes it."""
    wire = b"\x81" + form + text("hello")[2:]
    assert server().feed(wire) == [b"hello"]
    assert by_library(wire, Side.SERVER, MAX_SIZE).messages == [(True, b"hello")]


def test_a_size_is_refused_by_the_header_alone() -> None:
    for size in (MAX_SIZE + 1, 1 << 16, 1 << 62, 1 << 63, (1 << 64) - 1):
        codec = server()
        header = frame(2, length=size)
        for index in range(len(header) - 4):  # its key has not come
            codec.feed(header[index : index + 1])
        assert isinstance(codec.fault, FrameTooLarge)
        assert codec.buffered == 0
        assert read_frames(codec.farewell(CloseReason.FRAMING_ERROR))[0][1].startswith(b"\x03\xf1frame with ")


def test_nothing_is_buffered_beyond_the_limit() -> None:
    codec = server(1000)
    codec.feed(frame(2, b"x" * 400, fin=False) + frame(0, b"x" * 400, fin=False))
    assert codec.buffered >= 800
    codec.feed(frame(0, length=201)[:4])
    assert isinstance(codec.fault, FrameTooLarge)
    assert codec.buffered == 0


def test_empty_fragments_come_to_an_end() -> None:
    codec = server(6400)
    codec.feed(frame(1, b"", fin=False))
    for _ in range(1200):
        codec.feed(frame(0, b"", fin=False))
    assert str(codec.fault) == "a message of more than 1124 fragments"
    assert read_frames(codec.farewell(CloseReason.FRAMING_ERROR))[0][1][:2] == b"\x03\xf1"


def test_a_message_may_have_as_many_fragments_as_a_stream_of_small_ones() -> None:
    codec = server(64 * 2000)
    stream = frame(2, b"x" * 64, fin=False) + frame(0, b"x" * 64, fin=False) * 1998 + frame(0, b"x" * 64)
    assert codec.feed(stream) == [b"x" * 64 * 2000]


def test_bad_text_fails_at_the_fragment_that_has_it() -> None:
    codec = server()
    assert codec.feed(text(b"ok \xce", fin=False)) == []
    assert codec.fault is None
    codec.feed(frame(0, b"\xff", fin=False))
    assert isinstance(codec.fault, MalformedFrame)
    assert read_frames(codec.farewell(CloseReason.FRAMING_ERROR))[0][1][:2] == b"\x03\xef"


def test_messages_before_a_fault_are_delivered_and_none_behind_it() -> None:
    codec = server()
    assert codec.feed(text("one") + text(b"\xff") + text("two")) == [b"one"]
    assert codec.feed(text("three")) == []


def test_a_ping_is_answered_and_a_fragmented_message_goes_on() -> None:
    codec = server()
    assert codec.feed(text("a", fin=False) + frame(9, b"1") + frame(9, b"2")) == []
    assert read_frames(codec.data_to_send()) == [(10, b"1"), (10, b"2")]
    assert codec.data_to_send() == b""
    assert codec.feed(frame(0, b"b") + text("c")) == [b"ab", b"c"]


def test_the_parser_is_let_go_when_it_has_nothing_in_mind() -> None:
    codec = server()
    codec.feed(frame(9))
    assert codec._library is None
    codec.feed(text("a", fin=False))
    assert codec._library is not None
    codec.feed(frame(0, b"b"))
    assert codec._library is None
    assert read_frames(codec.data_to_send() + codec.keepalive()) == [(10, b""), (9, b"")]
    assert codec._library is None


def test_text_is_utf8() -> None:
    assert Text("é") == Text("é".encode()) == "é".encode()
    assert isinstance(Text("é").decode(), str)
    for bad in (b"\xff", b"\xed\xa0\x80"):
        assert not is_utf8(bad)
        with pytest.raises(UnicodeDecodeError):
            Text(bad)
    assert is_utf8(b"a")
    assert is_utf8("é".encode())


def test_the_library_s_own_unmasking_serves_where_there_is_no_other() -> None:
    code = (
        "import sys; sys.modules['websockets.speedups'] = None\n"
        "from aionet import WebSocketCodec\n"
        "from tests.codecs.frames import frame\n"
        "assert WebSocketCodec().opened().feed(frame(2, b'hello')) == [b'hello']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
