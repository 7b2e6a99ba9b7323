"""Routes: checked when they are added, named, and in order."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from aionet import Connection, DatagramHandler, Endpoint, LineCodec, Router, StreamHandler
from aionet.errors import EndpointError, RouteError


class Shout(StreamHandler[bytes]):
    pass


class Ack(DatagramHandler):
    pass


async def greeter(conn: Connection[bytes]) -> None: ...


def test_routes_keep_their_order_and_what_was_given() -> None:
    router, codec = Router(), LineCodec()
    first = router.add("tcp://127.0.0.1:7000", Shout(), codec=codec)
    second = router.add(Endpoint.parse("udp://127.0.0.1:7000"), Ack(), name="acks")
    assert router.routes == (first, second)
    assert list(router) == [first, second]
    assert len(router) == 2
    assert first.codec is codec
    assert first.endpoint.port == 7000
    assert (first.limits, first.timeouts, first.ssl_context) == (None, None, None)
    assert repr(router) == "Router(tcp://127.0.0.1:7000=shout, udp://127.0.0.1:7000=acks)"


def test_names_come_from_handlers_and_are_unique() -> None:
    router = Router()
    for _ in range(3):
        router.add("tcp://127.0.0.1:0", Shout())
    router.add("tcp://127.0.0.1:0", greeter)
    assert [route.name for route in router] == ["shout", "shout-2", "shout-3", "greeter"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000"),
        ("tcp://127.0.0.1:7000", "tls://127.0.0.1:7000?cert=a.pem"),
        ("tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000?nodelay=0"),
        ("tcp://*:7000", "tcp://:7000"),
        ("unix:///run/a.sock", "unix:///run/a.sock?mode=0600"),
        ("fd://3", "fd://3"),
    ],
)
def test_what_collides_is_refused(first: str, second: str) -> None:
    router = Router()
    router.add(first, Shout())
    with pytest.raises(RouteError, match="is taken by route 'shout'"):
        router.add(second, Shout())
    assert len(router) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
        ("tcp://127.0.0.1:7000", "tcp://127.0.0.2:7000"),
        ("tcp://127.0.0.1:7000", "unix:///run/7000"),
        ("unix:///run/a.sock", "unix:///run/b.sock"),
        ("fd://3", "fd://4"),
        ("tcp://127.0.0.1:3", "fd://3"),
    ],
)
def test_what_does_not_collide_is_taken(first: str, second: str) -> None:
    router = Router()
    router.add(first, Shout())
    router.add(second, Shout())
    assert len(router) == 2


def test_tcp_and_udp_have_ports_of_their_own() -> None:
    router = Router()
    router.add("tcp://127.0.0.1:7000", Shout())
    router.add("udp://127.0.0.1:7000", Ack())
    assert len(router) == 2


@pytest.mark.parametrize(
    ("endpoint", "handler", "options", "says"),
    [
        ("tcp://127.0.0.1:0", Ack(), {}, "is no handler here"),
        ("udp://127.0.0.1:0", Shout(), {}, "is no handler here"),
        ("udp://127.0.0.1:0", Ack(), {"codec": LineCodec()}, "a datagram route takes no codec"),
        ("tcp://127.0.0.1:0", Shout(), {"ssl_context": ssl.create_default_context()}, "needs a tls:// endpoint"),
        ("tcp://127.0.0.1:0", Shout(), {"name": "taken"}, "there is a route named 'taken' already"),
    ],
    ids=["datagrams-on-tcp", "stream-on-udp", "codec-on-udp", "tls-on-tcp", "name-twice"],
)
def test_refusals(endpoint: str, handler: Any, options: dict[str, Any], says: str) -> None:
    router = Router()
    router.add("unix:///run/other.sock", Shout(), name="taken")
    with pytest.raises(RouteError, match=says):
        router.add(endpoint, handler, **options)
    assert len(router) == 1


def test_an_endpoint_that_does_not_parse() -> None:
    with pytest.raises(EndpointError, match="unknown scheme 'tpc'"):
        Router().add("tpc://127.0.0.1:0", Shout())
