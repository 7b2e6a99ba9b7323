"""The codec of the chat: short lines in, lines of any length out."""

from __future__ import annotations

import pytest

from aionet.errors import EncodeError, FrameTooLarge
from aionet.services.chat.text import decode, visible
from aionet.services.chat.wire import MAX_LINE, PROMPT, ChatCodec, TranscriptCodec, server_line


def test_reads_lf_crlf_and_an_unfinished_last_line() -> None:
    codec = ChatCodec()
    assert codec.feed(b"one\ntwo\r\nthr") == [b"one", b"two"]
    assert codec.feed_eof() == [b"thr"]
    assert codec.fault is None


def test_a_line_that_is_too_long_is_a_fault() -> None:
    codec = ChatCodec()
    assert codec.feed(b"x" * MAX_LINE + b"\n") == [b"x" * MAX_LINE]
    assert codec.feed(b"x" * (MAX_LINE + 1) + b"\n") == []
    assert isinstance(codec.fault, FrameTooLarge)


def test_the_worst_line_can_be_relayed() -> None:
    text = visible(decode(b"\xff" * MAX_LINE))
    assert ChatCodec().encode(f"[name] {text}".encode()) == b"[name] " + b"\\xff" * MAX_LINE + b"\n"


def test_a_message_is_one_line() -> None:
    with pytest.raises(EncodeError):
        ChatCodec().encode(b"one\n[SERVER] two")


def test_a_transcript_is_the_same_of_a_stream_and_of_messages() -> None:
    codec = TranscriptCodec()
    assert codec.feed(PROMPT + b"[SERVER] ada joined") == [PROMPT + b"[SERVER] ada joined"]
    assert codec.feed_payload(PROMPT) == [PROMPT]
    assert codec.feed_payload(b"[SERVER] ada joined") == [b"[SERVER] ada joined\n"]
    assert codec.encode(b"hi\n") == b"hi\n"
    assert codec.encode_payload(b"hi\n") == b"hi"
    assert codec.text


def test_all_connections_encode_alike() -> None:
    assert ChatCodec().encoding_key() == ChatCodec().encoding_key()
    assert ChatCodec().clone().encode(b"x") == b"x\n"


def test_a_line_of_the_server() -> None:
    assert server_line("été") == "[SERVER] été".encode()
