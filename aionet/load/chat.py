"""Members of a chat room (:mod:`aionet.services.chat`): some speak, all count and check what they are told.

What is said begins with the number of the message and the time at which it was due. Each member expects from each
speaker every number in order, except its own: nobody hears himself. A speaker's last line says how many there were, so
that what is missing is known without waiting for it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Final

import anyio

from ..codecs import LineCodec
from ..endpoint import Endpoint
from ..errors import ConnectTimeout
from ..events import CloseReason
from ..handler import Connection
from ..limits import KIB, MIB, Limits
from ..services.chat.wire import JOINED, PROMPT, SERVER
from .streams import ConnectedClient, excerpt
from .tally import Tally

__all__ = ["ChatLoad", "ChatMember"]

_SERVER: Final = SERVER.encode()
_JOINED: Final = JOINED.encode()
_FLOOD: Final = b"too many messages"
_END: Final = b"end"
_TEXT: Final = re.compile(rb"(end|\d{1,12}) (\d{1,19})(?: |$)")
"""The number of a message, or ``end``; when it was due, or how many there were."""

_GAP: Final = 100_000
"""Numbers left out at once that are believed."""

_clock = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class ChatLoad:
    """What the members of a run have in common.

    Attributes:
        run: Begins all their names, so that two runs in one room keep apart: letters.
        speakers: How many of them speak: those with the lowest numbers.
        size: Bytes of what is said; at least the number and the time.
    """

    run: str
    speakers: int
    size: int

    def client(self, tally: Tally, position: int, quota: int) -> ChatMember:
        """The member of this number."""
        return ChatMember(self, tally, position)

    def name(self, position: int) -> bytes:
        """What the member of this number is called."""
        return f"{self.run}{position:06d}".encode()


class _Heard:
    """What a member has heard of one speaker."""

    __slots__ = ("missing", "next", "said")

    def __init__(self) -> None:
        self.next = 0
        self.missing: set[int] = set()  # numbers that were left out: may still come, out of order
        self.said = -1  # how many there were, once that was said


class ChatMember(ConnectedClient):
    """One member. ``sent`` counts what it said, ``answered`` what it was told."""

    codec = LineCodec(64 * KIB)
    # A room of thousands is announced to everybody at once, and a burst of messages may wait for the server.
    limits = Limits(high_water=4 * MIB, max_outbound=16 * MIB)

    def __init__(self, load: ChatLoad, tally: Tally, position: int) -> None:
        super().__init__(tally, 1, 0)
        self.speaks = position < load.speakers
        self._load = load
        self._name = load.name(position)
        self._prefix = f"[{load.run}".encode()
        self._said = 0
        self._filler = b"." * load.size
        self._heard = {
            b"[" + load.name(speaker) + b"]": _Heard() for speaker in range(load.speakers) if speaker != position
        }
        self._unfinished = len(self._heard)  # speakers that have not said that they are done
        self._finishing = False
        self._joined = anyio.Event()

    async def open(self, endpoint: Endpoint, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            await super().open(endpoint, timeout)
            self._conn.write(self._name)
            await self._joined.wait()
            if not self._leaving:
                return
        self.close(at_once=True)
        raise ConnectTimeout(
            f"{endpoint.location} did not let {self._name.decode()} into the room",
            hint="is that a chat? see python -m aionet serve tcp://127.0.0.1:9999=chat",
        )

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        if self._joined.is_set():
            super().on_close(conn, reason, exc)
        self._leaving = True
        self.ended.set()
        self._joined.set()

    def _send(self, count: int, when: int) -> None:
        self.tally.sent += count
        for number in range(self._said, self._said + count):
            self._conn.write((b"%d %d " % (number, when) + self._filler)[: self._load.size])
        self._said += count

    def due(self, count: int, when: int) -> None:
        if self._leaving:
            self.tally.unsent += count
        else:
            self._send(count, when)

    def finish(self) -> None:
        self._finishing = True
        if self.speaks:
            self._conn.write(b"%s %d" % (_END, self._said))

    @property
    def idle(self) -> bool:
        return not self._unfinished or self._leaving

    def check(self, now: int, timeout: int) -> None:
        """Nothing is owed to a member at any time."""

    def _count_unfinished(self) -> None:
        if self._unfinished and self._finishing:
            missing = sum(len(heard.missing) for heard in self._heard.values() if heard.said < 0)
            self.tally.lost += missing
            self.tally.fail("no last line of a speaker", f"{self._unfinished} of {len(self._heard)} speakers")
            self._unfinished = 0
        super()._count_unfinished()

    def on_messages(self, conn: Connection[bytes], messages: list[bytes]) -> None:
        now = _clock()
        for line in messages:
            if line.startswith(self._prefix):
                self._hear(line, now)
            else:
                self._hear_server(line)

    def _hear(self, line: bytes, now: int) -> None:
        who, _, text = line.partition(b" ")
        heard = self._heard.get(who)
        match = _TEXT.match(text)
        if heard is None or match is None or heard.said >= 0:
            self._meet_wrong(line)
            return
        what, number = match[1], int(match[2])
        if what == _END:
            if number < heard.next:
                self._meet_wrong(line)
                return
            heard.said = number
            self._unfinished -= 1
            # What was left out, and what should have come after the last one.
            self.tally.lost += len(heard.missing) + heard.said - heard.next
        elif len(text) != self._load.size or int(what) > heard.next + _GAP:
            self._meet_wrong(line)
        else:
            self._count(heard, int(what))
            self.heard_at = now
            self.tally.record(now - number, 1)

    def _count(self, heard: _Heard, number: int) -> None:
        if number == heard.next:
            heard.next += 1
        elif number > heard.next:
            heard.missing.update(range(heard.next, number))
            heard.next = number + 1
        elif number in heard.missing:
            heard.missing.discard(number)
            self.tally.reordered += 1
        else:
            self.tally.duplicated += 1
            return
        self.answered += 1
        self.tally.answered += 1

    def _hear_server(self, line: bytes) -> None:
        line = line.removeprefix(PROMPT)
        if not line:  # over WebSocket the prompt is a message of its own
            return
        if line == _SERVER + self._name + _JOINED:
            self._joined.set()
        elif line.startswith(_SERVER + _FLOOD):
            self.tally.fail("flood control", excerpt(line))
        elif not self._joined.is_set() and line.startswith(_SERVER) and not line.endswith(_JOINED):
            self.give_up("not let in", excerpt(line))
        elif not line.startswith((_SERVER, b"[")):
            self._meet_wrong(line)

    def _meet_wrong(self, line: Any) -> None:
        self.tally.wrong += 1
        self.tally.show("wrong replies", f"not a line of this chat: {excerpt(line)}")
