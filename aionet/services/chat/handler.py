"""The chat server: one handler, one group, no task for anybody."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, Protocol

from ... import CloseReason, Connection, Group, SlowConsumerPolicy, StreamHandler, Timeouts
from ...errors import ConfigError, FrameTooLarge, ProtocolError
from ...routing import prefix, silence
from .names import NameRefused, name_keys, parse_name
from .text import decode, strip_telnet, visible
from .wire import JOINED, MAX_LINE, PROMPT, REFUSAL_LIMIT, ChatCodec, server_line

__all__ = ["Chat", "Room"]


LISTED_NAMES: Final = 100
"""Names that /who lists; of more, the number. 100 names of full length are 2.6 kB."""

HELP: Final = (
    "/who lists who is here",
    "/quit leaves",
    "/help shows this",
    "everything else is said to all others",
)


def _loop_time() -> float:
    # anyio.current_time() does not do in a callback: where sniffio is installed (trio brings it) it asks for a task.
    return asyncio.get_running_loop().time()


class Room(Protocol):
    """What the chat needs of a :class:`~aionet.Group`: members, and a message to all of them."""

    def add(self, conn: Connection[Any], /) -> None:
        """Let this connection hear what is broadcast."""

    def discard(self, conn: Connection[Any], /) -> None:
        """No longer. Nothing happens if it is not a member."""

    def broadcast(self, message: Any, /, exclude: Connection[Any] | None = None) -> None:
        """Write the message to every member but ``exclude``."""


class Member:
    """What the chat knows of one connection. ``name`` is ``""`` until one is accepted."""

    __slots__ = ("connected_at", "filled_at", "name", "names_refused", "not_passed_on", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.name = ""
        self.names_refused = 0
        self.tokens = tokens
        self.filled_at = now
        self.not_passed_on = 0
        self.connected_at = now


class Chat(StreamHandler[bytes]):
    """A chat room over lines, for ``nc``, ``telnet`` and ``python -m aionet chat``. See :mod:`.wire` for the dialogue.

    One instance is one room; routes that share the instance share the room. Who speaks is stamped by the server, names
    follow :mod:`.names`, texts pass :func:`.text.visible`. All others hear a message in the order of its arrival.

    Flood control is a token bucket for each connection: ``burst`` messages at once, then ``rate`` a second. Whoever
    empties it is told so once, is not passed on until it is full again, and then told how many messages that cost.

    Args:
        policy: What happens to a member that does not read what is said: see :class:`~aionet.Group`.
        rate: Messages a second that one connection may go on with; ``math.inf`` for no bound.
        burst: Messages it may send at once, having been silent before.
        room: Instead of a group of its own with ``policy``.
        clock: Seconds, rising. The default is the event loop's.

    Raises:
        ConfigError: a rate that is not positive, a burst below 1.
    """

    codec = ChatCodec
    match = silence() | prefix(b"/")  # a client waits to be asked for a name; a command is all it may say before
    timeouts = Timeouts(
        first_message=60.0,  # to think of a name
        message=120.0,  # telnet in character mode sends every key at once: the time to type one line
        idle=8 * 3600.0,  # a working day of silence in a silent room; keep-alive probes find the dead earlier
    )

    name_timeout = 120.0
    """Seconds without an accepted name after which the next arrival has this connection closed. ``first_message`` ends
    with the first line, refused or not; nobody shall stay at the door for the length of ``idle``."""

    def __init__(
        self,
        *,
        policy: SlowConsumerPolicy = "disconnect",
        rate: float = 5.0,
        burst: int = 30,
        room: Room | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not rate > 0:
            raise ConfigError(f"rate must be a positive number of messages a second, not {rate!r}")
        if burst < 1:
            raise ConfigError(f"burst must be a whole number of at least 1, not {burst!r}")
        self.room: Room = Group(policy=policy) if room is None else room
        self._rate = rate
        self._burst = burst
        self._clock = clock or _loop_time
        self._names: dict[str, Connection[bytes]] = {}
        """Whose each name is, by all of its :func:`name_keys`."""
        self._members: dict[Connection[bytes], str] = {}
        """Everybody with a name, in the order of joining."""
        self._nameless: dict[Connection[bytes], float] = {}
        """Everybody without, and since when; in the order of connecting."""

    @property
    def names(self) -> tuple[str, ...]:
        """Who is in the room, in the order of joining."""
        return tuple(self._members.values())

    def on_connect(self, conn: Connection[bytes]) -> None:
        now = self._clock()
        self._close_nameless(now)
        self._nameless[conn] = now
        conn.state = Member(self._burst, now)
        conn.write_encoded(PROMPT)

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        member: Member = conn.state
        line = strip_telnet(message)
        if line[:5].lower() == b"/quit" and not line[5:].strip():
            self._goodbye(conn, "goodbye")
        elif not member.name:
            self._ask_name(conn, member, line)
        elif line.strip() and self._admit(conn, member):
            text = visible(decode(line))
            if text.startswith("/"):
                self._command(conn, text.split()[0])
            else:
                self.room.broadcast(f"[{member.name}] {text}".encode(), exclude=conn)

    def on_eof(self, conn: Connection[bytes]) -> None:
        self._leave(conn)
        conn.close()

    def on_fault(self, conn: Connection[bytes], fault: ProtocolError) -> None:
        if isinstance(fault, FrameTooLarge):
            self._goodbye(conn, f"a line has at most {MAX_LINE} bytes; goodbye")
        else:
            self._goodbye(conn, f"{visible(str(fault), 200)}; goodbye")

    def on_drain(self, conn: Connection[bytes]) -> None:
        self._leave(conn, announce=False)  # everybody leaves: n members need not hear of n departures
        conn.write(server_line("shutting down"))
        conn.close()

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        self._leave(conn)

    # names

    def _ask_name(self, conn: Connection[bytes], member: Member, line: bytes) -> None:
        try:
            name = parse_name(line)
            keys = name_keys(name)
            if not keys.isdisjoint(self._names):
                raise NameRefused(f"the name {name}, or one that looks like it, is taken")
        except NameRefused as refusal:
            self._refuse_name(conn, member, str(refusal))
            return
        member.name = name
        del self._nameless[conn]
        self._members[conn] = name
        self._names.update(dict.fromkeys(keys, conn))
        self.room.add(conn)
        self.room.broadcast(server_line(f"{name}{JOINED}"))

    def _refuse_name(self, conn: Connection[bytes], member: Member, why: str) -> None:
        member.names_refused += 1
        if member.names_refused >= REFUSAL_LIMIT:
            self._goodbye(conn, f"{why}; {REFUSAL_LIMIT} names refused, goodbye")
        else:
            conn.write(server_line(why))
            conn.write_encoded(PROMPT)

    def _close_nameless(self, now: float) -> None:
        while self._nameless:
            conn, since = next(iter(self._nameless.items()))
            if now - since < self.name_timeout:
                return
            self._goodbye(conn, f"no name within {self.name_timeout:g} seconds; goodbye")

    # messages

    def _admit(self, conn: Connection[bytes], member: Member) -> bool:
        """Take a token, or refuse the message. Once empty, the bucket has to fill up before any is taken again."""
        if self._rate == math.inf:
            return True
        now = self._clock()
        member.tokens = min(float(self._burst), member.tokens + (now - member.filled_at) * self._rate)
        member.filled_at = now
        if member.not_passed_on:
            if member.tokens < self._burst:
                member.not_passed_on += 1
                return False
            self._count_refused(conn, member)
        elif member.tokens < 1:
            member.not_passed_on = 1
            pause = (self._burst - member.tokens) / self._rate
            what = f"this one, and those of the next {pause:.1f} seconds, are not passed on"
            conn.write(server_line(f"too many messages: {what}"))
            return False
        member.tokens -= 1
        return True

    def _count_refused(self, conn: Connection[bytes], member: Member) -> None:
        if member.not_passed_on:
            plural = "" if member.not_passed_on == 1 else "s"
            conn.write(server_line(f"{member.not_passed_on} message{plural} of yours not passed on"))
            member.not_passed_on = 0

    def _command(self, conn: Connection[bytes], command: str) -> None:
        match command.lower():
            case "/who":
                conn.write(server_line(self._who()))
            case "/help":
                for line in HELP:
                    conn.write(server_line(line))
            case _:
                conn.write(server_line(f"unknown command {visible(command, 80)}; /help lists what there is"))

    def _who(self) -> str:
        names = self.names
        listed = ", ".join(names[:LISTED_NAMES])
        more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
        return f"{len(names)} here: {listed}{more}"

    # leaving

    def _goodbye(self, conn: Connection[bytes], text: str) -> None:
        self._leave(conn)
        conn.write(server_line(text))
        conn.close()

    def _leave(self, conn: Connection[bytes], announce: bool = True) -> None:
        """Free the name and tell the others. The second time nothing happens."""
        self._nameless.pop(conn, None)
        name = self._members.pop(conn, None)
        if name is None:
            return
        for key in name_keys(name):
            del self._names[key]
        self._count_refused(conn, conn.state)
        self.room.discard(conn)
        if announce:
            self.room.broadcast(server_line(f"{name} left the chat"))
