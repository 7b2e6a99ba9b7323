"""Which class serves which style, the shared read buffer, and what an idle connection costs."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any, Final

import pytest

from aionet import Connection, LineCodec, StreamHandler
from aionet.core.connections import connection_factory
from aionet.core.coroutine import CoroutineConnection
from aionet.core.loop import READ_BUFFER
from aionet.core.stream import StreamConnection
from aionet.testing import HandlerHarness

from .stream_tools import AsyncRecorder, BatchRecorder, Recorder, as_on_uvloop

IDLE_BYTES: Final = 1050
"""Of Python objects for an idle connection with a LineCodec, by tracemalloc: 933 measured on CPython 3.11 (379 the
connection itself, 80 its codec, three bound methods of 64, its list for output, its places in two sets), and air."""


async def coroutine(conn: Connection[Any]) -> None:
    await conn.wait_closed()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Recorder, StreamConnection),
        (BatchRecorder, StreamConnection),
        (AsyncRecorder, CoroutineConnection),
        (lambda: coroutine, CoroutineConnection),
    ],
)
@pytest.mark.parametrize("uvloop", [False, True])
def test_the_class_is_chosen_by_style_and_loop(
    make: Any, kind: type[Any], uvloop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aionet.core.loop.Reactor", None)
    if uvloop:
        as_on_uvloop(monkeypatch)
    with HandlerHarness(make(), codec=LineCodec()) as peer:
        assert isinstance(peer.conn, kind)
        assert hasattr(peer.conn, "get_buffer") is not uvloop


@pytest.mark.parametrize("make", [Recorder, BatchRecorder, AsyncRecorder, lambda: coroutine])
def test_no_connection_uses_its_dictionary(make: Any) -> None:
    """It has one, because anyio's classes have: an entry in it would cost more than all slots together."""
    with HandlerHarness(make(), codec=LineCodec()) as peer:
        peer.receive(b"one\n")
        peer.call(peer.conn.write, b"two")
        assert vars(peer.conn) == {}


def test_the_shared_buffer_is_copied_from() -> None:
    """Whatever comes next must not change a message that a handler, or a codec, kept."""
    kept: list[bytes] = []

    class Keeper(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None:
            kept.append(message)

    with HandlerHarness(Keeper()) as peer:
        other = peer.connect()
        peer.receive(b"first")
        other.receive(b"other")
        assert kept == [b"first", b"other"]
        assert all(type(message) is bytes for message in kept)


def test_a_chunk_as_large_as_the_buffer_is_read_whole() -> None:
    handler = Recorder()
    with HandlerHarness(handler, codec=LineCodec(max_size=10 * READ_BUFFER)) as peer:
        peer.receive(b"x" * (READ_BUFFER - 1) + b"\n" + b"y" * (2 * READ_BUFFER) + b"\n")
        assert [len(message) for message in handler.messages] == [READ_BUFFER - 1, 2 * READ_BUFFER]


def test_an_idle_connection_is_small() -> None:
    count = 500
    with HandlerHarness(StreamHandler[bytes](), codec=LineCodec()) as peer:
        make = connection_factory(peer._context)
        transport = peer.transport

        def open_one() -> StreamConnection[Any]:
            conn = make()
            conn.connection_made(transport)
            return conn

        kept = peer.call(lambda: [open_one() for _ in range(10)])
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        kept += peer.call(lambda: [open_one() for _ in range(count)])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        each = (after - before) / count
        for conn in kept:
            peer.call(conn.connection_lost, None)
        assert each <= IDLE_BYTES, each
