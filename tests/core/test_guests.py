"""Guests: protocols that know nothing of us, served, limited, drained and cut from outside."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from aionet import CloseReason, Limits, Router, Server, Timeouts
from aionet.codecs.proxy_header import format_v1
from aionet.core import guests
from aionet.events import ConnectionClosed, ConnectionOpened, ConnectionRefused, HandlerFailed
from aionet.routing import prefix

from ..conftest import TLSFiles
from ..serving import collect, eventually, quiet
from .port_tools import Named, ask, on_one_port, opened, route, tls_port, trusting

PORT = "tcp://127.0.0.1:0"


class Shout(asyncio.Protocol):
    """What somebody wrote for asyncio."""

    made: list[Shout] = []  # noqa: RUF012 - reset by each test
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.lost: list[BaseException | None] = []
        self.made.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)


@pytest.fixture(autouse=True)
def _none_made() -> None:
    Shout.made = []


@pytest.mark.parametrize("endpoint", [PORT, "auto://127.0.0.1:0"])
async def test_a_guest_alone(endpoint: str) -> None:
    async with on_one_port(endpoint, route(protocol=Shout, name="shout")) as (server, place):
        began, ended = collect(server, ConnectionOpened), collect(server, ConnectionClosed)
        assert await ask(place, b"hello\n") == b"HELLO\n"
        await eventually(lambda: not server.connections)
        assert began[0].route == ended[0].route == "shout"
        assert began[0].peer == ended[0].peer
        (guest,) = Shout.made
        assert len(guest.lost) == 1
        assert "connection_lost" not in vars(guest)


async def test_a_guest_is_the_protocol_of_its_transport_itself() -> None:
    async with on_one_port(PORT, route(protocol=Shout, match=prefix(b"a")), route(Named("rest"))) as (_, place):
        reader, writer = await opened(place)
        writer.write(b"abc\n")
        assert await reader.readline() == b"ABC\n"
        (guest,) = Shout.made
        assert guest.transport.get_protocol() is guest
        assert type(guest.transport).__module__ in ("asyncio.selector_events", "uvloop.loop", "aionet.core._epoll")
        assert await ask(place, b"hello\n") == b"rest hello 127.0.0.1\n"
        writer.close()


async def test_a_guest_inside_tls(tls_files: TLSFiles) -> None:
    async with on_one_port(tls_port(tls_files), route(protocol=Shout, match=prefix(b"a")), route(Named("rest"))) as (
        server,
        place,
    ):
        inside: dict[str, Any] = {"ssl": trusting(tls_files), "server_hostname": "localhost"}
        assert await ask(place, b"abc\n", **inside) == b"ABC\n"
        assert await ask(place, b"abc\n") == b"ABC\n"
        secure = [guest.transport.get_extra_info("sslcontext") is not None for guest in Shout.made]
        assert secure == [True, False]
        await eventually(lambda: not server.connections)


async def test_a_buffered_guest() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.buffer = transport, bytearray(3)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.transport.write(self.buffer[:nbytes].upper())

    async with on_one_port(PORT, route(protocol=Buffered, match=prefix(b"a")), route(Named("rest"))) as (_, place):
        assert await ask(place, b"a", b"bcdefgh", b"\n") == b"ABCDEFGH\n"


async def test_streams_of_asyncio_are_guests_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    def make() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)

    async with on_one_port(PORT, route(protocol=make, match=prefix(b"a")), route(Named("rest"))) as (server, place):
        assert await ask(place, b"abc\n") == b"ABC\n"
        await eventually(lambda: not server.connections)


async def test_a_guest_sees_the_client_behind_a_proxy() -> None:
    header = format_v1(("192.0.2.9", 1), ("192.0.2.1", 2))
    async with on_one_port(PORT + "?proxy=127.0.0.1", route(protocol=Shout)) as (server, place):
        events = collect(server, ConnectionOpened)
        assert await ask(place, header + b"hello\n") == b"HELLO\n"
        transport = Shout.made[0].transport
        assert transport.get_extra_info("peername") == ("192.0.2.9", 1)
        assert transport.get_extra_info("sockname") == ("192.0.2.1", 2)
        assert transport.get_extra_info("socket", "none") is None  # it knows the proxy alone
        assert transport.get_extra_info("sslcontext") is None
        assert events[0].peer == ("192.0.2.9", 1)
        await eventually(lambda: not server.connections)


# ---- places, failures ----------------------------------------------------------------------------


async def test_a_guests_route_has_its_limit() -> None:
    limited = route(protocol=Shout, match=prefix(b"a"), limits=Limits(max_connections=1))
    async with on_one_port(PORT, limited, route(Named("rest"))) as (server, place):
        refused = collect(server, ConnectionRefused)
        reader, writer = await opened(place)
        writer.write(b"a\n")
        await reader.readline()
        assert await ask(place, b"ab\n") == b""
        await eventually(lambda: refused)
        writer.close()
        await eventually(lambda: not server.connections)
        assert await ask(place, b"ab\n") == b"AB\n"


def _refuse() -> Shout:
    raise ValueError("none today")


def _nothing() -> None:
    return None


class BadStart(Shout):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        raise ValueError("bad start")


class BadEnd(Shout):
    def connection_lost(self, exc: BaseException | None) -> None:
        raise ValueError("bad end")


@pytest.mark.parametrize(
    ("factory", "where"),
    [
        (_refuse, "protocol"),
        (_nothing, "protocol"),
        (object, "protocol"),
        (BadStart, "connection_made"),
        (BadEnd, "connection_lost"),
    ],
)
async def test_a_guest_that_fails_ends_its_own_connection(factory: Callable[[], Any], where: str) -> None:
    async with on_one_port(PORT, route(protocol=factory), route(Named("rest"), match=prefix(b"x"))) as (server, place):
        failed = collect(server, HandlerFailed)
        await ask(place, b"hello\n")
        await eventually(lambda: failed and not server.connections)
        assert [event.where for event in failed] == [where]
        assert await ask(place, b"x\n") == b"rest x 127.0.0.1\n"


async def test_another_protocol_on_a_guests_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HTTP becomes WebSocket: the first one never hears of the end."""
    monkeypatch.setattr(guests, "LOOK_EVERY", 0.02)

    class Becomes(Shout):
        def data_received(self, data: bytes) -> None:
            other = Shout()
            self.transport.set_protocol(other)
            other.connection_made(self.transport)
            other.data_received(data)

    async with on_one_port(PORT, route(protocol=Becomes)) as (server, place):
        closed = collect(server, ConnectionClosed)
        assert await ask(place, b"at once\n") == b"AT ONCE\n"
        await eventually(lambda: not server.connections)
        reader, writer = await opened(place)
        writer.write(b"later\n")
        assert await reader.readline() == b"LATER\n"
        await eventually(lambda: "connection_lost" in vars(Shout.made[-1]))
        assert server.connections == 1
        writer.close()
        await eventually(lambda: not server.connections)
        assert len(closed) == 2


async def test_a_guest_that_sets_another_protocol_before_it_was_given_anything() -> None:
    class Chooser(Shout):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            chosen = Shout()
            transport.set_protocol(chosen)
            chosen.connection_made(transport)

        def data_received(self, data: bytes) -> None:
            raise AssertionError("it has left")

    async with on_one_port(PORT, route(protocol=Chooser, match=prefix(b"a")), route(Named("rest"))) as (_, place):
        assert await ask(place, b"abc\n") == b"ABC\n"


async def test_a_guest_that_fails_at_what_a_deadline_gives_it() -> None:
    class Picky(Shout):
        def data_received(self, data: bytes) -> None:
            raise ValueError(data)

    router = Router()
    router.add(PORT, protocol=Picky)
    router.add(PORT, Named("rest"), match=prefix(b"abc"))
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    async with Server(router, timeouts=Timeouts(sniff=0.05)) as server:
        assert await ask(server.addresses[0], b"ab") == b""
        await eventually(lambda: not server.connections)
        assert [str(each["exception"]) for each in complaints] == ["b'ab'"]


async def test_a_guest_that_takes_no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "LOOK_EVERY", 0.02)

    class Slotted(asyncio.Protocol):
        __slots__ = ("transport",)

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data.upper())

    async with on_one_port(PORT, route(protocol=Slotted)) as (server, place):
        assert await ask(place, b"hello\n") == b"HELLO\n"
        await eventually(lambda: not server.connections)


async def test_nothing_keeps_a_guest_that_is_gone() -> None:
    async with on_one_port(PORT, route(protocol=Shout)) as (server, place):
        assert await ask(place, b"hello\n") == b"HELLO\n"
        await eventually(lambda: not server.connections)
        watch = weakref.ref(Shout.made[0])
        Shout.made[0].transport = None  # type: ignore[assignment]
        gc.disable()
        try:
            Shout.made.clear()
            assert watch() is None
        finally:
            gc.enable()


# ---- leaving -------------------------------------------------------------------------------------


async def test_a_guest_with_a_shutdown_is_told_and_one_without_is_cut() -> None:
    class Polite(Shout):
        def shutdown(self) -> None:
            self.transport.write(b"goodbye\n")
            self.transport.close()

    router = Router()
    router.add(PORT, protocol=Polite)
    router.add(PORT, protocol=Shout)
    with quiet():
        async with Server(router, drain_timeout=0.1) as server:
            closed = collect(server, ConnectionClosed)
            clients = [await opened(place) for place in server.addresses]
            await eventually(lambda: server.connections == 2)
            finished = await server.drain()
            assert await clients[0][0].read() == b"goodbye\n"
            assert finished.cut == (clients[1][1].get_extra_info("sockname"),)
            assert [event.reason for event in closed] == [CloseReason.SHUTDOWN] * 2
            for _, writer in clients:
                writer.close()


async def test_a_shutdown_that_fails_is_told_of() -> None:
    class Rude(Shout):
        def shutdown(self) -> None:
            raise ValueError("no")

    async with on_one_port(PORT, route(protocol=Rude), drain_timeout=0.05) as (server, place):
        failed = collect(server, HandlerFailed)
        _, writer = await opened(place)
        await eventually(lambda: server.connections)
        assert len((await server.drain()).cut) == 1
        assert [event.where for event in failed] == ["shutdown"]
        writer.close()
