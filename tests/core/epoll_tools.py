"""Sockets, protocols and an ear on the loop, for tests of the native transports; skipped where those are not built."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..tools import in_ci

try:
    from aionet.core._epoll import Acceptor, Reactor, SocketTransport
except ImportError:
    missing = "aionet.core._epoll is not built: python setup.py build_ext --inplace"
    if in_ci() and sys.platform == "linux":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing, allow_module_level=True)

__all__ = ["Acceptor", "CountingLoop", "Notes", "Reactor", "SocketTransport", "made_by", "pair", "polls", "ticks"]


class CountingLoop:
    """The running loop, to a reactor: it notes how often the epoll set was found ready, and what was reported."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready = 0
        self.reported: list[dict[str, Any]] = []
        self.later: list[Callable[[], None]] = []

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        def counted() -> None:
            self.ready += 1
            callback()

        self.loop.add_reader(descriptor, counted)

    def call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.Handle:
        """Nothing is called by itself: the test calls what is in ``later``."""
        self.later.append(callback)
        return asyncio.Handle(callback, (), self.loop)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reported.append(context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


class Notes(asyncio.Protocol):
    """Notes each callback, then does what the test has given for it."""

    def __init__(self, **actions: Callable[..., Any]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self.received = 0
        self._actions = actions

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def _note(self, name: str, *args: Any) -> Any:
        assert not self.lost.done(), f"{name} after connection_lost"
        self.calls.append((name, *args))
        action = self._actions.get(name)
        return None if action is None else action(self, *args)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._note("connection_made")

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._note("data_received", data)

    def eof_received(self) -> bool | None:
        return bool(self._note("eof_received"))

    def pause_writing(self) -> None:
        self._note("pause_writing")

    def resume_writing(self) -> None:
        self._note("resume_writing")

    def connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._note("connection_lost", exc)
        finally:
            self.lost.set_result(exc)


@contextlib.contextmanager
def pair(family: int = socket.AF_INET) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets: one to be attached, and the peer's, which blocks for at most ten seconds."""
    if family == socket.AF_UNIX:
        ours, peer = socket.socketpair()
    else:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        with socket.create_server((host, 0), family=family) as listener:
            ours = socket.create_connection(listener.getsockname()[:2])
            peer, _ = listener.accept()
    ours.setblocking(False)
    peer.settimeout(10)
    with ours, peer:
        yield ours, peer


async def made_by(kind: str, sock: socket.socket, protocol: Any) -> Any:
    """The transport of a socket: our own, or the loop's."""
    loop = asyncio.get_running_loop()
    if kind == "native":
        return Reactor(loop).attach(sock, protocol)
    return (await loop.connect_accepted_socket(lambda: protocol, sock))[0]


async def ticks(count: int = 20) -> None:
    """Time enough for a loop that is told of something for ever to be told of it often."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def polls() -> int:
    """How many epoll sets this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]"
    return count
