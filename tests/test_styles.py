"""Which style a handler has, and what is no handler at all."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from aionet import Connection, DatagramHandler, DatagramPort, StreamHandler
from aionet.errors import RouteError
from aionet.events import Address
from aionet.styles import DatagramStyle, StreamStyle, datagram_style, stream_style


class Callback(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None: ...


class Batch(StreamHandler[bytes]):
    def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None: ...


class AsyncMessage(StreamHandler[bytes]):
    async def on_message(self, conn: Connection[bytes], message: bytes) -> None: ...


class CallableObject:
    async def __call__(self, conn: Connection[bytes]) -> None: ...


class Bound:
    async def serve(self, conn: Connection[bytes]) -> None: ...


async def coroutine(conn: Connection[bytes]) -> None: ...


async def with_two(greeting: bytes, conn: Connection[bytes]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "style"),
    [
        (Callback(), StreamStyle.CALLBACK),
        (StreamHandler(), StreamStyle.CALLBACK),
        (Batch(), StreamStyle.BATCH),
        (AsyncMessage(), StreamStyle.ASYNC_MESSAGE),
        (coroutine, StreamStyle.COROUTINE),
        (CallableObject(), StreamStyle.COROUTINE),
        (Bound().serve, StreamStyle.COROUTINE),
        (functools.partial(with_two, b"hello"), StreamStyle.COROUTINE),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_stream_styles(handler: object, style: StreamStyle) -> None:
    assert stream_style(handler) is style


class Both(Batch):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None: ...


class AsyncConnect(StreamHandler[bytes]):
    async def on_connect(self, conn: Connection[bytes]) -> None: ...  # type: ignore[override]


class AsyncBatch(StreamHandler[bytes]):
    async def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None: ...  # type: ignore[override]


def plain(conn: Any) -> None: ...


async def generator(conn: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("handler", "says", "hint"),
    [
        (Both(), "Both overrides both on_message and on_messages", "keep one of them"),
        (AsyncConnect(), "AsyncConnect.on_connect must be a plain function, not async", "only on_message may be async"),
        (AsyncBatch(), "AsyncBatch.on_messages must be a plain function", "only on_message may be async"),
        (Callback, "is no handler here", "give an instance: Callback\\(\\)"),
        (CallableObject, "is no handler here", None),
        (DatagramHandler(), "is no handler here: a StreamHandler instance or an 'async def handler\\(conn\\)'", None),
        (plain, "is no handler here", None),
        (generator, "is no handler here", None),
        (None, "None is no handler here", None),
        ("echo", "'echo' is no handler here", None),
    ],
    ids=lambda value: None,
)
def test_what_is_no_stream_handler(handler: object, says: str, hint: str | None) -> None:
    with pytest.raises(RouteError, match=says) as caught:
        stream_style(handler)
    if hint is None:
        assert caught.value.hint is None
    else:
        assert caught.match(says)
        assert caught.value.hint is not None
        assert hint.replace("\\", "") in caught.value.hint


class Datagrams(DatagramHandler):
    def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> None: ...


class AsyncDatagrams(DatagramHandler):
    async def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> None: ...


class AsyncBind(DatagramHandler):
    async def on_bind(self, port: DatagramPort[Any]) -> None: ...  # type: ignore[override]


def test_datagram_styles() -> None:
    assert datagram_style(Datagrams()) is DatagramStyle.CALLBACK
    assert datagram_style(AsyncDatagrams()) is DatagramStyle.ASYNC_DATAGRAM
    assert datagram_style(coroutine) is DatagramStyle.COROUTINE


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (AsyncBind(), "AsyncBind.on_bind must be a plain function"),
        (Callback(), "is no handler here: a DatagramHandler instance or an 'async def handler\\(port\\)'"),
        (Datagrams, "is no handler here"),
        (plain, "is no handler here"),
    ],
    ids=["async-bind", "stream", "class", "plain"],
)
def test_what_is_no_datagram_handler(handler: object, says: str) -> None:
    with pytest.raises(RouteError, match=says):
        datagram_style(handler)
