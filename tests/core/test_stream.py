"""The way in: messages, callbacks and their order, holding back, faults. How connections end is in test_ending."""

from __future__ import annotations

import pytest

from aionet import CloseReason, Connection, LengthPrefixCodec, LineCodec, StreamHandler
from aionet.errors import FrameTooLarge, IncompleteFrame, MalformedFrame
from aionet.testing import HandlerHarness

from .stream_tools import AsyncRecorder, BatchRecorder, EchoReplies, Recorder, as_on_uvloop

STYLES = pytest.mark.parametrize("style", [Recorder, BatchRecorder, AsyncRecorder])
Style = type[Recorder] | type[BatchRecorder] | type[AsyncRecorder]


@pytest.fixture(params=["buffered", "plain"], autouse=True)
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with the classes that asyncio is served by, and with those for uvloop."""
    if request.param == "plain":
        as_on_uvloop(monkeypatch)


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@STYLES
def test_callbacks_come_in_order(style: Style) -> None:
    handler = style()
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n", b"three\nfo", b"ur\n")
        peer.eof()
    assert handler.messages == [b"one", b"two", b"three", b"four"]
    assert [name for name in handler.names if name != "on_message"] == ["on_connect", "on_eof", "on_close"]
    assert handler.reason is CloseReason.PEER_CLOSED


def test_a_batch_is_what_one_chunk_brought() -> None:
    handler = BatchRecorder()
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\nthr", b"ee\n")
        assert handler.calls[1:] == [("on_message", b"one", b"two"), ("on_message", b"three")]


def test_on_connect_may_write_and_close() -> None:
    def greet(conn: Connection[bytes]) -> None:
        conn.write(b"full")
        conn.close()

    handler = Recorder(on_connect=greet)
    with HandlerHarness(handler) as peer:
        assert peer.sent == b"full\n"
        assert handler.names == ["on_connect", "on_close"]
        assert handler.reason is CloseReason.LOCAL_CLOSED


def test_a_handler_that_overrides_nothing_is_a_sink() -> None:
    with HandlerHarness(StreamHandler[bytes]()) as peer:
        peer.receive(b"whatever")
        assert not peer.closed
        peer.eof()
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


def test_callbacks_set_on_the_instance_are_called_as_well() -> None:
    seen: list[CloseReason] = []
    handler = StreamHandler[bytes]()
    handler.on_close = lambda conn, reason, exc: seen.append(reason)  # type: ignore[method-assign]
    with HandlerHarness(handler) as peer:
        peer.eof()
    assert seen == [CloseReason.PEER_CLOSED]


def test_state_is_made_at_first_use_and_may_be_replaced() -> None:
    with HandlerHarness(StreamHandler[bytes]()) as peer:
        peer.conn.state.name = "x"
        assert peer.conn.state.name == "x"
        other = peer.connect()
        assert not vars(other.conn.state)
        peer.conn.state = 7
        assert peer.conn.state == 7


def test_what_a_connection_says_of_itself() -> None:
    with HandlerHarness(Recorder(), timeouts=None) as peer:
        conn = peer.conn
        peer.receive(b"one\ntwo\n")
        conn.write(b"12345")
        peer.advance()
        assert (conn.route, conn.peername, conn.sockname) == ("memory", ("192.0.2.1", 50001), ("192.0.2.254", 7000))
        assert conn.tls is None
        assert conn.fileno() == -1
        assert isinstance(conn.codec, LineCodec)
        assert "open" in repr(conn)
        assert conn.stats.messages_received == 2
        assert conn.stats.bytes_received == 8
        assert conn.stats.messages_sent == 1
        assert conn.stats.bytes_sent == 6
        peer.stall()
        conn.write(bytes(10_000))
        peer.call(conn.close)
        assert "closing" in repr(conn)
        peer.take()
        assert "closed" in repr(conn)


def test_receive_is_not_for_callbacks() -> None:
    with HandlerHarness(Recorder()) as peer:
        task = peer.start(peer.conn.receive())
        with pytest.raises(RuntimeError, match="callbacks"):
            task.result()


# ── closing in the middle ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ["close", "abort"])
def test_the_rest_of_the_batch_is_discarded_after_close(end: str) -> None:
    def stop_at_two(conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)
        if message == b"two":
            getattr(conn, end)()
            conn.write(b"after the end")

    handler = Recorder(on_message=stop_at_two)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\nthree\nfour\n", b"five\n")
        assert handler.messages == [b"one", b"two"]
        assert peer.sent == (b"one\ntwo\n" if end == "close" else b"")
        assert handler.reason is CloseReason.LOCAL_CLOSED
        assert peer.transport.aborted is (end == "abort")


# ── holding back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pause_inside_a_batch_holds_back_and_resume_delivers_in_order() -> None:
    def pause_at_two(conn: Connection[bytes], message: bytes) -> None:
        if message == b"two":
            conn.pause_reading()

    handler = Recorder(on_message=pause_at_two)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\nthree\nfo", b"ur\nfive\n")
        assert handler.messages == [b"one", b"two"]
        assert not peer.transport.is_reading()
        peer.call(peer.conn.pause_reading)  # idempotent
        peer.advance(10)
        assert handler.messages == [b"one", b"two"]
        peer.call(peer.conn.resume_reading)
        assert handler.messages == [b"one", b"two", b"three", b"four", b"five"]
        peer.call(peer.conn.resume_reading)
        assert peer.transport.is_reading()
        peer.receive(b"six\n")
        assert handler.messages[-1] == b"six"


def test_resume_delivers_from_the_next_tick_on() -> None:
    seen: list[int] = []
    handler = Recorder(on_message=lambda conn, message: conn.pause_reading())

    def resume(conn: Connection[bytes]) -> None:
        conn.resume_reading()
        seen.append(len(handler.messages))

    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        peer.call(resume, peer.conn)
        assert seen == [1]
        assert handler.messages == [b"one", b"two"]


def test_pause_for_each_message_delivers_one_at_a_time() -> None:
    handler = Recorder(on_message=lambda conn, message: conn.pause_reading())
    with HandlerHarness(handler) as peer:
        peer.receive(b"1\n2\n3\n", b"4\n5\n")
        for count in range(1, 6):
            assert len(handler.messages) == count
            peer.call(peer.conn.resume_reading)
        assert handler.messages == [b"1", b"2", b"3", b"4", b"5"]


def test_pausing_and_resuming_in_one_callback_changes_nothing() -> None:
    def twitch(conn: Connection[bytes], message: bytes) -> None:
        conn.pause_reading()
        conn.resume_reading()

    handler = Recorder(on_message=twitch)
    with HandlerHarness(handler) as peer:
        peer.receive(b"1\n2\n3\n", b"4\n")
        assert handler.messages == [b"1", b"2", b"3", b"4"]
        assert peer.transport.is_reading()


def test_resumed_and_paused_again_before_the_next_tick_stays_paused() -> None:
    handler = Recorder(on_message=lambda conn, message: conn.pause_reading())

    def twitch(conn: Connection[bytes]) -> None:
        conn.resume_reading()
        conn.pause_reading()

    with HandlerHarness(handler) as peer:
        peer.receive(b"1\n2\n", b"3\n")
        peer.call(twitch, peer.conn)
        assert handler.messages == [b"1"]
        assert not peer.transport.is_reading()


def test_eof_waits_behind_held_messages() -> None:
    handler = Recorder(LineCodec(eof_ends_line=True), on_message=lambda conn, message: conn.pause_reading())
    with HandlerHarness(handler) as peer:
        peer.receive(b"1\n2\nrest")
        peer.eof()
        assert handler.names == ["on_connect", "on_message"]
        peer.call(peer.conn.resume_reading)
        assert handler.messages == [b"1", b"2"]
        assert "on_eof" not in handler.names
        peer.call(peer.conn.resume_reading)
        assert handler.messages == [b"1", b"2", b"rest"]
        peer.call(peer.conn.resume_reading)
        assert handler.names[-2:] == ["on_eof", "on_close"]


def test_messages_that_the_end_brings_are_held_back_as_others() -> None:
    """Reading is paused after the peer's last chunk was read, by what the end itself delivers."""
    handler = Recorder(_TwoAtTheEnd(), on_message=lambda conn, message: conn.pause_reading())
    with HandlerHarness(handler) as peer:
        peer.eof()
        assert handler.messages == [b"first"]
        peer.call(peer.conn.resume_reading)
        assert handler.messages == [b"first", b"second"]
        peer.call(peer.conn.resume_reading)
        assert handler.names[-2:] == ["on_eof", "on_close"]


class _TwoAtTheEnd(LineCodec):
    def feed_eof(self) -> list[bytes]:
        return [b"first", b"second"]


def test_on_eof_is_called_once_however_often_reading_is_resumed_behind_it() -> None:
    handler = Recorder(on_eof=lambda conn: None)
    with HandlerHarness(handler) as peer:
        peer.eof()
        peer.call(peer.conn.pause_reading)
        peer.call(peer.conn.resume_reading)
        assert handler.names == ["on_connect", "on_eof"]


def test_on_eof_is_called_once_where_the_peer_reads_slowly_behind_it() -> None:
    handler = Recorder(on_eof=lambda conn: conn.write(bytes(50_000)), on_writable=lambda conn: None)
    with HandlerHarness(handler, codec=LengthPrefixCodec()) as peer:
        peer.stall()
        peer.eof()
        peer.call(peer.conn.write, bytes(50_000))
        peer.take()
        assert handler.names == ["on_connect", "on_eof", "on_writable"]
        peer.call(peer.conn.close)
        assert handler.reason is CloseReason.PEER_CLOSED


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@STYLES
def test_good_messages_come_before_a_fault_and_last_words_after(style: Style) -> None:
    handler = style(LineCodec(max_size=10), on_fault=lambda conn, fault: conn.write(b"too long"))
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n" + b"x" * 20 + b"\nthree\n")
        assert handler.messages == [b"one", b"two"]
        assert handler.names[-1] == "on_fault"
        assert isinstance(handler.calls[-1][1], FrameTooLarge)
        assert peer.sent == b"too long\n"
        # Lingering: the peer is told that no more comes, and may still send without being reset.
        assert peer.transport.eof_sent
        assert not peer.transport.lost
        peer.receive(b"x" * 1000, b"y\n")
        assert not peer.transport.reset
        peer.eof()
        assert handler.reason is CloseReason.FRAMING_ERROR
        assert isinstance(handler.calls[-1][2], FrameTooLarge)
        assert not peer.transport.reset
        assert handler.messages == [b"one", b"two"]


@STYLES
def test_a_fault_waits_behind_what_is_held_back(style: Style) -> None:
    handler = style(LineCodec(max_size=10), on_message=lambda conn, *messages: conn.pause_reading())
    with HandlerHarness(handler) as peer:
        peer.call(peer.conn.pause_reading)
        peer.receive(b"one\n", b"two\n" + b"x" * 20)
        for _ in range(4):
            peer.call(peer.conn.resume_reading)
        assert handler.messages == [b"one", b"two"]
        assert handler.names[-1] == "on_fault"


def test_a_stream_that_ends_inside_a_message_is_a_fault() -> None:
    handler = Recorder()
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntw")
        peer.eof()
        assert handler.names == ["on_connect", "on_message", "on_fault", "on_close"]
        assert isinstance(handler.calls[2][1], IncompleteFrame)
        assert handler.reason is CloseReason.FRAMING_ERROR


def test_a_fault_that_the_end_brings_comes_behind_its_messages() -> None:
    codec = _FaultAtTheEnd()
    handler = Recorder(codec)
    with HandlerHarness(handler) as peer:
        peer.eof()
        assert handler.names == ["on_connect", "on_message", "on_message", "on_fault", "on_close"]


class _FaultAtTheEnd(_TwoAtTheEnd):
    def feed_eof(self) -> list[bytes]:
        self.fault = MalformedFrame("in the end")
        return super().feed_eof()


class _Raising(LineCodec):
    def __init__(self, exc: Exception, where: str = "feed") -> None:
        super().__init__()
        self.exc = exc
        self.where = where

    def feed(self, data: bytes) -> list[bytes]:
        if self.where == "feed":
            raise self.exc
        return super().feed(data)

    def feed_eof(self) -> list[bytes]:
        if self.where == "feed_eof":
            raise self.exc
        return super().feed_eof()


def test_a_protocol_error_that_a_codec_raises_is_a_fault_all_the_same() -> None:
    handler = Recorder(_Raising(MalformedFrame("no")))
    with HandlerHarness(handler) as peer:
        peer.receive(b"x")
        assert handler.names == ["on_connect", "on_fault"]
        peer.eof()
        assert handler.reason is CloseReason.FRAMING_ERROR


@pytest.mark.parametrize("where", ["feed", "feed_eof"])
def test_a_codec_that_raises_anything_else_ends_its_connection_alone(where: str) -> None:
    handler = Recorder(_Raising(ZeroDivisionError("bug"), where))
    with HandlerHarness(handler) as peer:
        other = peer.connect()
        peer.receive(b"x\n")
        peer.eof() if where == "feed_eof" else None
        failure = peer.failures.pop()
        assert (failure.where, str(failure.exc)) == (f"codec.{where}", "bug")
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.HANDLER_ERROR
        assert not other.closed
        handler.calls.clear()


# ── codecs that answer by themselves ─────────────────────────────────────────────────────────────────────────────────


def test_a_codec_may_answer_by_itself() -> None:
    handler = Recorder(EchoReplies(), on_message=lambda conn, message: conn.write(message))
    with HandlerHarness(handler) as peer:
        peer.receive(b"?ping\nhello\n?pong\n")
        assert handler.messages == [b"hello"]
        assert peer.sent == b"!ping\n!pong\nhello\n"
        assert peer.writes == 1


def test_a_codec_answers_while_its_messages_are_held_back() -> None:
    handler = Recorder(EchoReplies(), on_message=lambda conn, message: conn.write(b"never"))
    with HandlerHarness(handler) as peer:
        peer.call(peer.conn.pause_reading)
        peer.transport.resume_reading()  # as a TLS transport may still have something
        peer.receive(b"?ping\nhello\n")
        assert handler.messages == []
        assert peer.sent == b"!ping\n"
