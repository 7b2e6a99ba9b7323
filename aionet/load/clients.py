"""A connection of the load, whatever it speaks: how many messages are under way, what is due, how long each took.

In a **closed loop** a client keeps a number of messages under way: an answer is followed by the next message. In an
**open loop** messages are due by the clock, whether the server keeps up or not, and a latency is counted from when the
message was due, not from when it could be sent: a server that stalls is charged with all that had to wait for it
("coordinated omission").
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque

from ..endpoint import Endpoint
from .tally import Tally

__all__ = ["UNLIMITED", "Client", "OrderedClient"]

UNLIMITED = 1 << 62
"""Messages of a client that goes on until the time is over."""

_clock = time.perf_counter_ns


class Client(ABC):
    """One connection, or datagram port.

    Args:
        tally: Where to count.
        window: Messages that may be under way.
        quota: Messages to send in a closed loop; 0 in an open loop, where :meth:`due` says when.

    Attributes:
        speaks: Whether it sends at all. Some only listen.
        answered: Messages answered.
        heard_at: When the last answer came, nanoseconds; 0: none has.
        left_over: Messages of its quota that it had not sent when its connection ended.
        ended: Set when the connection is gone.
    """

    speaks = True

    def __init__(self, tally: Tally, window: int, quota: int) -> None:
        self.tally = tally
        self.answered = 0
        self.heard_at = 0
        self.left_over = 0
        self.ended = asyncio.Event()
        self._window = window
        self._left = quota
        self._outstanding = 0
        self._backlog: deque[tuple[int, int]] = deque()  # (when it was due, messages), in an open loop
        self._leaving = False
        self._progress = (-1, 0)  # (answered, when that was last seen to change)

    @abstractmethod
    async def open(self, endpoint: Endpoint, timeout: float) -> None:
        """Connect.

        Raises:
            ConnectError: it cannot be reached.
            OSError: what the system refused.
        """

    @abstractmethod
    def _disconnect(self, *, at_once: bool) -> None:
        """Close the connection, or abort it."""

    @abstractmethod
    def _send(self, count: int, when: int) -> None:
        """Send so many messages, which count from ``when``, and add them to ``_outstanding``."""

    def start(self) -> None:
        """Begin a closed loop: as many messages as may be under way."""
        count = min(self._window, self._left)
        if count and not self._leaving:
            self._left -= count
            self._send(count, _clock())

    def due(self, count: int, when: int) -> None:
        """So many messages are due since ``when``, nanoseconds. They leave now, or as soon as there is room."""
        if self._leaving:
            self.tally.unsent += count
        elif not self._backlog and self._outstanding + count <= self._window:
            self._send(count, when)
        else:
            self._backlog.append((when, count))
            self._send_backlog()

    def finish(self) -> None:
        """Send nothing that is not already due."""
        self._left = 0

    @property
    def idle(self) -> bool:
        """Whether everything was sent and answered."""
        return not (self._left or self._outstanding or self._backlog)

    @property
    def unsent(self) -> int:
        """Messages that are due and had to wait."""
        return sum(count for _, count in self._backlog)

    def check(self, now: int, timeout: int) -> None:
        """Give up a peer that has not answered anything for ``timeout`` nanoseconds, though it was asked."""
        answered, since = self._progress
        if self.answered != answered or not self._outstanding:
            self._progress = (self.answered if self._outstanding else -1, now)
        elif now - since > timeout:
            self.give_up("no answer in time", f"nothing came for {timeout / 1e9:g} s")

    def give_up(self, kind: str, example: str = "") -> None:
        """End the connection, for which the peer is to blame."""
        if not self._leaving:
            self._gone(kind, example)
            self._disconnect(at_once=True)

    def close(self, *, at_once: bool = False) -> None:
        """End the connection; nobody is to blame."""
        self._leaving = True
        self._count_unfinished()
        self._disconnect(at_once=at_once)

    def _gone(self, kind: str, example: str = "") -> None:
        """The connection failed."""
        if not self._leaving:
            self._leaving = True
            self.tally.fail(kind, example)
        self._count_unfinished()

    def _count_unfinished(self) -> None:
        """What was under way will not be answered any more."""
        self.tally.unanswered += self._outstanding
        self.tally.unsent += self.unsent
        self.left_over += self._left
        self._outstanding = self._left = 0
        self._backlog.clear()

    def _settle(self, count: int, now: int) -> None:
        """So many messages are under way no more: send as many others, if there are any."""
        self._outstanding -= count
        left = self._left
        if left:
            if count > left:
                count = left
            self._left = left - count
            self._send(count, now)
        elif self._backlog:
            self._send_backlog()

    def _send_backlog(self) -> None:
        backlog = self._backlog
        while backlog and self._outstanding < self._window:
            when, count = backlog[0]
            room = self._window - self._outstanding
            if count > room:
                backlog[0] = (when, count - room)
                count = room
            else:
                backlog.popleft()
            self._send(count, when)


class OrderedClient(Client):
    """Answers come in the order of the questions, so the oldest question is the one answered."""

    def __init__(self, tally: Tally, window: int, quota: int) -> None:
        super().__init__(tally, window, quota)
        self._sent: deque[tuple[int, int]] = deque()  # (when, messages), behind the head
        self._head_when = 0
        self._head_left = 0

    @abstractmethod
    def _transmit(self, count: int) -> None:
        """Put so many messages on their way."""

    def _send(self, count: int, when: int) -> None:
        self._sent.append((when, count))
        self._outstanding += count
        self.tally.sent += count
        self._transmit(count)

    def _count_answers(self, count: int) -> None:
        """So many answers have come, right now."""
        now = _clock()
        surplus = count - self._outstanding
        if surplus > 0:
            count -= surplus
        self.heard_at = now
        self.answered += count
        tally = self.tally
        tally.answered += count
        rest = count
        while rest > self._head_left:
            if self._head_left:
                tally.record(now - self._head_when, self._head_left)
                rest -= self._head_left
            self._head_when, self._head_left = self._sent.popleft()
        if rest:
            self._head_left -= rest
            tally.record(now - self._head_when, rest)
        if surplus > 0:
            self.tally.wrong += surplus
            self.give_up("more answers than questions", f"{surplus} more")
        else:
            self._settle(count, now)
