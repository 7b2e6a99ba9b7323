"""What a route resolves once: codec, callbacks, styles."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aionet import Connection, Endpoint, LineCodec, RawCodec, StreamHandler, Timeouts, WebSocketCodec
from aionet.core.context import StreamContext, codec_factory
from aionet.core.deadlines import Deadlines
from aionet.errors import ConfigError, RouteError
from aionet.events import Events
from aionet.limits import Limits
from aionet.styles import StreamStyle
from aionet.testing import HandlerHarness, VirtualClockLoop

from .stream_tools import Recorder


def context(handler: Any, **options: Any) -> StreamContext[Any]:
    loop = VirtualClockLoop()
    try:
        return StreamContext(
            "route",
            handler,
            None,
            loop=loop,
            events=Events(),
            deadlines=Deadlines(loop, 0.25),
            limits=options.pop("limits", Limits()),
            timeouts=options.pop("timeouts", Timeouts()),
        )
    finally:
        loop.close()


# ── codecs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_codec_is_chunks_of_bytes() -> None:
    assert isinstance(codec_factory(None)(), RawCodec)


def test_an_instance_is_cloned_for_each_connection() -> None:
    codec = LineCodec(max_size=7)
    make = codec_factory(codec)
    first, second = make(), make()
    assert isinstance(first, LineCodec)
    assert first.max_size == 7
    assert len({id(codec), id(first), id(second)}) == 3


def test_anything_that_makes_one_will_do() -> None:
    assert isinstance(codec_factory(LineCodec)(), LineCodec)
    assert codec_factory(lambda: LineCodec(max_size=9))().max_size == 9


def test_what_was_given_comes_before_the_handler_s_own() -> None:
    assert isinstance(codec_factory(None, LineCodec)(), LineCodec)
    assert isinstance(codec_factory(RawCodec, LineCodec)(), RawCodec)


@pytest.mark.parametrize("given", [None, WebSocketCodec(), WebSocketCodec, lambda: WebSocketCodec()])
@pytest.mark.parametrize("own", [None, LineCodec(9), lambda: LineCodec(9)])
def test_a_carrier_takes_the_handler_s_own(given: Any, own: Any) -> None:
    made = codec_factory(given, own, Endpoint.parse("ws://127.0.0.1:0/chat"))()
    assert isinstance(made, WebSocketCodec)
    assert isinstance(made.inner, RawCodec if own is None else LineCodec)
    if given is not None:
        plain = codec_factory(given, own, Endpoint.parse("tcp://127.0.0.1:0"))()
        assert isinstance(plain, WebSocketCodec)
        assert type(plain.inner) is type(made.inner)
        assert plain.inner is not codec_factory(given, own)().inner  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (7, "is no codec"),
        ("line", "is no codec"),
        (lambda: 7, "which is no Codec"),
        (lambda needed: None, "failed: TypeError"),
        (lambda: LineCodec(max_size=0), "failed: ConfigError"),
        (StreamHandler, "which is no Codec"),
    ],
)
def test_what_is_no_codec_is_refused_at_registration(source: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        codec_factory(source)


def test_connections_share_nothing_of_their_codecs() -> None:
    handler = Recorder()
    with HandlerHarness(StreamHandler[bytes](), codec=handler.codec) as peer:
        other = peer.connect()
        peer.receive(b"half a li")
        assert peer.conn.codec.buffered == 9
        assert other.conn.codec.buffered == 0


# ── handlers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_callbacks_that_do_nothing_are_not_called() -> None:
    bare = context(StreamHandler[bytes]())
    assert (bare.on_connect, bare.on_writable, bare.on_fault, bare.on_close) == (None, None, None, None)
    full = context(Recorder())
    assert None not in (full.on_connect, full.on_writable, full.on_fault, full.on_close, full.on_eof, full.on_drain)


def test_styles() -> None:
    async def coroutine(conn: Connection[Any]) -> None: ...

    class Both(StreamHandler[bytes]):
        def on_message(self, conn: Connection[bytes], message: bytes) -> None: ...
        def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None: ...

    assert context(coroutine).style is StreamStyle.COROUTINE
    assert context(None).style is StreamStyle.COROUTINE
    assert context(Recorder()).style is StreamStyle.CALLBACK
    for wrong in (Both(), Recorder, object(), print):
        with pytest.raises(RouteError):
            context(wrong)


def test_a_coroutine_has_no_message_callback() -> None:
    with pytest.raises(AssertionError, match="inbox"):
        context(None).on_message(None, b"")


# ── limits and deadlines ─────────────────────────────────────────────────────────────────────────────────────────────


def test_water_marks_are_set_only_where_they_are_not_the_loops_own() -> None:
    assert not context(None).sets_water
    assert context(None, limits=Limits(high_water=1000, low_water=10)).sets_water


def test_connections_are_looked_at_four_times_in_their_shortest_deadline() -> None:
    timeouts = Timeouts(first_message=40, message=20, idle=80, send=60, handshake=1, linger=1)
    looked = context(None, timeouts=timeouts)
    assert looked.check_interval == 5
    assert looked.first_check() == 1005
    never = context(
        None,
        timeouts=Timeouts(first_message=math.inf, message=math.inf, idle=math.inf, send=math.inf),
    )
    assert never.first_check() == math.inf


def test_the_handlers_own_codec_limits_and_timeouts_are_taken() -> None:
    class Own(StreamHandler[bytes]):
        codec = LineCodec()
        limits = Limits(high_water=123, low_water=12)
        timeouts = Timeouts(first_message=1)

    with HandlerHarness(Own()) as peer:
        assert isinstance(peer.conn.codec, LineCodec)
        assert peer.transport.get_write_buffer_limits() == (12, 123)
        peer.advance(1.5)
        assert peer.closed
