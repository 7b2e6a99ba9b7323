"""open_datagram() as users call it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from aionet import DatagramHandler, open_datagram
from aionet.errors import ConnectError, EndpointError
from aionet.events import Address

from ..serving import serving


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


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:7", "udp://127.0.0.1:0"])
async def test_what_is_no_peer(endpoint: str) -> None:
    with pytest.raises(EndpointError, match="is no UDP peer"):
        await open_datagram(endpoint)


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ConnectError, match="cannot reach udp://no.such.name.invalid:7: "):
        await open_datagram("udp://no.such.name.invalid:7")
    with pytest.raises(EndpointError, match="no scheme"):
        open_datagram("127.0.0.1:7")
