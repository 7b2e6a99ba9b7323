"""Shared by the tests of UDP ports: handlers that take notes, a socket that is full on demand."""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from aionet.core.datagram import listen_datagram, open_datagram_port
from aionet.core.datagram_calls import OneByOne, OnError, datagram_calls
from aionet.core.datagram_queue import Datagram
from aionet.core.udp_port import UDPPort
from aionet.datagram import DatagramHandler, DatagramPort
from aionet.endpoint import Endpoint
from aionet.events import Address, DatagramsDropped, Event, Events, HandlerFailed

LOOPBACK = Endpoint.parse("udp://127.0.0.1:0")
Port = DatagramPort[bytes]


class Recorder(DatagramHandler):
    """Notes each callback; answers with the data."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data: list[bytes] = []

    def on_bind(self, port: Port) -> None:
        self.calls.append("bind")

    def on_datagram(self, port: Port, data: bytes, peer: Address) -> Any:
        self.calls.append("datagram")
        self.data.append(data)
        port.send(data, peer)

    def on_drain(self, port: Port) -> None:
        self.calls.append("drain")

    def on_close(self, port: Port) -> None:
        self.calls.append("close")


class Watch:
    def __init__(self) -> None:
        self.events = Events()
        self.seen: list[Event] = []
        self.events.subscribe(self.seen.append)

    @property
    def dropped(self) -> int:
        return sum(event.count for event in self.seen if isinstance(event, DatagramsDropped))

    @property
    def failures(self) -> list[HandlerFailed]:
        return [event for event in self.seen if isinstance(event, HandlerFailed)]


async def listen(handler: object, events: Events | None = None, endpoint: Endpoint = LOOPBACK) -> UDPPort:
    (port,) = await listen_datagram(endpoint, handler, events=events or Events(), route="test")
    return port


async def client_of(port: UDPPort) -> UDPPort:
    return await open_datagram_port(port.endpoint, events=Events())


class Throttled(socket.socket):
    """A socket whose send buffer is full whenever the test says so."""

    full = False

    def sendto(self, *args: Any) -> int:
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return super().sendto(*args)


class ThrottledCalls(OneByOne):
    """Sends what the socket takes."""

    def send(
        self, sock: socket.socket, batch: Sequence[Datagram], largest: int, on_error: OnError
    ) -> tuple[int, int, bool]:
        assert isinstance(sock, Throttled)
        return (0, 0, False) if sock.full else datagram_calls().send(sock, batch, largest, on_error)


def throttled_port(events: Events, handler: object | None = None) -> tuple[UDPPort, Throttled]:
    sock = Throttled(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    port = UDPPort(asyncio.get_running_loop(), sock, handler or Recorder(), events=events, endpoint=LOOPBACK)
    port._calls = ThrottledCalls()
    port.start()
    return port, sock


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go round until the condition holds; the test's own time limit ends a vain wait."""
    while not condition():  # noqa: ASYNC110 - what is waited for is a count, nothing sets an event
        await asyncio.sleep(0)


async def spin(turns: int = 5) -> None:
    """Let the loop go round: on loopback a datagram is readable as soon as it is sent."""
    for _ in range(turns):
        await asyncio.sleep(0)
