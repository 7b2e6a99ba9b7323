"""The start, told to people and to programs."""

from __future__ import annotations

import pytest

from aionet import Router
from aionet.cli.banner import Listening, facts, how_to_try, is_local, lines, list_bound
from aionet.endpoint import Endpoint
from aionet.routing import ssh
from aionet.services import Echo

E = Endpoint.parse


async def nobody(conn: object) -> None:
    pass


def router_of(*places: str) -> Router:
    """Routes at these places; ``ssh`` shares the one before."""
    router = Router()
    for place in places:
        shared = place == "ssh"
        router.add(router.routes[-1].endpoint if shared else place, nobody, match=ssh() if shared else None)
    return router


@pytest.mark.parametrize(
    ("routes", "addresses", "owners"),
    [
        (["tcp://127.0.0.1:0", "udp://127.0.0.1:0"], ["tcp://127.0.0.1:5", "udp://127.0.0.1:6"], [0, 1]),
        (["tcp://*:5", "tcp://127.0.0.1:0"], ["tcp://0.0.0.0:5", "tcp://[::]:5", "tcp://127.0.0.1:6"], [0, 0, 1]),
        (["tcp://localhost:0"], ["tcp://127.0.0.1:5", "tcp://[::1]:5"], [0, 0]),
        (["tcp://localhost:0", "tcp://localhost:0"], ["tcp://127.0.0.1:5", "tcp://127.0.0.1:6"], [0, 1]),
        (["unix:///a", "tcp://localhost:5"], ["unix:///a", "tcp://127.0.0.1:5", "tcp://[::1]:5"], [0, 1, 1]),
        (["tcp://127.0.0.1:5", "ssh", "unix:///a"], ["tcp://127.0.0.1:5", "unix:///a"], [0, 1, 2]),
        (["tcp://*:5", "ssh"], ["tcp://0.0.0.0:5", "tcp://[::]:5"], [0, 1, 0, 1]),
        (["tcp://127.0.0.1:0", "tcp://*:5"], ["tcp://127.0.0.1:9", "tcp://0.0.0.0:5", "tcp://[::]:5"], [0, 1, 1]),
    ],
)
def test_which_address_belongs_to_which_route(routes: list[str], addresses: list[str], owners: list[int]) -> None:
    made = router_of(*routes)
    bound = list_bound(made.ports, dict.fromkeys(made), [E(address) for address in addresses])
    assert list(dict.fromkeys(each.endpoint.location for each in bound)) == addresses
    assert [each.name for each in bound] == [made.routes[owner].name for owner in owners]


def test_a_service_in_a_router_of_ones_own_is_tried_as_what_it_is() -> None:
    router = Router()
    for _ in range(2):
        router.add("tcp://127.0.0.1:0", Echo())
    bound = list_bound(router.ports, dict.fromkeys(router.routes), [E("tcp://127.0.0.1:5"), E("tcp://127.0.0.1:6")])
    assert [(each.name, each.service) for each in bound] == [("echo", "echo"), ("echo-2", "echo")]


@pytest.mark.parametrize(
    ("service", "place", "command"),
    [
        ("echo", "tcp://127.0.0.1:8080", "printf 'hi\\n' | nc -N 127.0.0.1 8080"),
        ("echo", "tcp://*:8080", "printf 'hi\\n' | nc -N 127.0.0.1 8080"),
        ("echo", "tcp://[::]:8080", "printf 'hi\\n' | nc -N ::1 8080"),
        ("echo", "unix:///run/app.sock", "printf 'hi\\n' | nc -N -U /run/app.sock"),
        ("echo", "tls://[::1]:8080?cert=a", "python -m aionet send tls://[::1]:8080 hi"),
        ("datagram", "udp://127.0.0.1:8080", "printf 'hi' | nc -u -w1 127.0.0.1 8080"),
        ("chat", "tcp://127.0.0.1:9999", "nc 127.0.0.1 9999"),
        ("chat", "tls://localhost:9999", "python -m aionet chat tls://localhost:9999"),
        ("chat", "ws://*:8081/chat", "python -m aionet chat ws://127.0.0.1:8081/chat"),
        ("echo", "wss://127.0.0.1:8081/", "python -m aionet send wss://127.0.0.1:8081/ hi"),
        ("echo", "auto://127.0.0.1:8080", "printf 'hi\\n' | nc -N 127.0.0.1 8080"),
        ("files", "auto://*:5000", "python -m aionet ls tcp://127.0.0.1:5000"),
        ("files", "tcp://0.0.0.0:5000", "python -m aionet ls tcp://127.0.0.1:5000"),
        (None, "tcp://127.0.0.1:7000", "python -m aionet send tcp://127.0.0.1:7000 hi"),
        (None, "fd://3", ""),
        ("web", "tcp://*:8000", "http://127.0.0.1:8000/"),
        ("web", "tls://[::1]:8443?cert=a&key=b", "https://[::1]:8443/"),
        ("web", "unix:///run/a.sock", "curl --unix-socket /run/a.sock http://localhost/"),
        ("web", "fd://3", ""),
    ],
)
def test_how_to_try(service: str | None, place: str, command: str) -> None:
    assert how_to_try(service, E(place)) == command


@pytest.mark.parametrize(
    ("place", "local"),
    [
        ("tcp://127.0.0.2:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://localhost:1", True),
        ("unix:///a", True),
        ("tcp://*:1", False),
        ("tcp://0.0.0.0:1", False),
        ("udp://192.0.2.1:1", False),
        ("tcp://server.example.com:1", False),
    ],
)
def test_who_reaches_it(place: str, local: bool) -> None:
    assert is_local(E(place)) is local


def test_the_words() -> None:
    bound = [Listening("echo", "echo", E("tcp://127.0.0.1:5")), Listening("mine", None, E("unix:///run/a.sock"))]
    said = lines(bound, "uvloop")
    assert said[0].startswith("aionet ")
    assert " on uvloop, process " in said[0]
    assert said[1] == "  echo  tcp://127.0.0.1:5   printf 'hi\\n' | nc -N 127.0.0.1 5"
    assert said[2] == "  mine  unix:///run/a.sock  python -m aionet send unix:///run/a.sock hi"
    assert said[3:] == ["Ctrl+C to stop"]
    assert "reachable from other machines, by anybody" in lines([Listening("a", None, E("tcp://*:1"))], "asyncio")


def test_the_facts() -> None:
    told = facts([Listening("echo", "echo", E("tcp://[::1]:5")), Listening("a", None, E("unix:///a"))], "asyncio")
    assert (told["event"], told["loop"]) == ("started", "asyncio")
    assert told["endpoints"] == [
        {"name": "echo", "endpoint": "tcp://[::1]:5", "scheme": "tcp", "host": "::1", "port": 5, "path": ""},
        {"name": "a", "endpoint": "unix:///a", "scheme": "unix", "host": "", "port": 0, "path": "/a"},
    ]
