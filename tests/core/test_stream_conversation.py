"""Codecs that talk to the peer themselves: a handshake before the handler hears of it, signs of life, farewells."""

from __future__ import annotations

import struct
from typing import Any, Final

import anyio
import pytest

from aionet import CloseReason, Connection, Group, LineCodec, RawCodec, StreamHandler, Timeouts, WebSocketCodec
from aionet.codecs.websocket import Page
from aionet.errors import EncodeError, HandshakeError
from aionet.events import ConnectionClosed, ConnectionOpened
from aionet.limits import Limits
from aionet.testing import HandlerHarness

from ..codecs.frames import close, frame, read_frames, text
from ..codecs.test_websocket_opening import get, head
from .stream_tools import AsyncRecorder, BatchRecorder, EchoReplies, Recorder

Style = type[Recorder] | type[BatchRecorder] | type[AsyncRecorder]
each_style: Final = pytest.mark.parametrize("style", [Recorder, BatchRecorder, AsyncRecorder])


def lines(**options: Any) -> WebSocketCodec[bytes]:
    return WebSocketCodec(LineCodec(), **options)


def opened(style: Style, timeouts: Timeouts | None = None, **actions: Any) -> HandlerHarness:
    """Past its handshake."""
    peer = HandlerHarness(style(lines(), **actions), timeouts=timeouts)
    peer.receive(head())
    assert peer.sent.startswith(b"HTTP/1.1 101 ")
    peer.transport.writes.clear()
    return peer


def trickle(peer: HandlerHarness, data: bytes, seconds: int) -> None:
    """A byte every five seconds."""
    for byte in data[: seconds // 5]:
        peer.receive(bytes([byte]))
        peer.advance(5)


def code(payload: bytes) -> int:
    return int(struct.unpack("!H", payload[:2])[0])


# ── the handshake ────────────────────────────────────────────────────────────────────────────────────────────────────


@each_style
def test_the_handler_hears_of_it_after_the_handshake(style: Style) -> None:
    handler = style(lines(), on_connect=lambda conn: conn.write(b"hello " + conn.codec.request.path.encode()))
    with HandlerHarness(handler) as peer:
        request = head("/chat") + text("one")
        peer.receive(request[:50])
        assert handler.names == []
        assert [type(event) for event in peer.events] == [ConnectionOpened]
        peer.receive(request[50:])
        assert handler.names == ["on_connect", "on_message"]
        answer, _, frames = peer.sent.partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert read_frames(frames) == [(1, b"hello /chat")]
        assert peer.writes == 1
        assert peer.conn.stats.messages_sent == 1
        peer.receive(close())
        peer.eof()
        assert handler.names[-2:] == ["on_eof", "on_close"]
        assert handler.reason is CloseReason.PEER_CLOSED


@each_style
@pytest.mark.parametrize(
    ("request_", "answer", "reason"),
    [
        (head("/other"), b"HTTP/1.1 404 ", CloseReason.REFUSED),
        (head(Origin="http://evil.example"), b"HTTP/1.1 403 ", CloseReason.REFUSED),
        (b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 400 ", CloseReason.REFUSED),
        (get("/healthz"), b"HTTP/1.1 200 ", CloseReason.LOCAL_CLOSED),
    ],
)
def test_a_request_that_is_none_is_answered_and_no_handler_hears_of_it(
    style: Style, request_: bytes, answer: bytes, reason: CloseReason
) -> None:
    handler = style(lines(path="/chat", pages={"/healthz": Page(b"ok")}))
    with HandlerHarness(handler) as peer:
        peer.receive(request_)
        assert peer.sent.startswith(answer)
        assert peer.transport.eof_sent
        peer.receive(b"x" * 100_000)
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is reason
        assert isinstance(peer.closed.exc, HandshakeError) is (reason is CloseReason.REFUSED)
        assert not peer.transport.reset
        assert handler.names == []


@each_style
def test_a_handshake_has_its_time(style: Style) -> None:
    handler = style(lines())
    with HandlerHarness(handler, timeouts=Timeouts(handshake=5)) as peer:
        for byte in head()[:4]:
            peer.receive(bytes([byte]))
            peer.advance(1)
        assert peer.sent == b""
        peer.advance(2)
        assert peer.sent.startswith(b"HTTP/1.1 408 Request Timeout")
        peer.advance(3)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.HANDSHAKE_TIMEOUT
        assert handler.names == []


@each_style
def test_the_peer_leaves_in_the_middle_of_the_handshake(style: Style) -> None:
    handler = style(lines())
    with HandlerHarness(handler) as peer:
        peer.receive(head()[:40])
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED
        other = peer.connect()
        other.receive(head()[:40])
        other.reset()
        assert other.closed is not None
        assert other.closed.reason is CloseReason.PEER_RESET
        assert handler.names == []


@each_style
def test_a_drain_in_the_middle_of_the_handshake(style: Style) -> None:
    handler = style(lines())
    with HandlerHarness(handler) as peer:
        peer.receive(head()[:40])
        peer.drain()
        assert peer.sent.startswith(b"HTTP/1.1 503 ")
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.SHUTDOWN
        assert handler.names == []


def test_pages_that_fail_close_their_connection_alone() -> None:
    def pages(request: object) -> None:
        raise RuntimeError("no page")

    handler = Recorder(lines(pages=pages))
    with HandlerHarness(handler) as peer:
        peer.receive(get("/"))
        assert peer.sent.startswith(b"HTTP/1.1 500 ")
        assert peer.failures.pop().where == "codec.feed"
        peer.eof()
        assert handler.names == []


# ── the peer's goodbye ───────────────────────────────────────────────────────────────────────────────────────────────


@each_style
def test_a_close_frame_is_the_end_of_the_stream_and_answered_behind_all_else(style: Style) -> None:
    def last_words(conn: Connection[bytes]) -> None:
        conn.write(b"last words")
        conn.close()

    with opened(style, on_message=lambda conn, *batch: conn.write(batch[0]), on_eof=last_words) as peer:
        peer.receive(text("one") + close(4001, b"bye"))
        assert read_frames(peer.sent) == [(1, b"one"), (1, b"last words"), (8, b"\x0f\xa1bye")]
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


@each_style
def test_all_may_come_in_one_chunk(style: Style) -> None:
    handler = style(lines(), on_message=lambda conn, *batch: conn.write(batch[0]))
    with HandlerHarness(handler) as peer:
        peer.receive(head() + text("one") + close())
        assert handler.names == ["on_connect", "on_message", "on_eof", "on_close"]
        assert read_frames(peer.sent.partition(b"\r\n\r\n")[2]) == [(1, b"one"), (8, b"\x03\xe8")]


def test_a_handler_may_stay_open_behind_it() -> None:
    with opened(Recorder, on_eof=lambda conn: None) as peer:
        peer.receive(close())
        assert peer.sent == b""
        peer.call(peer.conn.write, b"more")
        peer.call(peer.conn.close)
        assert read_frames(peer.sent) == [(1, b"more"), (8, b"\x03\xe8")]


def test_what_is_held_back_is_delivered_before_it() -> None:
    with opened(Recorder, on_message=lambda conn, line: conn.pause_reading()) as peer:
        handler = peer._context.handler
        assert isinstance(handler, Recorder)
        peer.receive(text("one") + text("two") + close())
        assert handler.names[-1] == "on_message"
        for _ in range(2):
            peer.call(peer.conn.resume_reading)
        assert handler.names[1:] == ["on_message", "on_message", "on_eof", "on_close"]


@each_style
def test_an_end_without_goodbye_is_an_end(style: Style) -> None:
    with opened(style) as peer:
        peer.receive(text("one"))
        peer.eof()
        assert peer.sent == b""
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


# ── our own ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@each_style
def test_closing_waits_for_the_answer(style: Style) -> None:
    with opened(style) as peer:
        peer.call(peer.conn.write, b"bye")
        peer.call(peer.conn.close)
        assert read_frames(peer.sent) == [(1, b"bye"), (8, b"\x03\xe8")]
        assert not peer.transport.eof_sent
        peer.receive(text("in flight") + frame(9))
        assert peer.closed is None
        peer.receive(close(1000))
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.LOCAL_CLOSED
        assert not peer.transport.reset
        assert peer.conn.stats.messages_received == 0


def test_closing_waits_no_longer_than_it_lingers() -> None:
    with opened(Recorder) as peer:
        peer.call(peer.conn.close)
        peer.advance(1)
        assert peer.closed is None
        peer.advance(2)
        assert peer.closed is not None
        assert peer.transport.aborted


@each_style
def test_reasons_become_close_codes(style: Style) -> None:
    def fail(conn: Connection[bytes], *batch: bytes) -> None:
        raise RuntimeError("oops")

    with opened(style, on_message=fail) as peer:
        peer.receive(text("one"))
        assert [(op, code(words)) for op, words in read_frames(peer.sent)] == [(8, 1011)]
        peer.failures.clear()
    with opened(style) as peer:
        peer.drain()
        assert [(op, code(words)) for op, words in read_frames(peer.sent)] == [(8, 1001)]
    with opened(style) as peer:
        peer.receive(text(b"\xff"))
        assert [(op, code(words)) for op, words in read_frames(peer.sent)] == [(8, 1007)]
        assert peer.transport.eof_sent
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.FRAMING_ERROR
    with opened(style) as peer:
        trickle(peer, text("x" * 100), 80)
        assert code(read_frames(peer.sent)[-1][1]) == 1008
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.MESSAGE_TIMEOUT


def test_half_closing_says_goodbye_and_reads_on() -> None:
    with opened(Recorder, on_eof=lambda conn: conn.close()) as peer:
        handler = peer._context.handler
        assert isinstance(handler, Recorder)
        peer.loop.run_until_complete(peer.conn.send_eof())
        assert read_frames(peer.sent) == [(8, b"\x03\xe8")]
        assert not peer.transport.eof_sent
        peer.receive(text("more"))
        assert handler.messages == [b"more"]
        with pytest.raises(anyio.ClosedResourceError):
            peer.loop.run_until_complete(peer.conn.send(b"too late"))
        peer.receive(close())
        assert handler.names[-2:] == ["on_eof", "on_close"]
        assert len(read_frames(peer.sent)) == 1


def test_a_half_closed_connection_is_not_asked_for_life() -> None:
    with opened(Recorder, Timeouts(keepalive=20, idle=1000), on_eof=lambda conn: None) as peer:
        peer.loop.run_until_complete(peer.conn.send_eof())
        peer.advance(200)
        assert peer.closed is None
    with opened(Recorder, Timeouts(keepalive=20, idle=1000), on_eof=lambda conn: None) as peer:
        peer.receive(close())
        peer.advance(200)
        assert peer.closed is None


def test_a_codec_without_a_farewell_waits_for_none() -> None:
    with HandlerHarness(Recorder(EchoReplies())) as peer:
        peer.receive(b"?\nhello\n")
        peer.call(peer.conn.close)
        assert peer.closed is not None
        assert peer.sent == b"!\n"


def test_a_batch_that_cannot_be_encoded_still_says_goodbye() -> None:
    def bad(conn: Connection[bytes], line: bytes) -> None:
        conn.write(b"good")
        conn.write(b"two\nlines")

    with opened(Recorder, on_message=bad) as peer:
        peer.receive(text("one"))
        assert isinstance(peer.failures.pop().exc, EncodeError)
        assert [op for op, _ in read_frames(peer.sent)] == [1, 8]


def test_a_codec_whose_farewell_fails_closes_all_the_same() -> None:
    class Rude(EchoReplies):
        def farewell(self, reason: CloseReason) -> bytes:
            raise RuntimeError("no manners")

    with HandlerHarness(Recorder(Rude())) as peer:
        peer.call(peer.conn.close)
        assert peer.failures.pop().where == "codec.farewell"
        peer.advance(3)
        assert peer.closed is not None


# ── bytes of the handler's own, groups ───────────────────────────────────────────────────────────────────────────────


def test_encoded_bytes_go_in_a_message_of_their_own() -> None:
    def answer(conn: Connection[bytes], line: bytes) -> None:
        conn.write(b"one")
        conn.write_encoded(b"a prompt without end: ")
        conn.write(b"two")

    with opened(Recorder, on_message=answer) as peer:
        peer.receive(text("go"))
        assert read_frames(peer.sent) == [(1, b"one"), (1, b"a prompt without end: "), (1, b"two")]
        assert peer.writes == 1


def test_a_group_of_both_kinds_encodes_for_each_kind_once() -> None:
    encoded: list[type] = []

    class Lines(LineCodec):
        def encode(self, message: bytes) -> bytes:
            encoded.append(type(self))
            return super().encode(message)

    group: Group[bytes] = Group()

    class Room(StreamHandler[bytes]):
        def on_connect(self, conn: Connection[bytes]) -> None:
            group.add(conn)

        def on_message(self, conn: Connection[bytes], line: bytes) -> None:
            group.broadcast(line, exclude=conn)

    with HandlerHarness(Room(), codec=lambda: WebSocketCodec(Lines()).opened()) as web:
        others = [web.connect() for _ in range(3)]
        web._context.make_codec = Lines
        plain = [web.connect() for _ in range(3)]
        web.receive(text("hello"))
        assert len(encoded) == 2
        assert web.sent == b""
        for peer in others:
            assert read_frames(peer.sent) == [(1, b"hello")]
        assert [peer.sent for peer in plain] == [b"hello\n"] * 3


# ── signs of life ────────────────────────────────────────────────────────────────────────────────────────────────────

SHORT: Final = Timeouts(keepalive=20, idle=1000)


def asked(peer: HandlerHarness) -> int:
    """How many pings it has been sent."""
    return sum(op == 9 for op, _ in read_frames(peer.sent))


@each_style
def test_a_silent_peer_is_asked_and_one_that_answers_stays(style: Style) -> None:
    with opened(style, SHORT) as peer:
        for _ in range(20):
            peer.advance(30)
            peer.receive(frame(10))
        assert 15 <= asked(peer) <= 20
        assert peer.closed is None
        assert peer.conn.stats.messages_sent == 0  # neither the handshake nor pings are any


@each_style
def test_one_that_does_not_answer_is_given_up(style: Style) -> None:
    with opened(style, SHORT) as peer:
        peer.receive(text("one"))
        peer.advance(60)
        assert asked(peer) == 1
        assert code(read_frames(peer.sent)[-1][1]) == 1001
        peer.advance(3)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.IDLE_TIMEOUT
        assert "no sign of life within 20 s" in str(peer.closed.exc)


def test_one_that_is_only_told_things_is_asked_too() -> None:
    with opened(Recorder, SHORT) as peer:
        for _ in range(60):
            peer.call(peer.conn.write, b"news")
            peer.advance(1)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.IDLE_TIMEOUT


def test_one_that_talks_is_not_asked() -> None:
    with opened(Recorder, SHORT) as peer:
        for _ in range(60):
            peer.receive(text("news"))
            peer.advance(5)
        assert asked(peer) == 0


def test_one_that_has_ended_its_side_is_not_asked() -> None:
    for ends in (close(), b""):
        with opened(Recorder, Timeouts(keepalive=20, idle=100), on_eof=lambda conn: None) as peer:
            peer.receive(ends) if ends else peer.eof()
            peer.advance(90)
            assert asked(peer) == 0
            assert peer.closed is None
            peer.advance(20)
            assert peer.closed is not None
            assert peer.closed.reason is CloseReason.IDLE_TIMEOUT


def test_one_that_has_not_taken_all_yet_is_not_blamed() -> None:
    """The question would be behind all that; whether it is taken is the send deadline's."""
    with opened(AsyncRecorder, Timeouts(keepalive=20, idle=1000, send=500)) as peer:
        peer.stall()
        for _ in range(3):
            peer.call(peer.conn.write, b"x" * 60_000)
        peer.advance(400)
        assert peer.closed is None
        assert not peer.conn.closing


def test_one_that_is_not_read_is_not_blamed() -> None:
    with opened(Recorder, SHORT) as peer:
        peer.call(peer.conn.pause_reading)
        peer.advance(200)
        assert asked(peer) == 0
        peer.call(peer.conn.resume_reading)
        peer.advance(30)
        assert asked(peer) == 1
        assert peer.closed is None


def test_a_listener_that_says_nothing_may_stay_as_long_as_it_answers() -> None:
    """``first_message`` is met by the handshake."""
    with opened(Recorder) as peer:
        for _ in range(20):
            peer.advance(20)
            peer.receive(frame(10))
        assert peer.closed is None


def test_pings_do_not_start_the_clock_of_a_message() -> None:
    with opened(Recorder) as peer:
        peer.receive(text("one"))
        for _ in range(20):
            peer.receive(frame(9))
            peer.advance(10)
        assert peer.closed is None
        trickle(peer, text("x" * 100), 50)
        assert peer.closed is None
        trickle(peer, text("x" * 100)[10:], 20)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.MESSAGE_TIMEOUT


def test_a_codec_that_only_answers_keeps_the_deadline_of_the_first_message() -> None:
    with HandlerHarness(Recorder(EchoReplies())) as peer:
        for _ in range(8):
            peer.receive(b"?\n")
            peer.advance(10)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.MESSAGE_TIMEOUT


def test_a_flood_of_pings_is_held_up_by_its_own_pongs() -> None:
    with HandlerHarness(Recorder(), codec=lambda: WebSocketCodec(RawCodec()).opened(), limits=Limits()) as peer:
        peer.stall()
        flood = frame(9, b"x" * 100) * 500
        for _ in range(30):
            peer.receive(flood)
        assert peer.transport.get_write_buffer_size() <= Limits().max_outbound
        assert peer.transport.unread > 0 or peer.closed is not None


def test_events_of_a_refused_handshake_say_why() -> None:
    with HandlerHarness(Recorder(lines(path="/chat"))) as peer:
        peer.receive(head(Origin="http://evil.example"))
        peer.eof()
        closings = [event for event in peer.events if isinstance(event, ConnectionClosed)]
        assert str(closings[0].exc) == "403 Forbidden: pages of http://evil.example may not connect (see origins)"
