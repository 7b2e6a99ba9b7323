"""What a message costs: calls of Python functions, counted, because they are what the time goes into."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest

from aionet import Codec, Connection, LengthPrefixCodec, LineCodec, StreamHandler, WebSocketCodec
from aionet.core.awaiting import PlainAwaiting
from aionet.core.coroutine import CoroutineConnection
from aionet.testing import HandlerHarness

from ..codecs.frames import frame, read_frames
from .stream_tools import as_on_uvloop

MESSAGE_CALLS: Final = 3
"""A message in callback style: on_message, write, encode."""
CHUNK_CALLS: Final = 4
"""Beside those, a chunk: data_received, feed, _deliver, _flush (and of a batch of lines one more, encoded at
once instead of one by one)."""
BUFFERED_CALLS: Final = 2
"""More for a chunk where the loop has no buffer of its own (asyncio's): get_buffer and buffer_updated."""
BATCH_MESSAGE_CALLS: Final = 2
"""A message in batch style: write and encode; on_messages is called once a chunk."""
BATCH_CHUNK_CALLS: Final = 5
WEBSOCKET_MESSAGE_CALLS: Final = 2
"""A message in callback style: on_message and write. It is unmasked and framed in the chunk's loops."""
WEBSOCKET_CHUNK_CALLS: Final = 11
"""More than of other codecs: it is asked for pongs, and has a loop each way."""
COROUTINE_MESSAGE_CALLS: Final = 8
"""A message in coroutine style: __anext__, _take; send, _check_open, write, encode, write_encoded, enqueue."""
ASYNC_MESSAGE_CALLS: Final = 7
"""The same with async on_message, and write instead of send."""
COMPILED_COROUTINE_MESSAGE_CALLS: Final = 0
"""What is left of them for lines where a compiler was at hand. (async on_message is called besides.)"""
COROUTINE_CHUNK_CALLS: Final = 16
"""A chunk for a task: also its waking, and the flush at the end of the tick."""


class Echo(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


class BatchEcho(StreamHandler[bytes]):
    def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None:
        for message in messages:
            conn.write(message)


class AsyncEcho(StreamHandler[bytes]):
    async def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


async def echo(conn: Connection[bytes]) -> None:
    async for message in conn:
        await conn.send(message)


def count_calls(function: Callable[[], object]) -> Counter[str]:
    """The Python functions called, but for those that stand in for the loop and its transport, which are C."""
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call" and not any(
            part in code.co_filename for part in ("/aionet/testing/", "asyncio", "selector")
        ):
            calls[code.co_qualname] += 1

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    calls.pop("count_calls", None)
    return calls


def calls_for(handler: object, codec: Codec[bytes], messages: int) -> Counter[str]:
    """The calls it takes to echo one chunk of so many messages, once the first has warmed up everything."""
    chunk = b"".join(codec.encode(b"hello") for _ in range(messages))
    with HandlerHarness(handler, codec=codec) as peer:
        peer.receive(chunk)
        calls = count_calls(lambda: peer.receive(chunk))
        assert peer.sent == 2 * chunk
        assert peer.writes == 2
    del calls["calls_for.<locals>.<lambda>"]
    return calls


CODECS: Final = [LineCodec(), LengthPrefixCodec()]


@pytest.mark.parametrize("messages", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_callback_style(codec: Codec[bytes], messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    calls = calls_for(Echo(), codec, messages)
    assert calls.total() <= MESSAGE_CALLS * messages + CHUNK_CALLS, calls


@pytest.mark.parametrize("messages", [1, 2, 10, 100])
def test_callback_style_over_websocket(messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    with HandlerHarness(Echo(), codec=WebSocketCodec().opened) as peer:
        chunk = frame(2, b"hello") * messages
        peer.receive(chunk)
        calls = count_calls(lambda: peer.receive(chunk))
        assert read_frames(peer.sent) == [(2, b"hello")] * 2 * messages
        assert peer.writes == 2
    del calls["test_callback_style_over_websocket.<locals>.<lambda>"]
    assert calls.total() <= WEBSOCKET_MESSAGE_CALLS * messages + WEBSOCKET_CHUNK_CALLS, calls


@pytest.mark.parametrize("messages", [1, 10])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_callback_style_on_asyncio(codec: Codec[bytes], messages: int) -> None:
    calls = calls_for(Echo(), codec, messages)
    assert calls.total() <= MESSAGE_CALLS * messages + CHUNK_CALLS + BUFFERED_CALLS, calls


@pytest.mark.parametrize("messages", [1, 10])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_batch_style(codec: Codec[bytes], messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    calls = calls_for(BatchEcho(), codec, messages)
    assert calls.total() <= BATCH_MESSAGE_CALLS * messages + BATCH_CHUNK_CALLS, calls


@pytest.mark.parametrize("messages", [1, 10, 100])
@pytest.mark.parametrize(
    ("handler", "budget"), [(AsyncEcho(), ASYNC_MESSAGE_CALLS), (echo, COROUTINE_MESSAGE_CALLS)], ids=["async", "plain"]
)
def test_coroutine_styles(handler: object, budget: int, messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    calls = calls_for(handler, LineCodec(), messages)
    assert calls.total() <= budget * messages + COROUTINE_CHUNK_CALLS, calls


@pytest.mark.parametrize("messages", [1, 10, 100])
@pytest.mark.parametrize(("handler", "own"), [(AsyncEcho(), 1), (echo, 0)], ids=["async", "plain"])
def test_coroutine_styles_compiled(handler: object, own: int, messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled makes no frame for a message; as plain Python this is the test above."""
    as_on_uvloop(monkeypatch)
    calls = calls_for(handler, LineCodec(), messages)
    plain = issubclass(CoroutineConnection, PlainAwaiting)
    budget = COROUTINE_MESSAGE_CALLS if plain else COMPILED_COROUTINE_MESSAGE_CALLS + own
    assert calls.total() <= budget * messages + COROUTINE_CHUNK_CALLS, calls


@pytest.mark.parametrize("chunks", [2, 20])
def test_a_chunk_that_completes_nothing(chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)
    with HandlerHarness(Echo(), codec=LengthPrefixCodec()) as peer:
        peer.receive(LengthPrefixCodec().encode(bytes(1000))[:10])
        calls = count_calls(lambda: peer.receive(*[b"x" * 10] * chunks))
        assert calls.total() - 1 <= CHUNK_CALLS * chunks, calls
