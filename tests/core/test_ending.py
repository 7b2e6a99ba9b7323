"""How connections end: why, in which order, once; and that an exception of the user's never goes further than that."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any, Final

import pytest

from aionet import CloseReason, Connection, LengthPrefixCodec, LineCodec, StreamHandler, Timeouts
from aionet.events import ConnectionClosed, ConnectionOpened, HandlerFailed
from aionet.limits import Limits
from aionet.testing import HandlerHarness

from .stream_tools import LINGER, AsyncRecorder, BatchRecorder, Recorder

STYLES: Final = [Recorder, BatchRecorder, AsyncRecorder]
Style = type[Recorder] | type[BatchRecorder] | type[AsyncRecorder]


def peer_closes(peer: HandlerHarness) -> None:
    peer.eof()


def peer_resets(peer: HandlerHarness) -> None:
    peer.reset()


def network_fails(peer: HandlerHarness) -> None:
    peer.reset(OSError(errno.EHOSTUNREACH, "no route to host"))


def handler_closes(peer: HandlerHarness) -> None:
    peer.call(peer.conn.close)


def handler_aborts(peer: HandlerHarness) -> None:
    peer.call(peer.conn.abort)


def peer_is_idle(peer: HandlerHarness) -> None:
    peer.receive(b"x\n")
    peer.advance(400)


def peer_says_nothing(peer: HandlerHarness) -> None:
    peer.advance(100)


def peer_breaks_the_grammar(peer: HandlerHarness) -> None:
    peer.receive(b"x" * 200)
    peer.advance(10)


def peer_does_not_read(peer: HandlerHarness) -> None:
    peer.stall()
    for _ in range(3):
        peer.call(peer.conn.write_encoded, bytes(70_000))


def peer_stalls(peer: HandlerHarness) -> None:
    peer.stall()
    peer.call(peer.conn.write_encoded, b"x")
    peer.advance(50)


def server_leaves(peer: HandlerHarness) -> None:
    peer.drain()


WAYS: Final[list[tuple[Callable[[HandlerHarness], None], CloseReason]]] = [
    (peer_closes, CloseReason.PEER_CLOSED),
    (peer_resets, CloseReason.PEER_RESET),
    (network_fails, CloseReason.TRANSPORT_ERROR),
    (handler_closes, CloseReason.LOCAL_CLOSED),
    (handler_aborts, CloseReason.LOCAL_CLOSED),
    (peer_is_idle, CloseReason.IDLE_TIMEOUT),
    (peer_says_nothing, CloseReason.MESSAGE_TIMEOUT),
    (peer_breaks_the_grammar, CloseReason.FRAMING_ERROR),
    (peer_does_not_read, CloseReason.SLOW_CONSUMER),
    (peer_stalls, CloseReason.SLOW_CONSUMER),
    (server_leaves, CloseReason.SHUTDOWN),
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("way", "reason"), WAYS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_end_is_told_once_and_last(
    way: Callable[[HandlerHarness], None], reason: CloseReason, style: Style
) -> None:
    handler = style(LineCodec(max_size=100))
    with HandlerHarness(handler, limits=Limits(max_outbound=100_000)) as peer:
        way(peer)
        peer.advance(LINGER)
        assert handler.reason is reason
        assert handler.names[-1] == "on_close"
        assert peer.transport.lost
        assert peer.closed is not None
        assert (peer.closed.reason, peer.closed.exc) == (reason, handler.calls[-1][2])
        assert peer.conn.closing
        assert not peer.conn.writable
        # Nothing of what may still come from outside does anything.
        peer.conn.write(b"late")
        peer.conn.close()
        peer.conn.abort()
        peer.conn.pause_reading()
        peer.conn.resume_reading()
        peer.advance(1000)
    assert [type(event) for event in peer.events] == [ConnectionOpened, ConnectionClosed]


def test_an_exception_of_the_network_is_told() -> None:
    handler = Recorder()
    with HandlerHarness(handler) as peer:
        peer.reset(lost := OSError(errno.EHOSTUNREACH, "no route to host"))
        assert handler.calls[-1] == ("on_close", CloseReason.TRANSPORT_ERROR, lost)


def reset_unnoticed(peer: HandlerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer has reset the connection, and nothing was read since: shutdown(2) fails."""

    def write_eof() -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(peer.transport, "write_eof", write_eof)


@pytest.mark.parametrize("style", STYLES)
def test_closing_after_a_reset_not_yet_noticed_closes(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's write_eof raises then: the connection was left half closed, its place and descriptor held for ever."""
    handler = style(LineCodec(max_size=100))
    with HandlerHarness(handler) as peer:
        reset_unnoticed(peer, monkeypatch)
        peer.receive(b"x" * 200)
        assert handler.reason is CloseReason.FRAMING_ERROR
        assert handler.names[-1] == "on_close"


def test_send_eof_after_a_reset_not_yet_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = AsyncRecorder()
    with HandlerHarness(handler) as peer:
        reset_unnoticed(peer, monkeypatch)
        task = peer.start(peer.conn.send_eof())
        peer.advance()
        assert task.exception() is None
        peer.reset()
        assert handler.reason is CloseReason.PEER_RESET


# ── the user's exceptions ────────────────────────────────────────────────────────────────────────────────────────────


class Bug(Exception):
    pass


def fail(*_: Any) -> None:
    raise Bug


def fail_cancelled(*_: Any) -> None:
    """As ``future.result()`` does of a future that was cancelled: no ``Exception``, and a failure all the same."""
    raise asyncio.CancelledError


CAUSES: Final[dict[str, Callable[[HandlerHarness], None]]] = {
    "on_connect": lambda peer: None,
    "on_message": lambda peer: peer.receive(b"one\ntwo\n"),
    "on_eof": peer_closes,
    "on_fault": peer_breaks_the_grammar,
    "on_drain": server_leaves,
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", CAUSES)
@pytest.mark.parametrize(("raises", "kind"), [(fail, Bug), (fail_cancelled, asyncio.CancelledError)])
def test_a_callback_that_raises_ends_its_connection_alone(
    raises: Callable[..., None], kind: type[BaseException], name: str, style: Style
) -> None:
    handler = style(LineCodec(max_size=100), **{name: raises})
    others = Others()
    with HandlerHarness(handler) as peer, HandlerHarness(others) as other:
        CAUSES[name](peer)
        peer.advance(LINGER)
        assert handler.reason is CloseReason.HANDLER_ERROR
        failure = peer.failures.pop()
        assert peer.failures == []
        assert type(failure.exc) is kind
        assert failure.where in (name, "on_messages", "handler")
        assert handler.names[-1] == "on_close"
        assert handler.calls[-1][2] is failure.exc
        if name == "on_message":
            assert handler.names.count("on_message") == 1
        assert not other.closed


class Others(StreamHandler[bytes]):
    pass


class Junk(LineCodec):
    """A codec with a defect: it gives what it must not."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        super().__init__()
        self.batches = False
        self._methods = methods

    def feed(self, data: bytes) -> list[bytes]:
        return self._methods.get("feed", super().feed)(data)  # type: ignore[no-any-return]

    def feed_eof(self) -> list[bytes]:
        return self._methods.get("feed_eof", super().feed_eof)()  # type: ignore[no-any-return]

    def encode(self, message: bytes) -> bytes:
        return self._methods.get("encode", super().encode)(message)  # type: ignore[no-any-return]

    def clone(self) -> Junk:
        return Junk(**self._methods)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("name", "junk"),
    [("feed", None), ("feed", 7), ("feed_eof", 7), ("encode", None), ("encode", "text")],
)
def test_a_codec_that_gives_junk_ends_its_connection(name: str, junk: Any, later: bool, style: Style) -> None:
    """It went past the handler's failures: to the loop, or the connection stayed open and its output was lost."""
    handler = style(Junk(**{name: lambda *_: junk}))
    with HandlerHarness(handler) as peer:
        if name == "encode" and later:
            peer.failures += [HandlerFailed("", None, "write", exc) for exc in _raised(peer, peer.conn.write, b"x")]
        elif name == "encode":
            handler._actions["on_message"] = lambda conn, *messages: conn.write(b"answer")
        peer.receive(b"one\n")
        peer.eof()
        peer.advance(LINGER)
        assert {type(failure.exc) for failure in peer.failures} == {TypeError}
        assert handler.reason is CloseReason.HANDLER_ERROR or (later and junk is None)
        peer.failures.clear()


def _raised(peer: HandlerHarness, function: Callable[..., Any], *args: Any) -> list[Exception]:
    try:
        peer.call(function, *args)
    except TypeError as exc:
        return [exc]
    return []


def test_on_writable_that_raises_ends_its_connection() -> None:
    handler = Recorder(LengthPrefixCodec(), on_writable=fail)
    with HandlerHarness(handler) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(100_000))
        peer.take()
        peer.advance(LINGER)
        assert handler.reason is CloseReason.HANDLER_ERROR
        assert peer.failures.pop().where == "on_writable"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("raises", [fail, fail_cancelled])
def test_on_close_that_raises_is_reported_and_nothing_else(raises: Callable[..., None], style: Style) -> None:
    handler = style(on_close=raises)
    with HandlerHarness(handler) as peer:
        peer.eof()
        assert peer.failures.pop().where == "on_close"
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.PEER_CLOSED


def test_what_was_written_before_the_exception_still_leaves() -> None:
    def answer_then_fail(conn: Connection[bytes], message: bytes) -> None:
        conn.write(b"answer")
        raise Bug

    handler = Recorder(on_message=answer_then_fail)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        assert peer.sent == b"answer\n"
        peer.failures.clear()


def test_a_handler_that_closes_and_then_raises_is_reported() -> None:
    def close_then_fail(conn: Connection[bytes], message: bytes) -> None:
        conn.close()
        raise Bug

    handler = Recorder(on_message=close_then_fail)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        assert handler.reason is CloseReason.LOCAL_CLOSED
        assert type(peer.failures.pop().exc) is Bug


def test_a_subscriber_hears_of_failures() -> None:
    with HandlerHarness(Recorder(on_message=fail)) as peer:
        peer.receive(b"one\n")
        assert [event.where for event in peer.events if isinstance(event, HandlerFailed)] == ["on_message"]
        peer.failures.clear()


# ── last words ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_close_sends_what_waits() -> None:
    handler = Recorder(LengthPrefixCodec())
    with HandlerHarness(handler) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(1000))
        peer.call(peer.conn.close)
        assert not peer.transport.lost
        peer.take()
        assert len(peer.transport.taken) == 1004
        assert handler.reason is CloseReason.LOCAL_CLOSED


def test_abort_throws_away_what_waits() -> None:
    handler = Recorder(LengthPrefixCodec())
    with HandlerHarness(handler) as peer:
        peer.stall()
        peer.call(peer.conn.write, bytes(1000))
        peer.call(peer.conn.abort)
        peer.take()
        assert peer.transport.taken == b""
        assert peer.transport.reset


def test_the_reason_of_an_abort_is_the_callers() -> None:
    handler = Recorder()
    with HandlerHarness(handler) as peer:
        peer.call(peer.conn.abort, CloseReason.REFUSED)
        assert handler.reason is CloseReason.REFUSED


@pytest.mark.parametrize("held_back", [b"", b"two\nthree\n"], ids=["nothing held back", "messages held back"])
def test_closing_while_the_peer_still_talks_does_not_destroy_the_last_words(held_back: bytes) -> None:
    """What the kernel holds unread would make it reset the connection; the peer then loses what it has not read."""
    handler = Recorder(on_message=lambda conn, message: conn.pause_reading())
    with HandlerHarness(handler, timeouts=Timeouts(linger=2)) as peer:
        peer.receive(b"one\n" + held_back, b"unread\n")
        peer.call(peer.conn.write, b"goodbye")
        peer.call(peer.conn.close)
        assert peer.transport.eof_sent
        assert peer.transport.unread == 0
        peer.eof()
        assert peer.transport.lost
        assert not peer.transport.reset
        assert peer.sent == b"goodbye\n"
        assert handler.messages == [b"one"]


def test_closing_between_resuming_and_the_next_tick_reads_on() -> None:
    def resume_and_close(conn: Connection[bytes]) -> None:
        conn.resume_reading()
        conn.close()

    handler = Recorder(on_message=lambda conn, message: conn.pause_reading())
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n", b"unread\n")
        peer.call(resume_and_close, peer.conn)
        assert peer.transport.unread == 0


def test_a_peer_that_goes_on_talking_is_cut_when_lingering_ends() -> None:
    handler = Recorder(LineCodec(max_size=10))
    with HandlerHarness(handler, timeouts=Timeouts(linger=2)) as peer:
        peer.receive(b"x" * 20)
        for _ in range(30):
            if not peer.transport.lost:
                peer.receive(b"x" * 20)
                peer.advance(0.1)
        assert handler.reason is CloseReason.FRAMING_ERROR
        assert peer.transport.aborted
