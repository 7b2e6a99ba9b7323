"""The ends of a connection: who closes it, why, and by when. One function for each way, so that none is forgotten.

Closing is never closing at once: what waits is sent first, for as long as the peer takes it; and where the peer may
have sent what nobody has read, the connection lingers, since a reset would destroy our last words on their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..codec import Codec
from ..events import CloseReason, ConnectionClosed
from .context import StreamContext
from .flow import nowhere
from .loop import FAILURES
from .message_path import CLOSING
from .sendfile import FileSendingConnection

__all__ = ["EndingConnection"]

M = TypeVar("M")


class EndingConnection(FileSendingConnection[M]):
    """The part of a connection that ends it."""

    __slots__ = (
        "_asked",
        "_begun",
        "_close_by",
        "_eof",
        "_probed",
        "_probed_at",
        "_stash",
        "_taken",
        "_taken_at",
        "due",
    )

    def __init__(self, context: StreamContext[M]) -> None:
        super().__init__(context)
        self._stash: list[M] | None = None  # received, held back
        self._begun = False
        self._eof = False
        self._taken_at = self._close_by = 0.0
        self._taken = -1
        self._asked = False  # whether the peer is there
        self._probed = -1  # ``bytes_received`` when it was last heard
        self._probed_at = 0.0
        self.due = -1

    def _read(self, on: bool) -> None:
        """Start or stop reading."""
        raise NotImplementedError

    def connection_lost(self, exc: BaseException | None) -> None:
        """The transport is gone."""
        raise NotImplementedError

    # ---- the user's code -----------------------------------------------------------------------

    def _call(self, where: str, callback: Callable[..., Any] | None, *args: Any) -> None:
        """Call the user's code; its exception closes this connection, and nothing else."""
        if callback is not None:
            try:
                callback(*args)
            except FAILURES as exc:
                self._fail(where, exc)

    def _fail(self, where: str, exc: BaseException) -> None:
        self._report(where, exc)
        self._close(CloseReason.HANDLER_ERROR, exc)

    # ---- ending --------------------------------------------------------------------------------

    def close(self) -> None:
        self._close(CloseReason.PEER_CLOSED if self._eof else CloseReason.LOCAL_CLOSED)

    def abort(self, reason: CloseReason = CloseReason.LOCAL_CLOSED) -> None:
        self._held |= CLOSING
        self._corked = False
        self._batching = False
        self._out.clear()
        self._stash = None
        if self._reason is None:
            self._reason = reason
        self._wake()
        if self._transport is not None and not self._lost:
            self._reset_when_closed()
            self._transport.abort()

    def _close(self, reason: CloseReason, exc: BaseException | None = None, *, linger: bool = False) -> None:
        if self._held & CLOSING:
            return
        if self._reason is None or reason is CloseReason.HANDLER_ERROR:  # else: drain() has said why already
            self._reason, self._exc = reason, exc
        if self._groups:
            for group in self._groups:
                group.settle_member(self)
        transport = self._transport
        if transport is None or self._lost:
            self._held |= CLOSING
            return
        if goodbye := self._farewell(self._reason):
            self._put_aside(goodbye)
        if self._out:
            self._flush()
        self._corked = False
        self._batching = False
        if self._held & CLOSING:  # the flush found a slow consumer, or what cannot be encoded
            return
        linger = linger or self._unread(transport)
        self._held = CLOSING
        self._stash = None
        self._wake()
        self._taken = self.bytes_sent - transport.get_write_buffer_size()
        now = self._context.loop.time()
        timeouts = self._context.timeouts
        if self._awaits_goodbye() and not transport.is_closing():
            self._feed = self._feed_goodbye
            self._close_by = now + timeouts.linger
            self._read(True)
        elif linger and not self._eof and self._context.half_close and not transport.is_closing():
            # Closing with unread input resets the connection and destroys our last words on their way: so say that
            # nothing more will come, and throw away what still comes, until the peer closes too (cf. nginx's
            # lingering_close).
            self._feed = _discard
            self._close_by = now + timeouts.linger
            if self._transport_write is nowhere or self._say_eof(transport):
                self._read(True)
            else:
                transport.abort()
        else:
            self._close_by = now + timeouts.send
            transport.close()
        self._context.deadlines.watch(self, self._close_by)

    def _awaits_goodbye(self) -> bool:
        """Whether the peer is to answer our farewell: then it is the one to be closed on."""
        codec = self._codec
        if not codec.replies or type(codec).farewell is Codec.farewell:
            return False
        return codec.is_open and not codec.ended and codec.fault is None and not self._eof

    def _feed_goodbye(self, data: bytes) -> list[M]:
        codec = self._codec
        codec.feed(data)
        if (codec.ended or codec.fault is not None) and self._transport is not None:
            self._transport.close()
        return []

    def _unread(self, transport: asyncio.Transport) -> bool:
        """Whether the peer may have sent what nobody has read: where reading is paused, the kernel may hold some."""
        return bool(self._stash) or not transport.is_reading()

    def _finish(self) -> None:
        """Gone: tell the handler, once, and whoever listens."""
        context = self._context
        assert self._reason is not None
        try:
            if context.on_close is not None and self._codec.is_open:
                context.on_close(self, self._reason, self._exc)
        except FAILURES as exc:
            self._report("on_close", exc)
        finally:  # whatever was raised: its place is free
            if context.events.wants(ConnectionClosed):
                context.events.emit(ConnectionClosed(context.name, self.peername, self._reason, self._exc, self.stats))
            context.connections.discard(self)
            if context.door is not None:
                context.door.leave(self)

    def drain(self) -> None:
        """The server is leaving."""
        if not self._held & CLOSING:
            if self._reason is None:
                self._reason = CloseReason.SHUTDOWN
            if not self._codec.is_open:
                self._close(CloseReason.SHUTDOWN, linger=True)
                return
            self._call("on_drain", self._context.on_drain, self)

    def check_deadlines(self, now: float) -> float | None:
        timeouts = self._context.timeouts
        transport = self._transport
        if not self._begun or transport is None or self._lost:
            self.abort(CloseReason.REFUSED)  # parked for too long
            if transport is None:
                self.connection_lost(None)
            return None
        if self._held & CLOSING:
            waiting = transport.get_write_buffer_size()
            if waiting and self.bytes_sent - waiting != self._taken:  # still being taken
                self._taken, self._close_by = self.bytes_sent - waiting, now + timeouts.send
            if now < self._close_by:
                return self._close_by
            transport.abort()
            return None
        codec = self._codec
        if not codec.is_open:
            self._close(CloseReason.HANDSHAKE_TIMEOUT, linger=True)
            return self._close_by
        first = not self.messages_received
        try:
            partial = first or codec.buffered
        except Exception as exc:
            self._fail("codec.buffered", exc)
            return self._close_by
        if partial and not self._partial_at:
            self._partial_at = self._heard_at  # left over behind a complete message: it came no later than that
        again = min(now + self._context.check_interval, self._heard_at + timeouts.idle)
        if partial and not self._held:
            due = self._partial_at + (timeouts.first_message if first else timeouts.message)
            if now >= due:
                self._close(CloseReason.MESSAGE_TIMEOUT)
                return self._close_by
            again = min(again, due)
        waiting = transport.get_write_buffer_size()
        taken = self.bytes_sent - waiting
        if not waiting:
            self._taken = -1
        elif taken != self._taken:  # also when it is first seen waiting
            self._taken, self._taken_at = taken, now
        elif now >= self._taken_at + timeouts.send:
            self.abort(CloseReason.SLOW_CONSUMER)
            return None
        else:
            again = min(again, self._taken_at + timeouts.send)
        if now >= self._heard_at + timeouts.idle:
            self._close(CloseReason.IDLE_TIMEOUT)
            return self._close_by
        return min(again, self._probe(now)) if codec.replies else again

    def _probe(self, now: float) -> float:
        """Ask a silent peer whether it is there, and give up one that does not answer. Returns when to look again."""
        keepalive = self._context.timeouts.keepalive
        # One of us cannot hear the other; or the question would stand behind all that has not been taken yet, a file
        # above all, and whether that is taken is another deadline's.
        deaf = self._held or self._eof or self._transport_write is nowhere
        if deaf or self._congested or self._detour is not None or self.bytes_received != self._probed:
            self._probed, self._probed_at, self._asked = self.bytes_received, now, False
        elif now >= self._probed_at + keepalive:
            if self._asked:
                self._close(CloseReason.IDLE_TIMEOUT, TimeoutError(f"no sign of life within {keepalive:g} s of asking"))
                return self._close_by
            self._probed_at, self._asked = now, True
            if question := self._codec.keepalive():
                self._put_aside(question)
        return min(self._probed_at + keepalive, now + self._context.probe_interval)


def _discard(data: bytes) -> list[Any]:
    return []
