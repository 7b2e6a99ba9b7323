"""A datagram port of the load. With numbers inside the datagrams it knows what was lost, doubled, and out of order."""

from __future__ import annotations

import struct
import time
from typing import Any, Final

from ..client import open_datagram
from ..datagram import DatagramHandler, DatagramPort
from ..endpoint import Endpoint
from ..events import Address
from .clients import Client, OrderedClient
from .script import Script
from .streams import excerpt
from .tally import Tally

__all__ = ["NUMBER", "DatagramClient", "DatagramLoad", "NumberedDatagramClient"]

NUMBER: Final = struct.Struct(">Q")
"""The number a datagram begins with."""

OPEN_WINDOW: Final = 4096
"""Datagrams under way on one port of an open loop."""

_clock = time.perf_counter_ns


class DatagramLoad:
    """What the ports of a process share.

    Args:
        script: What to send, as it is.
        numbered: Whether the first bytes of each datagram are replaced by its number, and are to come back.
        pipeline: Datagrams under way on a port of a closed loop; ``None``: an open loop.
    """

    def __init__(self, script: Script, numbered: bool, pipeline: int | None) -> None:
        self.script = script
        self.numbered = numbered
        self.window = pipeline or OPEN_WINDOW

    def client(self, tally: Tally, position: int, quota: int) -> Client:
        """A port."""
        kind = NumberedDatagramClient if self.numbered else DatagramClient
        return kind(self, tally, quota)


class _DatagramPortClient(Client, DatagramHandler):
    def __init__(self, load: DatagramLoad, tally: Tally, quota: int) -> None:
        super().__init__(tally, load.window, quota)
        self._message: bytes = load.script.messages[0]
        self._reply: bytes = load.script.replies[0]
        self._verify = load.script.verify
        self._port: DatagramPort[Any]

    async def open(self, endpoint: Endpoint, timeout: float) -> None:
        await open_datagram(endpoint, handler=self, timeout=timeout)

    def on_bind(self, port: DatagramPort[Any]) -> None:
        self._port = port

    def _disconnect(self, *, at_once: bool) -> None:
        self._port.close()

    def on_error(self, port: DatagramPort[Any], exc: OSError) -> None:
        kind = (exc.strerror or str(exc)).lower()
        if self.answered:
            self.tally.fail(kind)
        else:  # nobody has ever been there: the same as a connection that is refused
            self.give_up(kind)

    def on_close(self, port: DatagramPort[Any]) -> None:
        self._count_unfinished()
        self.ended.set()

    def _count_unfinished(self) -> None:
        self.tally.lost += self._outstanding
        self._outstanding = 0
        super()._count_unfinished()

    def _meet_wrong(self, expected: bytes, got: bytes) -> None:
        self.tally.wrong += 1
        self.tally.show("wrong replies", f"expected {excerpt(expected)}, got {excerpt(got)}")


class DatagramClient(_DatagramPortClient, OrderedClient):
    """Datagrams as they are: a reply is taken for that to the oldest one, which is right while nothing is lost."""

    def _transmit(self, count: int) -> None:
        for _ in range(count):
            self._port.send(self._message)

    def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> None:
        if self._verify and data != self._reply:
            self._meet_wrong(self._reply, data)
        if self._outstanding:
            self._count_answers(1)
        else:
            self.tally.duplicated += 1

    def check(self, now: int, timeout: int) -> None:
        lost = 0
        while self._outstanding > lost and now - self._oldest() > timeout:
            lost += self._head_left
            self._head_left = 0
        if lost:
            self.tally.lost += lost
            self._settle(lost, now)

    def _oldest(self) -> int:
        if not self._head_left:
            self._head_when, self._head_left = self._sent.popleft()
        return self._head_when


class NumberedDatagramClient(_DatagramPortClient):
    """Each datagram has a number, and its reply has the same."""

    def __init__(self, load: DatagramLoad, tally: Tally, quota: int) -> None:
        super().__init__(load, tally, quota)
        self._tail = self._message[NUMBER.size :]
        self._next = 0
        self._highest = -1  # of the numbers that came
        self._sent_at: dict[int, int] = {}  # of those under way, in the order of sending
        self._lost: set[int] = set()  # given up since the last but one look: may still come
        self._lost_before: set[int] = set()

    def _send(self, count: int, when: int) -> None:
        send, pack, tail, sent_at = self._port.send, NUMBER.pack, self._tail, self._sent_at
        first = self._next
        self._next = first + count
        self._outstanding += count
        self.tally.sent += count
        for number in range(first, first + count):
            sent_at[number] = when
            send(pack(number) + tail)

    def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> None:
        now = _clock()
        tally = self.tally
        number = int.from_bytes(data[: NUMBER.size], "big")
        if len(data) != len(self._message) or number >= self._next or data[NUMBER.size :] != self._tail:
            self._meet_wrong(b"(number)" + self._tail, data)
            return
        when = self._sent_at.pop(number, None)
        if when is None:
            self._meet_again(number)
            return
        self.heard_at = now
        self.answered += 1
        tally.answered += 1
        tally.record(now - when, 1)
        if number > self._highest:
            self._highest = number
        else:
            tally.reordered += 1
        self._settle(1, now)

    def _meet_again(self, number: int) -> None:
        for lost in (self._lost, self._lost_before):
            if number in lost:
                lost.discard(number)
                self.tally.late += 1
                return
        self.tally.duplicated += 1

    def check(self, now: int, timeout: int) -> None:
        sent_at = self._sent_at
        overdue = []
        for number, when in sent_at.items():
            if now - when <= timeout:
                break
            overdue.append(number)
        if now - self._progress[1] > timeout:
            self._lost_before, self._lost = self._lost, set()
            self._progress = (0, now)
        if overdue:
            for number in overdue:
                del sent_at[number]
            self._lost.update(overdue)
            self.tally.lost += len(overdue)
            self._settle(len(overdue), now)

    def _count_unfinished(self) -> None:
        super()._count_unfinished()
        self._sent_at.clear()
