"""Opening ports: all of a name's addresses or none, groups, and clients."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from aionet.core import sockets
from aionet.core.datagram import listen_datagram, open_datagram_port
from aionet.datagram import DatagramHandler, DatagramPort
from aionet.endpoint import Endpoint
from aionet.errors import BindError, ConnectError, EndpointError, RouteError
from aionet.events import Address, Events

from .sockets_tools import open_sockets

pytestmark = pytest.mark.usefixtures("no_leaks")
Port = DatagramPort[bytes]


class Echo(DatagramHandler):
    def __init__(self, fail_at: int = 0) -> None:
        self.bound = self.closed = 0
        self.fail_at = fail_at

    def on_bind(self, port: Port) -> None:
        self.bound += 1
        if self.bound == self.fail_at:
            raise LookupError("not today")

    def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
        port.send(data, peer)

    def on_close(self, port: Port) -> None:
        self.closed += 1


def two_addresses(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    async def resolve(endpoint: Endpoint, *_: object, **__: object) -> list[tuple[int, tuple[str, int]]]:
        return [(socket.AF_INET, ("127.0.0.1", endpoint.port)), (socket.AF_INET, ("127.0.0.2", endpoint.port))]

    monkeypatch.setattr(sockets, "resolve", resolve)
    return Endpoint.parse("udp://some.name:0")


async def test_one_port_for_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Echo()
    ports = await listen_datagram(two_addresses(monkeypatch), handler, events=Events(), route="r")
    assert [port.endpoint.host for port in ports] == ["127.0.0.1", "127.0.0.2"]
    assert len({port.endpoint.port for port in ports}) == 1
    for port in ports:
        await port.aclose()
    assert (handler.bound, handler.closed) == (2, 2)


async def test_on_bind_that_raises_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, before = Echo(fail_at=2), open_sockets()
    with pytest.raises(LookupError):
        await listen_datagram(two_addresses(monkeypatch), handler, events=Events(), route="r")
    assert open_sockets() == before
    assert handler.closed == 1  # the one that had begun


async def test_what_cannot_be_served() -> None:
    with pytest.raises(RouteError):
        await listen_datagram(Endpoint.parse("udp://127.0.0.1:0"), print, events=Events(), route="r")
    with pytest.raises(BindError):
        await listen_datagram(Endpoint.parse("udp://192.0.2.77:0"), Echo(), events=Events(), route="r")
    for text in ("udp://127.0.0.1:0", "tcp://127.0.0.1:1"):
        with pytest.raises(EndpointError):
            await open_datagram_port(Endpoint.parse(text), events=Events())


async def test_client_errors() -> None:
    with pytest.raises(ConnectError, match=r"cannot reach udp://a+\.invalid:9"):
        await open_datagram_port(Endpoint.parse(f"udp://{'a' * 70}.invalid:9"), events=Events())
    with pytest.raises(ConnectError, match="permission denied"):  # broadcast was not asked for
        await open_datagram_port(Endpoint.parse("udp://255.255.255.255:9"), events=Events())
    with pytest.raises(EndpointError):
        await open_datagram_port(Endpoint.parse("udp://127.0.0.1:9?interface=nosuch0"), events=Events())


async def test_client_names_its_peer() -> None:
    (port,) = await listen_datagram(Endpoint.parse("udp://127.0.0.1:0"), Echo(), events=Events(), route="r")
    async with port, await open_datagram_port(port.endpoint, events=Events()) as client:
        assert client.peername == port.sockname
        assert port.peername is None
        assert isinstance(client.sockname, tuple)
        assert client.sockname[1] == client.endpoint.port


def ipv6_interface() -> str:
    """One with a link-local address: the loopback interface has no IPv6 multicast route. Hop limit 0 stays here."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        if line.startswith("fe80"):
            return line.split()[-1]
    pytest.skip("no interface speaks IPv6 here")


@pytest.mark.parametrize("group", ["239.255.42.43", "[ff12::4243]"])
async def test_multicast_that_stays_on_this_machine(group: str) -> None:
    """A client sends to the group and hears the members' answers, which come from their own addresses."""
    interface = "127.0.0.1" if group[0] == "2" else ipv6_interface()
    wanted = Endpoint.parse(f"udp://{group}:0?interface={interface}&ttl=0&reuse_address=1")
    async with AsyncExitStack() as stack:
        members = await listen_datagram(wanted, Echo(), events=Events(), route="r")
        members += await listen_datagram(members[0].endpoint, Echo(), events=Events(), route="r")
        client = await open_datagram_port(members[0].endpoint, events=Events())
        for port in (client, *members):
            await stack.enter_async_context(port)
        client.send(b"who is there?")
        assert client.stats.datagrams_sent == 1
        for _ in members:
            data, peer = await asyncio.wait_for(client.receive(), 5)
            assert data == b"who is there?"
            assert isinstance(peer, tuple)
            assert peer[1] == members[0].endpoint.port
