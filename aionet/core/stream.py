"""A stream connection: bytes <-> codec <-> handler, with all writes of a chunk, or of a tick, combined into one.

The way of a chunk: ``data_received`` -> ``codec.feed`` once -> the handler for each message -> ``conn.write`` appends
-> one ``transport.write``. No task, no timer, no log call and no clock is touched on the way, which is in
``message_path.py``, so that it can be compiled; here is what happens at its ends, and where it is held up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any, Final, Self, TypeVar, cast

from ..errors import ProtocolError
from ..events import CloseReason, ConnectionOpened
from ..handler import WritableBuffer
from .context import ConnectionNames, StreamContext
from .ending import EndingConnection
from .flow import reason_of
from .message_path import CLOSING

__all__ = ["StreamConnection"]

M = TypeVar("M")

# Why a connection is not delivering messages just now: bits of ``_held``, beside CLOSING, which is for good.
BY_HANDLER: Final = 2  # pause_reading()
BY_OUTPUT: Final = 4  # the peer does not read our answers, so we do not read its questions
BY_INBOX: Final = 8  # a coroutine lags behind


class StreamConnection(EndingConnection[M]):
    """One stream connection in callback style; also the base of the other styles.

    It is the transport's protocol itself (by duck typing: ``asyncio.Protocol`` would add nothing but a base).
    """

    __slots__ = ("_eof_told", "_state", "address_key")

    def __init__(self, context: StreamContext[M]) -> None:
        super().__init__(context)
        if self._codec.replies:
            self._choose_feed()
        self._eof_told = False
        self._state: Any = None
        self.address_key: Hashable = None  # the door's: what this connection is counted by

    # ---- the transport calls these -------------------------------------------------------------

    def take_over(self, transport: asyncio.Transport, address_key: Hashable, names: ConnectionNames | None) -> None:
        """Begin on a transport whose connection was admitted, and maybe known by other names, before its route was."""
        self.address_key = address_key
        self._names = names
        self.connection_made(transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport_write = self._transport.write
        if not self._context.half_close:
            self._names = self._extra("peername"), self._extra("sockname")
        door = self._context.door
        if door is None or door.admit(self):
            self.begin()

    def begin(self) -> None:
        """The door has let the connection in."""
        context = self._context
        if context.sets_water and self._transport is not None:
            limits = context.limits
            self._transport.set_write_buffer_limits(high=limits.high_water, low=limits.low_water)
        if context.nodelay_off:  # both loops switch TCP_NODELAY on for each transport they make
            context.set_nodelay_off(self._transport)
        self._begun = True
        context.deadlines.watch(self, context.first_check())
        self._heard_at = self._partial_at = self._taken_at = context.deadlines.now
        context.connections.add(self)
        if context.events.wants(ConnectionOpened):
            context.events.emit(ConnectionOpened(context.name, self.peername))
        if self._codec.is_open:
            self._start()
        else:
            self._open()

    def eof_received(self) -> bool:
        if not self._begun:
            return self._context.half_close  # see _keep(): it reads the end again
        self._eof = True
        if not self._codec.is_open:
            self.close()  # in the middle of the codec's handshake
        if self._held & CLOSING:
            return False  # the transport closes
        if self._codec.fault is None:
            try:
                messages = self._codec.feed_eof()
                self.messages_received += len(messages)
            except Exception as exc:
                self._fail("codec.feed_eof", exc)
                return False
            if messages:
                if self._held:
                    self._hold_back(messages)
                else:
                    self._deliver(messages)
            if self._codec.fault is not None:
                self._meet_fault(self._codec.fault)
            elif not self._stash:
                self._end_of_messages()
        # True keeps our half open. TLS transports close whatever we answer, and warn about True.
        return self._context.half_close and not self._lost

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lost = True
        self._held |= CLOSING
        self._stash = None
        self._out.clear()
        context = self._context
        context.deadlines.forget(self)
        if not self._begun:  # refused, parked, or its TLS handshake failed: no handler has heard of it
            if context.door is not None:
                context.door.leave_early(self)
            return
        if self._reason is None:
            self._reason, self._exc = reason_of(exc), exc
        for group in tuple(self._groups or ()):
            group.discard(self)
        self._wake()
        self._finish()

    def pause_writing(self) -> None:
        self._congested = True
        if not self._held & BY_OUTPUT and not self._context.reads_on:
            self._hold(BY_OUTPUT)

    def resume_writing(self) -> None:
        self._congested = False
        self._wake()
        if self._held & CLOSING:
            return
        self._release(BY_OUTPUT)
        for group in tuple(self._groups or ()):
            group.member_writable(self)
        self._call("on_writable", self._context.on_writable, self)

    # ---- delivery ------------------------------------------------------------------------------

    def _start(self) -> None:
        self._call("on_connect", self._context.on_connect, self)

    def _hold_back(self, messages: list[M]) -> None:
        if self._held & CLOSING or not messages:
            return
        self._read(False)  # uvloop's transport begins to read behind connection_made, whatever was asked for in it
        if self._stash is None:
            self._stash = messages
        else:
            self._stash += messages

    def _keep(self, data: bytes) -> list[M]:
        """What comes before there is a place for the connection, from a transport that was told not to read."""
        self._hold_back(cast(list[M], [data]))
        self.bytes_received -= len(data)  # it comes again
        return []

    def _choose_feed(self) -> None:
        if not self._codec.replies:
            self._feed = self._codec.feed
        else:
            self._feed = self._feed_and_reply if self._codec.is_open else self._feed_opening

    def _hold(self, why: int) -> None:
        if not self._held:
            self._read(False)
        self._held |= why

    def _release(self, why: int) -> None:
        if self._held & why:
            self._held &= ~why
            if not self._held:
                self._context.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Nothing holds the connection back any more: deliver what was, then read again."""
        if self._held:
            return
        if 0.0 < self._partial_at < math.inf:
            self._partial_at = self._deadlines.now  # the peer is not to blame for the time it was not read
        stash, self._stash = self._stash, None
        if stash:
            self._deliver(stash)
            if self._held:
                return
        if self._codec.fault is not None:
            self._meet_fault(self._codec.fault)
        elif self._eof:
            self._end_of_messages()
        else:
            self._read(True)

    def _read(self, on: bool) -> None:
        """Start or stop reading, unless there is nothing to read any more: after EOF uvloop would read it again."""
        transport = self._transport
        if transport is not None and not self._eof and not transport.is_closing():
            if on:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _end_of_messages(self) -> None:
        if not self._held & CLOSING and not self._eof_told:
            self._eof_told = True
            if self._reason is None and self._context.half_close is False:
                self._reason = CloseReason.PEER_CLOSED
            self._call("on_eof", self._context.on_eof, self)

    def _meet_fault(self, fault: ProtocolError) -> None:
        """The peer broke the grammar. What came before it is delivered first, if anything is held back."""
        if self._held & CLOSING:
            return
        if self._stash:
            return  # _go_on comes back here
        self._call("on_fault", self._context.on_fault, self, fault)
        self._close(CloseReason.FRAMING_ERROR, fault, linger=True)

    # ---- codecs with a conversation of their own -----------------------------------------------

    def _open(self) -> None:
        """The codec's handshake comes first."""
        request = self._codec.data_to_send()
        if request:
            self._put_aside(request)
        context = self._context
        context.deadlines.watch(self, context.loop.time() + context.timeouts.handshake)

    def _feed_opening(self, data: bytes) -> list[M]:
        codec = self._codec
        messages = codec.feed(data)
        answer = codec.data_to_send()
        if answer:
            self._put_aside(answer)
        if codec.is_open:
            self._feed = self._feed_and_reply
            self._partial_at = math.inf
            self._context.deadlines.watch(self, self._context.loop.time() + self._context.probe_interval)
            self._start()
            self._wake()
            if codec.ended:
                self._end_by_codec()
        elif codec.fault is not None:
            self._close(CloseReason.REFUSED, codec.fault, linger=True)
        elif codec.ended:
            self._close(CloseReason.LOCAL_CLOSED, linger=True)
        return messages

    def _feed_and_reply(self, data: bytes) -> list[M]:
        codec = self._codec
        messages = codec.feed(data)
        answer = codec.data_to_send()
        if answer:
            self._put_aside(answer)
        if not messages:
            if codec.buffered:
                if self._partial_at == math.inf:
                    self._partial_at = 0.0  # a message begins with this chunk
            elif self.messages_received:
                self._partial_at = math.inf  # none has begun
        if codec.ended:
            self._end_by_codec()
        return messages

    def _end_by_codec(self) -> None:
        """The peer has said goodbye in the codec's way."""
        if not self._eof:
            self._eof = True
            self._context.loop.call_soon(self._go_on)  # behind the messages

    async def wait_open(self) -> None:
        """Wait until the codec's handshake is done.

        Raises:
            anyio.BrokenResourceError: the connection ended before.
        """
        while not self._codec.is_open:
            self._check_open()
            await self._wait()

    async def receive(self) -> M:
        return self.receive_nowait()

    async def receive_into(self, buffer: WritableBuffer, at_least: int = 1) -> int:
        raise RuntimeError("bytes of this connection go to its handler's callbacks; receive_into() is for coroutines")

    def receive_nowait(self) -> M:
        raise RuntimeError("messages of this connection go to its handler's callbacks; receive() is for coroutines")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        return self.receive_nowait()

    # ---- looking -------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        if not self._begun:  # the door: there is no place yet
            self._feed = self._keep
        self._hold(BY_HANDLER)

    def resume_reading(self) -> None:
        if not self._begun:  # the door: now there is one
            self._choose_feed()
            early, self._stash = self._stash, None
            if early:
                self._context.loop.call_soon(self.data_received, b"".join(cast(list[bytes], early)))
        self._release(BY_HANDLER)

    @property
    def state(self) -> Any:
        if self._state is None:
            self._state = SimpleNamespace()
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        self._state = value

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self.closing else "open"
        return f"<{type(self).__name__} {self._context.name} peer={self.peername} {state}>"
