"""The resolver's steps: what each gives, and that a failure names its step."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aionet.core import resolving
from aionet.core.resolving import (
    full_host_name,
    host_name,
    legacy_address,
    look_up,
    look_up_address,
    look_up_service,
    service_names,
)
from aionet.errors import ResolveError, ResolveTimeout


def raising(exc: Exception) -> Callable[..., Any]:
    def call(*args: object, **kwargs: object) -> Any:
        raise exc

    return call


async def test_an_address_is_found_as_itself() -> None:
    canonical, found = await look_up("127.0.0.1", 80, timeout=5)
    assert canonical == "127.0.0.1"
    assert [(each.family, each.type, each.address, each.port) for each in found] == [("4", "stream", "127.0.0.1", 80)]
    assert found[0].family_number == socket.AF_INET
    assert found[0].sockaddr == ("127.0.0.1", 80)


async def test_a_name_by_family_and_with_every_socket_type() -> None:
    _, found = await look_up("localhost", family="4", timeout=5)
    assert [each.address for each in found] == ["127.0.0.1"]
    _, every = await look_up("::1", every=True, timeout=5)
    assert [(each.family, each.type) for each in every] == [("6", "stream"), ("6", "datagram"), ("6", "raw")]


@pytest.mark.parametrize("name", ["", "a b", "a\0b", "x\x1b[31m", "a..b", "a" * 64 + ".example", "ü" * 70])
async def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ResolveError, match="idna: it is no name") as caught:
        await look_up(name, timeout=5)
    assert caught.value.step == "idna"


@pytest.mark.parametrize(
    ("code", "family", "said"),
    [
        (socket.EAI_NONAME, "any", "getaddrinfo: no such name"),
        (socket.EAI_NONAME, "6", "getaddrinfo: no such name, or no IPv6 address"),
        (socket.EAI_NODATA, "4", "the name has no IPv4 address"),
        (socket.EAI_AGAIN, "any", "no name server answered"),
        (socket.EAI_FAIL, "any", "asking again is of no use"),
        (socket.EAI_MEMORY, "any", "out of memory"),
    ],
)
async def test_getaddrinfo_failures_say_why(
    code: int, family: resolving.Family, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", raising(socket.gaierror(code, "Out of memory")))
    with pytest.raises(ResolveError, match=said) as caught:
        await look_up("host.example", family=family, timeout=5)
    assert caught.value.step == "getaddrinfo"


async def test_an_unknown_service_of_a_name() -> None:
    with pytest.raises(ResolveError, match="no service 'no-such-service'"):
        await look_up("127.0.0.1", "no-such-service", timeout=5)


async def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: hanging.wait())
    monkeypatch.setattr(socket, "gethostbyaddr", lambda *args, **kwargs: hanging.wait())
    with pytest.raises(ResolveTimeout, match=r"getaddrinfo: gave up after 0.01 s") as caught:
        await look_up("host.example", timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(ResolveTimeout, match="gethostbyaddr: gave up") as caught:
        await look_up_address("127.0.0.1", timeout=0.01)
    assert caught.value.step == "gethostbyaddr"
    hanging.set()


async def test_the_names_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "localhost" in await look_up_address("127.0.0.1", timeout=5)
    monkeypatch.setattr(socket, "gethostbyaddr", raising(socket.herror(1, "Unknown host")))
    with pytest.raises(ResolveError, match="gethostbyaddr: the address has no name"):
        await look_up_address("127.0.0.1", timeout=5)
    monkeypatch.setattr(socket, "gethostbyaddr", raising(socket.herror(2, "Host name lookup failure")))
    with pytest.raises(ResolveError, match="no name server answered"):
        await look_up_address("127.0.0.1", timeout=5)


async def test_services_by_name_and_by_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_name(name: str, protocol: str) -> int:
        if (name, protocol) == ("ssh", "tcp"):
            return 22
        raise OSError("service/proto not found")

    monkeypatch.setattr(socket, "getservbyname", by_name)
    monkeypatch.setattr(socket, "getservbyport", lambda port, protocol: f"{protocol}-{port}")
    assert [(each.name, each.port, each.protocol) for each in await look_up_service("ssh", timeout=5)] == [
        ("ssh", 22, "tcp")
    ]
    assert [each.name for each in await look_up_service(53, timeout=5)] == ["tcp-53", "udp-53"]
    with pytest.raises(ResolveError, match="getservbyname: no service 'telepathy'") as caught:
        await look_up_service("telepathy", timeout=5)
    assert caught.value.step == "getservbyname"


@pytest.mark.parametrize(
    ("which", "step"), [("65536", "getservbyport"), ("9" * 5000, "getservbyport"), ("ssh\0", "getservbyname")]
)
async def test_what_is_no_service(which: str, step: str) -> None:
    with pytest.raises(ResolveError) as caught:
        await look_up_service(which, timeout=5)
    assert caught.value.step == step


async def test_the_machine_has_a_name() -> None:
    assert host_name() == socket.gethostname()
    assert await full_host_name(timeout=20)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("010.0.0.1", "8.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1 x", None),
        ("1.2.3.4.5", None),
        ("", None),
        ("abc", None),
    ],
)
def test_what_inet_aton_reads(text: str, address: str | None) -> None:
    assert legacy_address(text) == address


def test_the_services_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_bytes(
        b"# a comment\nssh 22/tcp # more\nold-ssh\t22/tcp\ndomain 53/udp dns\nbad\nworse x/tcp\n\xff 1/tcp\n"
    )
    monkeypatch.setattr(resolving, "_SERVICES", file)
    service_names.cache_clear()
    assert dict(service_names("tcp")) == {22: "ssh", 1: "\ufffd"}
    assert dict(service_names("udp")) == {53: "domain"}
    monkeypatch.setattr(resolving, "_SERVICES", tmp_path / "none")
    service_names.cache_clear()
    assert service_names("tcp") == {}
    service_names.cache_clear()
