"""The event loop: uvloop where it is installed, asyncio's own otherwise; and what connections of one loop share."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, Protocol, TypeVar

from ..errors import ConfigError
from ..events import Events, HandlerFailed
from .deadlines import Deadlines
from .tls_path import TLSBuffers

try:
    import uvloop
except ImportError:  # not on Windows, not on every interpreter
    uvloop = None  # type: ignore[assignment]

try:
    if os.environ.get("AIONET_NATIVE") == "0":  # to find out whether a fault is of theirs
        raise ImportError
    from ._epoll import Reactor
except ImportError:  # it is compiled where there is a C compiler, for Linux
    Reactor = None  # type: ignore[assignment,misc]

__all__ = [
    "FAILURES",
    "NATIVE",
    "LoopName",
    "LoopShared",
    "Turns",
    "client_events",
    "loop_factory",
    "loop_name",
    "run",
    "shared",
]

NATIVE: Final = Reactor is not None
"""Whether plain sockets are served by transports of our own, which are compiled, instead of the event loop's."""

LoopName = Literal["auto", "uvloop", "asyncio"]
T = TypeVar("T")

FAILURES: Final = (Exception, asyncio.CancelledError)
"""What a user's code fails by. ``CancelledError`` is no ``Exception``, but a callback that asks for the result of a
cancelled future raises it all the same, and a callback is no task that could have been cancelled."""

AT_ONCE: Final = 32
"""Members of groups that are sent to in one tick: some 0.1 ms. The others have their turn in the next ones, so that a
broadcast to thousands does not keep everybody else waiting while the kernel takes it."""

BUSY_FOR: Final = 64
"""Turns of senders of files, some 5 ms, for which a loop counts as busy once somebody had something to say: who speaks
200 times a second never finds a long turn under way."""

READ_BUFFER: Final = 64 * 1024
"""Bytes read at once. asyncio's own transports allocate 256 KiB anew for each read, which glibc serves by mmap and
munmap: 47-57 us an echo, against 18.5 with one shared buffer. uvloop has a shared buffer of its own. No larger, because
all small requests of a chunk become objects at once, many times their bytes."""


def loop_factory(name: LoopName = "auto") -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop of this name.

    Raises:
        ConfigError: no such loop, or uvloop is asked for and not installed.
    """
    if name not in ("auto", "uvloop", "asyncio"):
        raise ConfigError(f"unknown loop {name!r}", hint="one of auto, uvloop, asyncio")
    if name == "asyncio" or (name == "auto" and uvloop is None):
        return asyncio.new_event_loop
    if uvloop is None:
        raise ConfigError("uvloop is not installed", hint="pip install uvloop, or take --loop asyncio")
    return uvloop.new_event_loop


def loop_name(loop: asyncio.AbstractEventLoop) -> str:
    """``"uvloop"`` or ``"asyncio"``."""
    return "uvloop" if type(loop).__module__.partition(".")[0] == "uvloop" else "asyncio"


def run(main: Coroutine[Any, Any, T], *, loop: LoopName = "auto") -> T:
    """Run ``main`` on a new event loop of this kind, and clean up after it, as :func:`asyncio.run` does."""
    try:
        factory = loop_factory(loop)
    except ConfigError:
        main.close()
        raise
    results: list[T] = []

    async def keep_result() -> None:
        results.append(await main)

    with asyncio.Runner(loop_factory=factory) as runner:
        # Not main itself: signal.getsignal(), which the runner asks at its end, takes the repr of its task, and so of
        # what that returned; of ten thousand files fetched that takes 0.1 s.
        runner.run(keep_result())
    return results.pop()


class Flushable(Protocol):
    """What can wait for the end of the tick."""

    def flush_tick(self) -> None:
        """The tick ends: let everything go."""


class Member(Flushable, Protocol):
    """What can wait for its turn."""

    def flush_turns(self, shared: LoopShared) -> None:
        """Flush those who wait, this one first, as many as ``shared.allowance`` allows."""


class Speaker(Flushable, Protocol):
    """A group: what waits in it is not yet sorted to its members."""

    def settle_all(self) -> None:
        """Give every member what waits, without sending."""


class Turns:
    """Lets one of those who wait go on in each tick of the loop, in the order in which they came."""

    __slots__ = ("_loop", "_scheduled", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    async def next(self) -> None:
        """Wait for a turn; at least until the next tick."""
        turn = self._loop.create_future()
        self._waiting.append(turn)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go)
        await turn

    def _go(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled meanwhile
                turn.set_result(None)
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._loop.call_soon(self._go)


class LoopShared:
    """What all connections of one loop share, servers' and clients' alike.

    uvloop 0.23 and asyncio send on every ``transport.write``: one system call a write. So a connection written to
    from outside its own chunk marks itself dirty here, and everything dirty is flushed once, at the end of the tick.
    """

    __slots__ = (
        "_busy",
        "_dirty",
        "_heard",
        "_loop",
        "_scheduled",
        "_speaker",
        "_speakers",
        "allowance",
        "buffer",
        "client_deadlines",
        "is_uvloop",
        "reactor",
        "tls",
        "turns",
        "waiting",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, native: bool = True) -> None:
        self._loop = loop
        self._dirty: list[Flushable] = []
        self._scheduled = False
        self.waiting: deque[Member] = deque()  # members of groups, flushed a few a tick
        self.allowance = AT_ONCE  # of sends to members of groups, left in this tick
        self._speakers: list[Speaker] = []
        self._speaker: Speaker | None = None  # the last of them
        self.client_deadlines: Deadlines | None = None
        self._heard = 0  # of the reactor, when it was looked at
        self._busy = 0  # turns for which it counts as busy
        self.turns = Turns(loop)  # of those who send files
        self.tls: TLSBuffers | None = None  # made by the first connection that needs it
        self.is_uvloop = loop_name(loop) == "uvloop"
        self.reactor: Reactor | None = None if Reactor is None or not native else Reactor(loop)
        reads_alone = self.is_uvloop or self.reactor is not None
        self.buffer: memoryview | None = None if reads_alone else memoryview(bytearray(READ_BUFFER))

    def flush_later(self, item: Flushable) -> None:
        """Call ``item.flush_tick()`` at the end of this tick. The caller keeps from asking twice."""
        self._dirty.append(item)
        self.schedule()

    def was_busy(self) -> bool:
        """Whether anybody has had something to say while this was asked the last times; ``True`` if nobody knows."""
        if self.reactor is None:
            return True
        if self._heard != self.reactor.heard:
            self._heard = self.reactor.heard
            self._busy = BUSY_FOR
        elif self._busy:
            self._busy -= 1
        return self._busy > 0 or bool(self.waiting)

    def flush_in_turn(self, item: Member) -> None:
        """As :meth:`flush_later`, for one of many: each tick flushes some of them."""
        self.waiting.append(item)
        self.schedule()

    def schedule(self) -> None:
        """Have everything that waits flushed at the end of this tick."""
        if not self._scheduled:
            self._loop.call_soon(self._flush)  # in debug mode it raises for a call from another thread
            self._scheduled = True

    def publish_later(self, group: Speaker) -> None:
        """As :meth:`flush_later`, for a group. If another one spoke before it in this tick, that one's messages are
        given to its members first: a member of both hears them in the order in which they were said.
        """
        if self._speaker is not None and self._speaker is not group:
            self._speaker.settle_all()
        self._speaker = group
        self._speakers.append(group)
        self.schedule()

    def _flush(self) -> None:
        # Groups first: a member that has something of its own to send gets it all into one write. A flush may make
        # others dirty (a resumed handler writes): they wait for the next tick, which lets the loop read in between.
        self._scheduled = False
        self._speaker = None
        self.allowance = AT_ONCE
        speakers, self._speakers = self._speakers, []
        for group in speakers:
            self._flush_one(group)
        dirty, self._dirty = self._dirty, []
        for item in dirty:
            self._flush_one(item)
        while self.waiting and self.allowance > 0:
            try:
                self.waiting[0].flush_turns(self)  # one call for all of them: they are many, and compiled
            except Exception as exc:
                self._report(exc)
        if self.waiting:
            self.schedule()

    def _flush_one(self, item: Flushable) -> None:
        try:
            item.flush_tick()
        except Exception as exc:
            self._report(exc)

    def _report(self, exc: Exception) -> None:
        """A defect of ours; the others' bytes must leave all the same."""
        self._loop.call_exception_handler({"message": "aionet: flush failed", "exception": exc})


def shared(loop: asyncio.AbstractEventLoop) -> LoopShared:
    """The :class:`LoopShared` of this loop, made at first use and kept on the loop itself, so that it dies with it."""
    found: LoopShared | None = getattr(loop, "_aionet_shared", None)
    if found is None:
        found = LoopShared(loop)
        loop._aionet_shared = found  # type: ignore[attr-defined]
    return found


def client_events(handler: object | None) -> Events:
    """The events of a client. A server's are logged by whoever runs it; a client has nobody, so what its handler
    raises goes to the exception handler of the running loop."""
    events = Events()
    if handler is not None:
        loop = asyncio.get_running_loop()

        def report(event: HandlerFailed) -> None:
            what = f"aionet: {event.where} of a client of {event.route} failed"
            loop.call_exception_handler({"message": what, "exception": event.exc})

        events.subscribe(report, HandlerFailed)
    return events
