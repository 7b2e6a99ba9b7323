"""open_datagram() as users call it."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from aionet import DatagramHandler, DatagramPort, open_datagram
from aionet.errors import ConnectError, EndpointError, RouteError
from aionet.events import Address

from ..serving import eventually, serving


class Shout(DatagramHandler):
    def on_datagram(self, port: Any, data: bytes, peer: Address) -> None:
        port.send(data.upper(), peer)


@pytest.mark.parametrize("endpoint", ["udp://127.0.0.1:0", "udp://[::1]:0"])
async def test_a_question_and_its_answer(endpoint: str) -> None:
    async with serving(Shout(), endpoint) as (_, place):
        async with open_datagram(place) as port:
            port.send(b"hello")
            data, peer = await port.receive()
            assert data == b"HELLO"
            assert peer == port.peername
        assert port.fileno() == -1
        port = await open_datagram(str(place))
        port.send(b"")
        assert (await port.receive())[0] == b""
        await port.aclose()


async def test_nobody_there_is_told_once() -> None:
    async with serving(Shout(), "udp://127.0.0.1:0") as (server, place):
        await server.drain()
        async with open_datagram(place) as port:
            port.send(b"anybody?")
            with pytest.raises(anyio.BrokenResourceError) as caught:
                await port.receive()
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_it_goes_on_after_refusals() -> None:
    async with serving(Shout(), "udp://127.0.0.1:0") as (server, place):
        await server.drain()
        async with open_datagram(place) as port:
            for _ in range(3):
                port.send(b"anybody?")
                with pytest.raises(anyio.BrokenResourceError):
                    await port.receive()
            async with serving(Shout(), str(place)):
                port.send(b"hello")
                assert (await port.receive())[0] == b"HELLO"


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:7", "udp://127.0.0.1:0"])
async def test_what_is_no_peer(endpoint: str) -> None:
    with pytest.raises(EndpointError, match="is no UDP peer"):
        await open_datagram(endpoint)


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ConnectError, match=r"cannot reach udp://no.such.name.invalid:7: "):
        await open_datagram("udp://no.such.name.invalid:7")
    with pytest.raises(EndpointError, match="no scheme"):
        open_datagram("127.0.0.1:7")


class Asking(DatagramHandler):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_bind(self, port: DatagramPort[Any]) -> None:
        port.send(b"anybody?")

    def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> None:
        self.heard.append(data)

    def on_error(self, port: DatagramPort[Any], exc: OSError) -> None:
        self.heard.append(type(exc))


async def test_a_handler_gets_what_comes() -> None:
    handler = Asking()
    async with serving(Shout(), "udp://127.0.0.1:0") as (_, place), open_datagram(place, handler=handler) as port:
        await eventually(lambda: handler.heard == [b"ANYBODY?"])
        with pytest.raises(anyio.BusyResourceError):
            await port.receive()


async def test_a_handler_hears_of_refusals() -> None:
    handler = Asking()
    async with serving(Shout(), "udp://127.0.0.1:0") as (server, place):
        await server.drain()
        async with open_datagram(place, handler=handler):
            await eventually(lambda: handler.heard == [ConnectionRefusedError])


async def test_what_a_handler_raises_is_reported_and_the_port_goes_on() -> None:
    class Failing(Asking):
        def on_error(self, port: DatagramPort[Any], exc: OSError) -> None:
            super().on_error(port, exc)
            raise ZeroDivisionError

    reports: list[dict[str, Any]] = []
    handler = Failing()
    async with serving(Shout(), "udp://127.0.0.1:0") as (server, place):
        await server.drain()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        async with open_datagram(place, handler=handler) as port:
            await eventually(lambda: len(reports) == 1)
            port.send(b"still there?")
            await eventually(lambda: len(reports) == 2)
    assert [report["message"] for report in reports] == [f"aionet: on_error of a client of {place.location} failed"] * 2


async def test_a_handler_may_close_when_it_is_refused() -> None:
    class Leaving(Asking):
        def on_error(self, port: DatagramPort[Any], exc: OSError) -> None:
            super().on_error(port, exc)
            port.close()

    handler = Leaving()
    async with serving(Shout(), "udp://127.0.0.1:0") as (server, place):
        await server.drain()
        async with open_datagram(place, handler=handler) as port:
            await port.wait_closed()
    assert handler.heard == [ConnectionRefusedError]


async def test_what_is_no_handler() -> None:
    with pytest.raises(RouteError, match="is no handler here: a DatagramHandler"):
        await open_datagram("udp://127.0.0.1:7", handler=Asking)  # type: ignore[arg-type]
