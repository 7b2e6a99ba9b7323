"""The way of a message through a connection: what runs for each chunk, each message and each flush, and nothing else.

Plain Python, complete as it stands. Where there is a C compiler, Cython compiles this same file with the types of
``message_path.pxd``, which halves what it costs; so it uses nothing that would differ then: no annotation is relied on,
and what others override is called by its name.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from ..codec import Codec
from ..errors import ProtocolError
from .loop import FAILURES, LoopShared

__all__ = ["BATCHES", "CHUNKS", "CLOSING", "FLUSH_AT", "MESSAGES", "MessagePath", "send_to_all"]

_JOIN: Final = b"".join  # of a single item it is that item, not a copy
_POPLEFT: Final = deque.popleft  # found once, not for each message

FLUSH_AT: Final = 64 * 1024
"""Bytes of encoded output at which it leaves before its chunk, or its tick, is done."""

MESSAGES: Final = 0
CHUNKS: Final = 1
BATCHES: Final = 2
"""What the handler takes by one call: a message; a chunk as it came, with no codec between; all messages of a chunk."""

CLOSING: Final = 1
"""The bit of ``_held`` that says: closed, or about to be."""

# The same, as what they are in C when compiled.
_BATCHES, _CHUNKS, _CLOSING, _FLUSH_AT = BATCHES, CHUNKS, CLOSING, FLUSH_AT


class MessagePath:
    """What a connection needs for its messages. Encoded ones gather in ``_out`` and leave by one write: at the end of
    their chunk, or of the tick, or as soon as 64 KiB have come together.
    """

    __slots__ = (
        "_batches",
        "_batching",
        "_codec",
        "_congested",
        "_context",
        "_corked",
        "_deadlines",
        "_dirty",
        "_encode",
        "_feed",
        "_groups",
        "_heard_at",
        "_held",
        "_inbox",
        "_inbox_mark",
        "_on_message",
        "_out",
        "_partial_at",
        "_receiver",
        "_room",
        "_takes",
        "_transport_write",
        "bytes_received",
        "bytes_sent",
        "messages_dropped",
        "messages_received",
        "messages_sent",
    )

    _context: Any
    _transport_write: Callable[[bytes], None]

    def __init__(self, context: Any, codec: Any) -> None:
        self._context = context
        self._codec: Codec[Any] = codec
        self._encode: Callable[[Any], bytes] = codec.encoder()
        self._feed: Callable[[bytes], list[Any]] = codec.feed
        self._on_message: Callable[..., Any] = context.on_message
        self._takes: int = context.takes
        self._deadlines = context.deadlines
        self._out: list[Any] = []  # encoded, not yet given to the transport; messages to be encoded, while batching
        self._room = _FLUSH_AT  # bytes that may still gather in it
        self._corked = False  # inside a chunk of our own, at whose end everything is flushed
        self._batches: bool = codec.batches
        self._batching = False  # inside such a chunk: ``_out`` is encoded at its end, all of it at once
        self._dirty = False  # waiting for the end of the tick
        self._held = 0  # why no messages are delivered just now, as bits
        self._congested = False  # the transport holds more than high_water
        self._groups: list[Any] | None = None
        self._inbox: deque[Any] | None = None  # what a coroutine takes from
        self._inbox_mark = 0  # bytes_received when it was last empty
        self._receiver: Future[None] | None = None  # done when there is something to take
        self._heard_at = self._partial_at = 0.0
        self.bytes_received = self.bytes_sent = 0
        self.messages_received = self.messages_sent = self.messages_dropped = 0

    # ---- in ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self._heard_at = self._deadlines.now
        if self._takes == _CHUNKS and not self._held and not self._groups and not self._out:
            self.messages_received += 1
            self._corked = True
            self._batching = self._batches
            try:
                self._on_message(self, data)
                out = self._out
                if out:
                    if len(out) == 1 and self._batching and not self._congested:
                        answer = out.pop()  # one answer to one chunk, the most common of all: _flush, in place
                        self._room = _FLUSH_AT
                        self.messages_sent += 1
                        self.bytes_sent += len(answer)
                        self._transport_write(answer)
                    else:
                        self._flush()
                self._corked = False
                self._batching = False
            except FAILURES as exc:
                self._fail("on_message", exc)
            return
        try:
            messages = self._feed(data)
            self.messages_received += len(messages)
        except ProtocolError as fault:  # a codec that raises instead of setting it
            self._codec.fault = fault  # type: ignore[misc]
            messages = []
        except Exception as exc:
            self._fail("codec.feed", exc)
            return
        if messages:
            self._partial_at = 0.0
            if self._held:
                self._hold_back(messages)
            else:
                self._deliver(messages)
        elif not self._partial_at:
            self._partial_at = self._heard_at
        if self._codec.fault is not None:
            self._meet_fault(self._codec.fault)

    def _deliver(self, messages: list[Any]) -> None:
        on_message = self._on_message
        if not self._groups:  # a member keeps the order of its own and its groups' messages by the longer way
            self._corked = True
            if not self._out:
                self._batching = self._batches
        try:
            if self._takes == _BATCHES:
                on_message(self, messages)
            else:
                rest = iter(messages)
                for message in rest:
                    on_message(self, message)
                    if self._held:
                        self._hold_back(list(rest))
                        break
            if self._out and not self._dirty:
                self._flush()
            self._corked = False
            self._batching = False
        except FAILURES as exc:
            self._fail("on_messages" if self._takes == _BATCHES else "on_message", exc)

    # ---- taken by a coroutine ------------------------------------------------------------------

    def _take(self) -> Any:
        inbox = self._inbox
        message = _POPLEFT(inbox)  # type: ignore[arg-type]
        if not inbox:
            self._all_taken()
        return message

    # ---- out -----------------------------------------------------------------------------------

    def write(self, message: Any) -> None:
        if self._batching:
            if type(message) is not bytes:  # others are mutable: encoded, and so copied, at once
                self._put(self._encode(message))
                return
            data = message
        elif self._corked:
            data = self._encode(message)
        else:
            self._put(self._encode(message))
            return
        self._out.append(data)
        self._room -= len(data)
        if self._room < 0:
            self._flush()

    def _put(self, data: bytes) -> None:
        if self._corked:
            if self._batching and not self._end_batch():
                return
            self._out.append(data)
            self._room -= len(data)
            if self._room < 0:
                self._flush()
        elif not self._held & _CLOSING:
            if self._groups:
                for group in self._groups:
                    group.settle_member(self)
            self._out.append(data)
            self._room -= len(data)
            if self._room < 0:
                self._flush()
            elif not self._dirty:
                self._dirty = True
                self._context.shared.flush_later(self)

    def enqueue(self, data: bytes) -> None:
        """Append encoded bytes, which leave when it is this connection's turn. For groups; everybody else writes."""
        self._out.append(data)
        self._room -= len(data)
        if self._room < 0:
            self._flush()
        elif not self._dirty:
            self._dirty = True
            self._context.shared.flush_in_turn(self)

    def flush_tick(self) -> None:
        self._dirty = False
        if self._out and not self._held & _CLOSING:
            self._flush()

    def flush_turns(self, shared: LoopShared) -> None:
        """Flush those who wait for their turn, this one first, as many as this tick allows."""
        waiting = shared.waiting
        while waiting and shared.allowance > 0:
            shared.allowance -= 1
            conn = _POPLEFT(waiting)
            conn.flush_tick()

    def _end_batch(self) -> bool:
        """Encode what is batched; the rest of the chunk is encoded message by message. False: it cannot be."""
        self._batching = False
        batch, self._out = self._out, []
        if batch:
            try:
                self._out.append(self._codec.encode_batch(batch))
            except Exception as exc:
                self._give_up(batch, exc)
                return False
        return True

    def _give_up(self, batch: list[Any], exc: Exception) -> None:
        """One of a batch cannot be encoded: what was written before it leaves, and the connection ends.

        Nothing is raised: whoever called may have written something else, and what followed in the batch is lost.
        """
        self._batching = False
        good: list[bytes] = []
        with suppress(Exception):
            good.extend(map(self._encode, batch))  # keeps what came before the one that raises
        if good:
            with suppress(TypeError):  # where the codec gives what is not bytes, nothing can leave
                self.send_now(b"".join(good))
                self.messages_sent += len(good)
        self._fail("write", exc)

    def _flush(self) -> None:
        self._room = _FLUSH_AT
        if len(self._out) == 1 and not self._batching and type(self._out[0]) is bytes:
            data = self._out.pop()  # the most common of all: no new list, nothing joined
            self.messages_sent += 1
        else:
            out, self._out = self._out, []
            try:
                data = self._codec.encode_batch(out) if self._batching else _JOIN(out)
            except Exception as exc:
                if self._batching:
                    self._give_up(out, exc)
                else:  # the codec's encode, or a call of write_encoded, gave something that is not bytes
                    self._fail("write", exc)
                return
            self.messages_sent += len(out)
        if self._congested and self._too_far_behind(len(data)):
            return
        self.bytes_sent += len(data)
        self._heard_at = self._deadlines.now
        self._transport_write(data)

    def send_now(self, data: bytes) -> None:
        """Hand bytes to the transport. For groups, and only while nothing else waits here."""
        if self._congested and self._too_far_behind(len(data)):
            return
        self.bytes_sent += len(data)
        self._heard_at = self._deadlines.now
        self._transport_write(data)

    # ---- what the rest of the connection does ----------------------------------------------------

    def _fail(self, where: str, exc: BaseException) -> None:
        """Report the user's exception and end the connection for it."""
        raise NotImplementedError

    def _hold_back(self, messages: list[Any]) -> None:
        """Keep messages that cannot be delivered now."""
        raise NotImplementedError

    def _meet_fault(self, fault: ProtocolError) -> None:
        """The peer broke the grammar."""
        raise NotImplementedError

    def _all_taken(self) -> None:
        """The inbox is empty again."""
        raise NotImplementedError

    def _too_far_behind(self, more: int) -> bool:
        """Whether the peer has left so much unread that these many bytes more would be too much: then it is cut."""
        raise NotImplementedError


def send_to_all(shared: LoopShared, members: Iterable[MessagePath], data: bytes, count: int) -> list[MessagePath]:
    """Send the same bytes, which are ``count`` messages, to each connection that has nothing else to send before, and
    keeps up: to as many as a tick allows at once, to the rest in their turn. Returns those that do not."""
    others = []
    waiting = shared.waiting
    allowance = left = 0 if waiting else shared.allowance  # who has a turn coming gets all that is said until then
    for conn in members:
        if conn._out or conn._congested or conn._held & _CLOSING:
            others.append(conn)
        elif allowance > 0:
            allowance -= 1
            conn.messages_sent += count
            conn.send_now(data)
        else:  # as enqueue, in place: of 5,000 members 0.14 ms of one tick instead of 0.5
            conn.messages_sent += count - 1  # which counts as one when it leaves
            conn._out.append(data)
            conn._room -= len(data)
            if conn._room < 0:
                conn._flush()
            elif not conn._dirty:
                conn._dirty = True
                waiting.append(conn)
    shared.allowance -= left - allowance
    if waiting:
        shared.schedule()
    return others
