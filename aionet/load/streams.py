"""A stream connection of the load: messages of a script out, replies in, compared a chunk at a time."""

from __future__ import annotations

import math
from typing import Any, Final

from ..client import connect
from ..endpoint import Endpoint
from ..events import CloseReason
from ..handler import Connection, StreamHandler
from ..limits import KIB, MIB, Limits, Timeouts
from .clients import Client, OrderedClient
from .script import Script
from .tally import Tally

__all__ = ["TIMEOUTS", "ConnectedClient", "FramedClient", "RawClient", "StreamLoad", "excerpt"]

TIMEOUTS: Final = Timeouts(first_message=math.inf, message=math.inf, idle=math.inf, send=math.inf)
"""The load has deadlines of its own, which say what they mean."""

OPEN_WINDOW: Final = 256 * KIB
"""Bytes under way on one connection of an open loop. What is due beyond that waits here, and is charged for it."""

_MORE: Final = 16
"""Bytes behind a wrong reply that are shown with it: it may be longer than the right one."""


class StreamLoad:
    """What the connections of a process share: the script, as bytes.

    Args:
        script: What to say.
        pipeline: Messages under way on a connection of a closed loop; ``None``: an open loop.
        carried: Whether something carries the messages that has borders of its own: WebSocket.
    """

    def __init__(self, script: Script, pipeline: int | None, carried: bool = False) -> None:
        self.script = script
        self.step = script.request_size
        self.window = pipeline or max(1, OPEN_WINDOW // self.step)
        self.requests = script.requests(self.window)
        self.reply_size = script.reply_size
        self.kind: type[_ScriptClient] = FramedClient if script.framed else RawClient
        if carried:
            self.kind = CarriedClient
            self.messages = script.message_ring(self.window)
        if self.kind is RawClient:
            self.raw_replies = script.raw_replies()
        else:
            self.framed_replies = script.framed_replies()
        # Never congested: it is the window that bounds what waits.
        room = 2 * self.window * self.step + MIB
        self.limits = Limits(high_water=room, max_outbound=2 * room)

    def client(self, tally: Tally, position: int, quota: int) -> OrderedClient:
        """The connection of this number; the next one begins in another place of the ring."""
        return self.kind(self, tally, position * 37 % len(self.script.messages), quota)


class ConnectedClient(Client, StreamHandler[Any]):
    """A client over a stream connection, whose handler it is."""

    timeouts = TIMEOUTS
    _conn: Connection[Any]
    _connected = False

    async def open(self, endpoint: Endpoint, timeout: float) -> None:
        await connect(endpoint, handler=self, timeout=timeout)

    def on_connect(self, conn: Connection[Any]) -> None:
        self._conn = conn
        self._connected = True

    def _disconnect(self, *, at_once: bool) -> None:
        if not self._connected:
            return
        if at_once:
            self._conn.abort()
        else:
            self._conn.close()

    def on_close(self, conn: Connection[Any], reason: CloseReason, exc: BaseException | None) -> None:
        if self._connected:  # else whoever opens it is told
            self._gone(reason.value, "" if exc is None else str(exc))
        self.ended.set()


class _ScriptClient(OrderedClient, ConnectedClient):
    """Says what a script says."""

    def __init__(self, load: StreamLoad, tally: Tally, first: int, quota: int) -> None:
        super().__init__(tally, load.window, quota)
        self.codec = load.script.make_codec
        self.limits = load.limits
        self._requests = load.requests
        self._step = load.step
        self._count = len(load.script.messages)
        self._verify = load.script.verify
        self._next = first  # number of the next message in the ring

    def _next_requests(self, count: int) -> bytes:
        start = self._next * self._step
        self._next = (self._next + count) % self._count
        return self._requests[start : start + count * self._step]

    def _show_wrong(self, expected: Any, got: Any) -> None:
        self.tally.wrong += 1
        self.tally.show("wrong replies", f"expected {excerpt(expected)}, got {excerpt(got)}")


class RawClient(_ScriptClient):
    """Replies are told apart by their size. Behind the first wrong byte nothing can be: the connection ends there."""

    def __init__(self, load: StreamLoad, tally: Tally, first: int, quota: int) -> None:
        super().__init__(load, tally, first, quota)
        self._replies = load.raw_replies
        self._size = load.reply_size
        self._ring = self._size * self._count  # bytes once around
        self._at = first * self._size  # byte of the ring that comes next
        self._partial = 0  # bytes of a reply not yet complete

    def _transmit(self, count: int) -> None:
        self._conn.write(self._next_requests(count))

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        size = len(message)
        start = self._at
        if self._verify and message != self._replies[start : start + size]:
            self._meet_wrong(message)
            return
        self._at = (start + size) % self._ring
        count, self._partial = divmod(self._partial + size, self._size)
        if count:
            self._count_answers(count)

    def _meet_wrong(self, message: bytes) -> None:
        if self._leaving:
            return
        size, expected = self._size, self._replies
        offset = next(
            (i for i, (one, other) in enumerate(zip(message, expected[self._at :], strict=False)) if one != other), 0
        )
        good = (self._partial + offset) // size
        if good:
            self.left_over, self._left = self._left, 0  # nothing more is sent here
            self._count_answers(good)
        begin = max(0, good * size - self._partial)  # where the wrong reply begins in this chunk
        at = (self._at + begin) % self._ring
        self._show_wrong(expected[at : at + size], message[begin : begin + size + _MORE])
        self.give_up("a wrong reply")


class FramedClient(_ScriptClient):
    """The codec tells where a reply ends: a wrong one is counted, and the next one is compared with what is its own."""

    def __init__(self, load: StreamLoad, tally: Tally, first: int, quota: int) -> None:
        super().__init__(load, tally, first, quota)
        self._replies = load.framed_replies
        self._at = first

    def _transmit(self, count: int) -> None:
        self._conn.write_encoded(self._next_requests(count))

    def on_messages(self, conn: Connection[Any], messages: list[Any]) -> None:
        count = len(messages)
        start = self._at
        if self._verify and messages != self._replies[start : start + count]:
            self._meet_wrong(messages)
        self._at = (start + count) % self._count
        self._count_answers(count)

    def _meet_wrong(self, messages: list[Any]) -> None:
        for number, message in enumerate(messages[: self._outstanding], self._at):
            expected = self._replies[number % self._count]
            if message != expected:
                self._show_wrong(expected, message)


class CarriedClient(FramedClient):
    """Each connection encodes for itself: over WebSocket, with masks of its own."""

    def __init__(self, load: StreamLoad, tally: Tally, first: int, quota: int) -> None:
        super().__init__(load, tally, first, quota)
        self._messages = load.messages

    def _transmit(self, count: int) -> None:
        write, start = self._conn.write, self._next
        self._next = (start + count) % self._count
        for message in self._messages[start : start + count]:
            write(message)


def excerpt(message: object) -> str:
    """The first bytes of a message, as they may be shown."""
    text = message if isinstance(message, (bytes, bytearray, str)) else repr(message)
    return ascii(text[:60]) + ("..." if len(text) > 60 else "")
