"""Look-ups from outside: names, addresses, services, this machine."""

import socket
from typing import Any

import pytest

from aionet.client import find_services, local_host, resolve
from aionet.errors import ResolveError


async def test_a_name_with_the_names_of_its_addresses() -> None:
    found = await resolve("localhost", family="4", reverse=True)
    (address,) = found.addresses
    assert (address.facts.address, address.facts.kind) == ("127.0.0.1", "loopback")
    assert "localhost" in address.names
    assert not found.legacy


async def test_a_service_gives_the_port() -> None:
    (address,) = (await resolve("127.0.0.1", service=8080)).addresses
    assert address.found.sockaddr == ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("text", "address", "legacy"),
    [
        ("127.1", "127.0.0.1", True),
        ("0x7f000001", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("[::1]", "::1", False),
        ("0x" + "0" * 31 + "1", "::1", False),
    ],
)
async def test_addresses_in_all_their_forms(text: str, address: str, legacy: bool) -> None:
    found = await resolve(text)
    assert (found.addresses[0].facts.address, found.canonical, found.legacy) == (address, address, legacy)


async def test_an_address_without_a_name_is_no_failure_of_the_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(address: str) -> Any:
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "gethostbyaddr", nameless)
    (address,) = (await resolve("127.0.0.1", reverse=True)).addresses
    assert address.names == ()
    assert address.failure is not None
    assert address.failure.step == "gethostbyaddr"


async def test_a_name_that_is_none() -> None:
    with pytest.raises(ResolveError, match="idna"):
        await resolve("a b")


async def test_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getservbyname", lambda name, protocol: 53)
    assert {(each.port, each.protocol) for each in await find_services("domain")} == {(53, "tcp"), (53, "udp")}


async def test_this_machine() -> None:
    host = await local_host(timeout=20)
    assert host.name == socket.gethostname()
    assert "127.0.0.1" in [each.address for each in host.addresses]


async def test_this_machine_when_the_resolver_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str = "") -> str:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getfqdn", failing)
    host = await local_host()
    assert host.full_name is None
    assert host.addresses
    assert host.failure is not None
