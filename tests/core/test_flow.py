"""The way out: how many transport writes, back-pressure, send and what it raises, closing while something waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from aionet import CloseReason, Connection, JsonCodec, LengthPrefixCodec, LineCodec, RawCodec, StreamHandler
from aionet.core.flow import OutboundConnection
from aionet.core.message_path import FLUSH_AT
from aionet.errors import EncodeError
from aionet.limits import Limits
from aionet.testing import HandlerHarness

from .stream_tools import LINGER, BatchRecorder, Recorder, as_on_uvloop


def echo(conn: Connection[Any], message: Any) -> None:
    conn.write(message)


FRAMES = LengthPrefixCodec()


# ── one write ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "codec", [LineCodec(), LengthPrefixCodec(), RawCodec()], ids=lambda codec: type(codec).__name__
)
def test_one_write_a_chunk(codec: Any) -> None:
    with HandlerHarness(Recorder(codec, on_message=echo)) as peer:
        chunk = codec.encode(b"hello") * 20
        peer.receive(chunk, chunk, chunk)
        assert peer.writes == 3
        assert peer.sent == 3 * chunk


def test_a_chunk_that_is_answered_by_nothing_is_no_write() -> None:
    with HandlerHarness(Recorder()) as peer:
        peer.receive(b"one\ntwo\n")
        assert peer.writes == 0


def test_one_write_a_tick_from_elsewhere() -> None:
    with HandlerHarness(StreamHandler[bytes](), codec=LineCodec()) as peer:
        other = peer.connect()

        def timer() -> None:
            for count in range(20):
                peer.conn.write(b"%d" % count)
                other.conn.write(b"%d" % count)

        peer.call(timer)
        assert peer.sent == other.sent == b"".join(b"%d\n" % count for count in range(20))
        assert (peer.writes, other.writes) == (1, 1)


def test_tasks_and_timers_of_one_tick_share_a_write() -> None:
    with HandlerHarness(Recorder()) as peer:
        for name in (b"a", b"b", b"c"):
            peer.loop.call_soon(peer.conn.write, name)
        peer.advance()
        assert peer.sent == b"a\nb\nc\n"
        assert peer.writes == 1


def test_what_waited_for_the_tick_leaves_with_the_chunk_in_order() -> None:
    with HandlerHarness(Recorder(on_message=echo)) as peer:
        peer.loop.call_soon(peer.conn.write, b"from a task")
        peer.loop.call_soon(peer.transport.feed, b"one\ntwo\n")
        peer.advance()
        assert peer.sent == b"from a task\none\ntwo\n"
        assert peer.writes == 1


def test_output_leaves_early_at_64_kib() -> None:
    handler = Recorder(FRAMES, on_message=echo)
    with HandlerHarness(handler) as peer:
        chunk = FRAMES.encode(bytes(1000)) * 200
        peer.receive(chunk)
        assert peer.sent == chunk
        assert peer.writes == 4
        assert max(map(len, peer.transport.writes)) <= FLUSH_AT + 1004


def test_output_of_lines_and_of_a_task_leaves_early_as_well() -> None:
    with HandlerHarness(Recorder(on_message=echo)) as peer:
        peer.receive((b"x" * 999 + b"\n") * 200)
        assert peer.writes == 4
        peer.call(lambda: [peer.conn.write(b"x" * 999) for _ in range(200)])
        assert peer.writes == 8
        assert max(map(len, peer.transport.writes)) <= FLUSH_AT + 1000


def test_without_combining_the_count_of_writes_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above look at the right thing: each message written at once makes them fail."""

    def write_at_once(self: OutboundConnection[Any], message: Any) -> None:
        self.send_now(self.codec.encode(message))

    monkeypatch.setattr(OutboundConnection, "write", write_at_once)
    for test in (test_one_write_a_tick_from_elsewhere, test_tasks_and_timers_of_one_tick_share_a_write):
        with pytest.raises(AssertionError):
            test()
    with pytest.raises(AssertionError):
        test_one_write_a_chunk(LineCodec())


# ── what may be written ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", [Recorder, BatchRecorder])
def test_encoded_and_plain_writes_keep_their_order(style: type[Recorder] | type[BatchRecorder]) -> None:
    def answer(conn: Connection[bytes], *messages: bytes) -> None:
        conn.write(b"1")
        conn.write_encoded(b"2\n")
        conn.write(b"3")
        conn.write(bytearray(b"4"))  # type: ignore[arg-type]
        conn.write(b"5")
        conn.write_encoded(b"6\n")

    with HandlerHarness(style(on_message=answer)) as peer:
        peer.receive(b"one\n")
        assert peer.sent == b"1\n2\n3\n4\n5\n6\n"
        assert peer.writes == 1


@pytest.mark.parametrize(
    "codec", [LineCodec(), LengthPrefixCodec(), RawCodec()], ids=lambda codec: type(codec).__name__
)
@pytest.mark.parametrize("inside", [True, False], ids=["in a chunk", "in a task"])
def test_a_bytearray_may_be_changed_after_it_was_written(codec: Any, inside: bool) -> None:
    def answer(conn: Connection[Any], *_: Any) -> None:
        buffer = bytearray(b"before")
        conn.write(buffer)
        buffer[:] = b"AFTER!"
        conn.write(b"end")

    with HandlerHarness(Recorder(codec, on_message=answer)) as peer:
        if inside:
            peer.receive(codec.encode(b"go"))
        else:
            peer.call(answer, peer.conn)
        assert peer.sent == codec.encode(b"before") + codec.encode(b"end")


def test_messages_need_not_be_bytes() -> None:
    with HandlerHarness(Recorder(JsonCodec(), on_message=echo)) as peer:
        peer.receive(b'{"a": 1}\n[2]\n')
        assert peer.sent.split() == [b'{"a":1}', b"[2]"]


# ── what cannot be encoded ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_that_cannot_be_encoded_raises_where_it_is_written() -> None:
    seen: list[str] = []

    def answer(conn: Connection[bytes], message: bytes) -> None:
        conn.write(b"good")
        try:
            conn.write(bytes(100))
        except EncodeError as exc:
            seen.append(str(exc))
        conn.write(b"also good")

    handler = Recorder(LengthPrefixCodec(max_size=10), on_message=answer)
    with HandlerHarness(handler) as peer:
        peer.receive(FRAMES.encode(b"go"))
        assert peer.sent == FRAMES.encode(b"good") + FRAMES.encode(b"also good")
        assert len(seen) == 1
        assert not peer.closed


def test_outside_of_a_chunk_lines_are_checked_at_once() -> None:
    with HandlerHarness(Recorder()) as peer:
        with pytest.raises(EncodeError):
            peer.call(peer.conn.write, b"two\nlines")
        assert not peer.closed


@pytest.mark.parametrize("ending", ["end of chunk", "write_encoded", "64 KiB", "close"])
def test_a_line_of_a_batch_that_cannot_be_encoded_ends_the_connection(ending: str) -> None:
    """What was written before it leaves; it is the handler's failure, whichever way it comes to light."""

    def answer(conn: Connection[bytes], message: bytes) -> None:
        conn.write(b"good")
        conn.write(b"two\nlines")
        if ending == "write_encoded":
            conn.write_encoded(b"more\n")
        elif ending == "close":
            conn.close()
        elif ending == "64 KiB":
            for _ in range(100):  # none of these is at fault, so none of them raises
                conn.write(b"x" * 1000)

    handler = Recorder(on_message=answer)
    with HandlerHarness(handler) as peer:
        peer.receive(b"one\ntwo\n")
        assert peer.sent == b"good\n"
        assert handler.messages == ([b"one", b"two"] if ending == "end of chunk" else [b"one"])
        assert handler.reason is CloseReason.HANDLER_ERROR
        assert isinstance(handler.calls[-1][2], EncodeError)
        assert isinstance(peer.failures.pop().exc, EncodeError)
        assert peer.failures == []
        assert peer.conn.stats.messages_sent == 1


# ── back-pressure ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_peer_that_does_not_read_is_not_read_and_goes_on_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_uvloop(monkeypatch)  # where a chunk comes whole
    handler = Recorder(FRAMES, on_message=echo)
    chunk = FRAMES.encode(bytes(30_000)) * 8
    with HandlerHarness(handler) as peer:
        peer.stall()
        peer.receive(chunk, chunk)
        assert not peer.transport.is_reading()
        assert not peer.conn.writable
        # 64 KiB have come together after three, the transport then holds more than high_water.
        assert len(handler.messages) == 3
        assert peer.transport.unread == len(chunk)
        peer.take(1000)
        assert len(handler.messages) == 3
        peer.take(60_000 + 20_000)  # below low_water: the next three
        assert len(handler.messages) == 6
        peer.take()
        assert len(handler.messages) == 16
        assert peer.sent == 2 * chunk
        assert peer.transport.is_reading()
        assert peer.conn.writable
        assert "on_writable" in handler.names


def test_water_marks_are_those_of_the_limits() -> None:
    with HandlerHarness(StreamHandler[bytes](), limits=Limits(high_water=100, low_water=50)) as peer:
        assert peer.transport.get_write_buffer_limits() == (50, 100)
        peer.stall()
        peer.call(peer.conn.write, bytes(101))
        assert not peer.conn.writable
        peer.take(51)
        assert peer.conn.writable


def test_a_writer_that_does_not_wait_is_cut_at_max_outbound() -> None:
    handler = Recorder(FRAMES)
    with HandlerHarness(handler, limits=Limits(max_outbound=200_000)) as peer:
        peer.stall()
        writes = 0
        while not peer.closed:
            peer.call(peer.conn.write, bytes(50_000))
            writes += 1
        assert writes == 4  # the fourth would have made it more
        assert handler.reason is CloseReason.SLOW_CONSUMER
        assert peer.transport.aborted


def test_max_outbound_is_for_those_who_do_not_keep_up() -> None:
    with HandlerHarness(Recorder(RawCodec()), limits=Limits(max_outbound=100_000)) as peer:
        peer.call(peer.conn.write, bytes(1_000_000))
        assert len(peer.sent) == 1_000_000
        assert not peer.closed


# ── send ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def congested(peer: HandlerHarness) -> None:
    peer.stall()
    peer.call(peer.conn.write, bytes(100_000))


def test_send_returns_at_once_while_the_peer_keeps_up() -> None:
    with HandlerHarness(Recorder()) as peer:
        assert peer.start(peer.conn.send(b"hello")).done()
        assert peer.sent == b"hello\n"


def test_send_waits_while_the_peer_does_not_keep_up() -> None:
    with HandlerHarness(Recorder(FRAMES)) as peer:
        congested(peer)
        tasks = [peer.start(peer.conn.send(b"%d" % number)) for number in range(3)]
        peer.advance(1)
        assert not any(task.done() for task in tasks)
        peer.take()
        assert all(task.done() for task in tasks)
        assert peer.sent.endswith(b"".join(FRAMES.encode(b"%d" % number) for number in range(3)))


def test_a_sender_whose_peer_is_fast_does_not_own_the_loop() -> None:
    async def flood(conn: Connection[bytes]) -> None:
        for _ in range(1000):
            await conn.send(bytes(1000))

    ticks: list[int] = []
    with HandlerHarness(Recorder(FRAMES)) as peer:
        task = peer.loop.create_task(flood(peer.conn))
        while not task.done():
            ticks.append(len(peer.transport.writes))
            peer.loop.call_soon(peer.loop.stop)
            peer.loop.run_forever()
        assert len(ticks) >= 1000 * 1000 // FLUSH_AT


def test_cancelled_send_loses_nothing() -> None:
    with HandlerHarness(Recorder(FRAMES)) as peer:
        congested(peer)
        task = peer.start(peer.conn.send(b"still sent"))
        task.cancel()
        peer.advance()
        assert task.cancelled()
        peer.take()
        assert peer.sent.endswith(b"still sent")
        assert peer.start(peer.conn.send(b"next")).done()


def close_and_read(peer: HandlerHarness) -> None:
    peer.call(peer.conn.close)
    peer.take()


ENDS: list[tuple[Callable[[HandlerHarness], None], type[Exception]]] = [
    (lambda peer: peer.call(peer.conn.abort), anyio.ClosedResourceError),
    (close_and_read, anyio.ClosedResourceError),
    (lambda peer: peer.reset(), anyio.BrokenResourceError),
    (lambda peer: peer.advance(60), anyio.BrokenResourceError),
]


@pytest.mark.parametrize(("end", "error"), ENDS, ids=["abort", "close", "reset", "stall"])
def test_send_raises_what_ended_the_connection(end: Callable[[HandlerHarness], None], error: type[Exception]) -> None:
    with HandlerHarness(Recorder(FRAMES)) as peer:
        congested(peer)
        waiting = peer.start(peer.conn.send(b"waiting"))
        end(peer)
        late = peer.start(peer.conn.send(b"late"))
        assert type(waiting.exception()) is error
        assert type(late.exception()) is error
        assert not peer.sent.endswith(b"late")


def test_the_cause_of_a_break_is_kept() -> None:
    with HandlerHarness(Recorder()) as peer:
        peer.reset(lost := ConnectionResetError(104, "reset"))
        error = peer.start(peer.conn.send(b"x")).exception()
        assert error is not None
        assert error.__cause__ is lost


def test_send_that_meets_max_outbound_raises() -> None:
    with HandlerHarness(Recorder(FRAMES), limits=Limits(max_outbound=150_000)) as peer:
        congested(peer)
        task = peer.start(peer.conn.send(bytes(100_000)))
        assert isinstance(task.exception(), anyio.BrokenResourceError)
        assert peer.closed is not None
        assert peer.closed.reason is CloseReason.SLOW_CONSUMER


def test_send_of_what_cannot_be_encoded_raises_and_keeps_the_connection() -> None:
    with HandlerHarness(Recorder()) as peer:
        assert isinstance(peer.start(peer.conn.send(b"a\nb")).exception(), EncodeError)
        assert not peer.conn.closing


# ── the end of our half ──────────────────────────────────────────────────────────────────────────────────────────────


def test_send_eof_sends_what_waits_and_reading_goes_on() -> None:
    handler = Recorder()
    with HandlerHarness(handler) as peer:
        peer.conn.write(b"last")
        peer.start(peer.conn.send_eof()).result()
        peer.start(peer.conn.send_eof()).result()  # as anyio's contract has it: idempotent
        assert peer.sent == b"last\n"
        assert peer.transport.eof_sent
        peer.receive(b"still heard\n")
        assert handler.messages == [b"still heard"]
        peer.call(peer.conn.write, b"thrown away")
        assert peer.sent == b"last\n"
        assert isinstance(peer.start(peer.conn.send(b"x")).exception(), anyio.ClosedResourceError)
        peer.eof()
        assert handler.reason is CloseReason.PEER_CLOSED


# ── aclose and wait_closed ───────────────────────────────────────────────────────────────────────────────────────────


def test_aclose_returns_once_the_connection_is_gone() -> None:
    handler = Recorder(FRAMES)
    with HandlerHarness(handler) as peer:
        congested(peer)
        task = peer.start(peer.conn.aclose())
        assert not task.done()
        peer.take()
        peer.advance(LINGER)  # reading was paused meanwhile: the peer may have sent what nobody has read
        assert task.done()
        assert handler.reason is CloseReason.LOCAL_CLOSED
        assert peer.start(peer.conn.aclose()).done()


def test_cancelled_aclose_aborts() -> None:
    handler = Recorder(FRAMES)
    with HandlerHarness(handler) as peer:
        congested(peer)
        task = peer.start(peer.conn.aclose())
        task.cancel()
        peer.advance()
        assert task.cancelled()
        assert peer.transport.aborted
        assert handler.reason is CloseReason.LOCAL_CLOSED


def test_wait_closed_waits_for_whoever_ends_it() -> None:
    with HandlerHarness(Recorder()) as peer:
        tasks = [peer.start(peer.conn.wait_closed()) for _ in range(3)]
        tasks[0].cancel()
        peer.advance()
        assert [task.done() for task in tasks] == [True, False, False]
        assert not peer.conn.closing
        peer.eof()
        assert all(task.done() for task in tasks)
        assert peer.start(peer.conn.wait_closed()).done()
