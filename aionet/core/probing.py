"""Finding out which ports are open: many probes in flight, each a socket of our own, no task and no timer a probe.

All sockets that wait stand in one selector, whose descriptor the loop watches: a batch of answers costs the loop one
callback. All wait equally long, so their deadlines are a queue. On loopback a refusal is there when ``connect``
returns, though it says EINPROGRESS: SO_ERROR is asked at once, and such a socket never meets the selector. Of 65,535
refused ports a bare loop of these calls takes 1.2 s here, this file 1.3 s, ``nmap -sT`` 1.5 to 2.3 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Any, Final

from ..limits import Limits
from .admission import descriptor_budget
from .sockets import reason_of

__all__ = ["PortState", "Probe", "ProbeTarget", "Sweep"]


class PortState(Enum):
    """What a probe says of a port.

    ``OPEN_OR_FILTERED`` is UDP's silence: a service that had nothing to say, or a datagram, or its refusal, that was
    dropped on the way. Nothing can tell which.
    """

    OPEN = "open"
    CLOSED = "closed"
    FILTERED = "filtered"
    OPEN_OR_FILTERED = "open|filtered"


SILENT: Final = "no answer"
BATCH: Final = 64
"""Probes started before the loop has its turn: about 2 ms."""
DATAGRAM_TRIES: Final = 3
"""A datagram, or its refusal, may be lost; a SYN is repeated by the kernel, after one second."""
SHORTAGE_PATIENCE: Final = 0.02
"""Seconds until another try, where the process has no descriptor left and none of them is ours."""
SHORTAGE_TRIES: Final = 500
MAX_ANSWER: Final = 2048

_SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CONNECTED: Final = frozenset({0, errno.EISCONN, errno.ECONNRESET, errno.EPIPE})
"""A reset comes after a connection; what refuses one is ECONNREFUSED."""
_PENDING: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, errno.EINTR})
_NO_WAY: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
)
"""Said by our own system before anything is sent: it is about the host, not the port."""


class ProbeTarget:
    """A host to be probed.

    Attributes:
        failure: Why it cannot be reached at all; once this is set, its other ports are left alone.
    """

    __slots__ = ("_rest", "address", "failure", "family")

    def __init__(self, family: int, sockaddr: tuple[Any, ...]) -> None:
        self.family = family
        self.address = str(sockaddr[0])
        self._rest = sockaddr[2:]
        self.failure: str | None = None

    def sockaddr(self, port: int) -> tuple[Any, ...]:
        """What ``connect`` takes."""
        return (self.address, port, *self._rest)


class Probe:
    """One port of one host, and the socket that waits for its answer."""

    __slots__ = ("deadline", "port", "sock", "target", "tries")

    def __init__(self, target: ProbeTarget, port: int, sock: socket.socket, tries: int) -> None:
        self.target = target
        self.port = port
        self.sock: socket.socket | None = sock
        self.tries = tries
        self.deadline = 0.0


Verdict = Callable[[ProbeTarget, int, PortState, str, bytes], object]
"""``verdict(target, port, state, reason, answer)``; ``answer``: the datagram that came back, else empty."""

Greet = Callable[[ProbeTarget, int, socket.socket], Awaitable[object]]
"""Called with a connected socket before its verdict; the socket is closed when it is done."""


class Sweep:
    """Probes ports, as many at a time as the descriptors allow, and calls back with a verdict for each.

    Args:
        probes: What to probe, in this order. Read only as far as there is room.
        verdict: Called once for each probe, except for those of a target that failed.
        timeout: Seconds a port has to answer. Above one second the kernel repeats a lost SYN.
        concurrency: Most sockets at once; fewer, where RLIMIT_NOFILE leaves less.
        rate: Most probes started a second, or ``None``.
        payload: For UDP, the datagram to send to a port; ``None`` means TCP.
        greet: Talks to the open ports of TCP.
    """

    def __init__(
        self,
        probes: Iterator[tuple[ProbeTarget, int]],
        verdict: Verdict,
        *,
        timeout: float,
        concurrency: int,
        rate: float | None = None,
        payload: Callable[[int], bytes] | None = None,
        greet: Greet | None = None,
    ) -> None:
        self._probes = probes
        self._verdict = verdict
        self._payload = payload
        self._greet = greet
        self._tries = 1 if payload is None else DATAGRAM_TRIES
        self._interval = timeout / self._tries
        self._event_mask = selectors.EVENT_WRITE if payload is None else selectors.EVENT_READ
        self._ceiling = descriptor_budget(Limits(max_connections=concurrency)).connections
        self._limit = self._ceiling
        self._rate = rate
        self._next_start = 0.0
        self._postponed: tuple[ProbeTarget, int] | None = None
        self._shortages = 0
        self._waiting: deque[Probe] = deque()
        self._greeting: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._exhausted = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Probe them all. Cancelled, it closes what is open; the verdicts so far stand.

        Raises:
            OSError: for ten seconds there was not a single descriptor to be had.
        """
        self._loop = asyncio.get_running_loop()
        with selectors.DefaultSelector() as self._selector:
            self._loop.add_reader(self._selector.fileno(), self._wake.set)
            try:
                while not (self._exhausted and self._in_flight == 0):
                    await self._turn()
            finally:
                self._loop.remove_reader(self._selector.fileno())
                await self._clean_up()

    async def _turn(self) -> None:
        self._wake.clear()
        self._collect()
        self._expire()
        pause = self._start_some()
        if pause == 0:
            await asyncio.sleep(0)
            return
        if self._exhausted and self._in_flight == 0:
            return
        if self._waiting:
            pause = min(pause, max(0.0, self._waiting[0].deadline - self._loop.time()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()

    def _start_some(self) -> float:
        """Start what may start; return the seconds until more may, if nothing happens before."""
        now = self._loop.time()
        self._next_start = max(self._next_start, now - 0.05)  # what a slow tick missed is made up for
        for _ in range(BATCH):
            if self._exhausted or self._in_flight >= self._limit:
                return 3600.0
            if self._rate is not None:
                if self._next_start > now:
                    return self._next_start - now
                self._next_start += 1 / self._rate
            probe = self._postponed or next(self._probes, None)
            self._postponed = None
            if probe is None:
                self._exhausted = True
            elif probe[0].failure is None and not self._start(*probe):
                self._postponed = probe
                return SHORTAGE_PATIENCE
        return 0.0

    def _start(self, target: ProbeTarget, port: int) -> bool:
        """Start a probe; ``False`` where the system has no room for it now."""
        kind = socket.SOCK_STREAM if self._payload is None else socket.SOCK_DGRAM
        try:
            sock = socket.socket(target.family, kind)
        except OSError as exc:
            if exc.errno in _SHORT:
                return self._short(exc)
            target.failure = reason_of(exc)
            return True
        sock.setblocking(False)
        try:
            code = sock.connect_ex(target.sockaddr(port))
        except OSError as exc:  # an address that is none, such as one with a scope that is gone
            sock.close()
            target.failure = reason_of(exc)
            return True
        if code in _SHORT or (code in (errno.EADDRNOTAVAIL, errno.EAGAIN) and self._in_flight):
            sock.close()
            return self._short(OSError(code, "cannot connect"))
        self._shortages = 0
        if self._limit < self._ceiling:
            self._limit += 1  # there is room again, after a shortage
        if code in _NO_WAY:
            sock.close()
            target.failure = reason_of(OSError(code, os.strerror(code)))
            return True
        self._in_flight += 1
        self._advance(Probe(target, port, sock, self._tries), code)
        return True

    def _short(self, exc: OSError) -> bool:
        """Make do with as many sockets as there are; wait where there is none."""
        if self._in_flight:
            self._limit = self._in_flight
            return False
        self._shortages += 1
        if self._shortages > SHORTAGE_TRIES:
            raise exc
        return False

    def _advance(self, probe: Probe, code: int) -> None:
        """``connect`` returned ``code``: settle what is known already, wait for the rest."""
        sock = probe.sock
        assert sock is not None
        if self._payload is not None and code == 0:
            code = self._send(probe) or errno.EINPROGRESS
        elif code in _PENDING:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.EINPROGRESS
        if code not in _PENDING:
            self._settle(probe, code)
            return
        try:
            self._selector.register(sock, self._event_mask, probe)
        except OSError as exc:  # epoll's own limit, /proc/sys/fs/epoll/max_user_watches
            self._settle(probe, exc.errno or errno.ENOSPC)
            return
        self._await_answer(probe)

    def _await_answer(self, probe: Probe) -> None:
        probe.tries -= 1
        probe.deadline = self._loop.time() + self._interval
        self._waiting.append(probe)

    def _send(self, probe: Probe) -> int:
        """Send the datagram; return what the system has to say of it, 0 for nothing."""
        assert probe.sock is not None
        assert self._payload is not None
        try:
            probe.sock.send(self._payload(probe.port))
        except OSError as exc:
            full = exc.errno in _SHORT or exc.errno in _PENDING
            return 0 if full else exc.errno or errno.EIO  # full: the next try sends it
        return probe.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _collect(self) -> None:
        for key, _ in self._selector.select(0):
            probe: Probe = key.data
            sock = probe.sock
            assert sock is not None
            if self._payload is None:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                answer = b""
            else:
                code, answer = _receive(sock)
                if code in _PENDING:  # a datagram with a wrong checksum
                    continue
            self._selector.unregister(sock)
            self._settle(probe, code, answer)

    def _expire(self) -> None:
        now = self._loop.time()
        waiting = self._waiting
        while waiting and (waiting[0].sock is None or waiting[0].deadline <= now):
            probe = waiting.popleft()
            if probe.sock is None:
                continue
            if probe.tries > 0:
                code = self._send(probe)
                if code == 0:
                    self._await_answer(probe)
                    continue
            else:
                code = errno.ETIMEDOUT
            self._selector.unregister(probe.sock)
            self._settle(probe, code)

    def _settle(self, probe: Probe, code: int, answer: bytes = b"") -> None:
        """A verdict; the socket is closed, or handed to who greets."""
        sock, probe.sock = probe.sock, None
        assert sock is not None
        udp = self._payload is not None
        state, reason = _judge(sock, code, udp)
        if state is PortState.OPEN and self._greet is not None and not udp and code in (0, errno.EISCONN):
            task = self._loop.create_task(self._greeted(probe, sock))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)
            return
        sock.close()
        self._in_flight -= 1
        self._verdict(probe.target, probe.port, state, reason, answer)

    async def _greeted(self, probe: Probe, sock: socket.socket) -> None:
        try:
            assert self._greet is not None
            with sock:
                await self._greet(probe.target, probe.port, sock)
        finally:
            self._in_flight -= 1
            self._verdict(probe.target, probe.port, PortState.OPEN, "connected", b"")
            self._wake.set()

    async def _clean_up(self) -> None:
        for probe in self._waiting:
            if probe.sock is not None:
                probe.sock.close()
        greeting = list(self._greeting)
        for task in greeting:
            task.cancel()
        await asyncio.gather(*greeting, return_exceptions=True)


def _judge(sock: socket.socket, code: int, udp: bool) -> tuple[PortState, str]:
    if code == errno.ECONNREFUSED:
        return PortState.CLOSED, "port unreachable (ICMP)" if udp else "refused"
    if udp:
        if code == 0:
            return PortState.OPEN, "answered"
        if code == errno.ETIMEDOUT:
            return PortState.OPEN_OR_FILTERED, SILENT
    elif code in _CONNECTED:
        if _is_own(sock):
            return PortState.CLOSED, "refused"
        return PortState.OPEN, "connected"
    return PortState.FILTERED, SILENT if code == errno.ETIMEDOUT else reason_of(OSError(code, os.strerror(code)))


def _is_own(sock: socket.socket) -> bool:
    """Whether a socket met itself: on loopback the system may choose the very port it connects to as the one to
    connect from, and TCP calls that a connection (simultaneous open, RFC 9293, section 3.5). Nobody listens there:
    else that port would not have been free.
    """
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # reset by now


def _receive(sock: socket.socket) -> tuple[int, bytes]:
    try:
        return 0, sock.recv(MAX_ANSWER)
    except OSError as exc:
        return exc.errno or errno.EIO, b""
