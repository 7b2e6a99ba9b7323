"""Routes: checked when they are added, named, and in order."""

from __future__ import annotations

import re
import ssl
from typing import Any

import pytest

from aionet import Connection, DatagramHandler, Endpoint, LineCodec, Router, StreamHandler
from aionet.errors import EndpointError, RouteError
from aionet.routing import (
    ConnectionFacts,
    Matcher,
    Verdict,
    anything,
    http,
    prefix,
    silence,
    ssh,
    unix_user,
)


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
        ("tcp://127.0.0.1:0", Shout(), {"ssl_context": ssl.create_default_context()}, "needs a tls://, wss://"),
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


# ── several routes on one port ───────────────────────────────────────────────────────────────────────────────────────

WHERE = "tcp://127.0.0.1:7000"


def test_routes_share_a_port_if_all_but_one_say_which_connections_are_their_own() -> None:
    router = Router()
    http_route = router.add(WHERE, Shout(), match=http())
    rest = router.add(WHERE, greeter)
    other = router.add("tcp://127.0.0.1:7001", Shout())
    acks = router.add("udp://127.0.0.1:7000", Ack())
    assert [port.routes for port in router.ports] == [(http_route, rest), (other,), (acks,)]
    assert [port.sniffs for port in router.ports] == [True, False, False]
    assert router.routes == (http_route, rest, other, acks)


def test_port_0_is_another_port_for_each_route_without_a_match() -> None:
    router = Router()
    for name, match in (("a", None), ("b", http()), ("c", None), ("d", prefix(b"d")), ("e", ssh())):
        router.add("tcp://127.0.0.1:0", Shout(), match=match, name=name)
    assert [[route.name for route in port.routes] for port in router.ports] == [["a", "b"], ["c", "d", "e"]]


def test_a_unix_socket_and_a_descriptor_are_shared_too() -> None:
    router = Router()
    for endpoint in ("unix:///run/app.sock", "fd://3"):
        router.add(endpoint, Shout(), match=unix_user(0))
        router.add(endpoint, Shout())
        with pytest.raises(RouteError, match="is taken"):
            router.add(endpoint, Shout())
    assert [len(port.routes) for port in router.ports] == [2, 2]


class Guest:
    pass


def test_a_guest_is_named_after_its_factory() -> None:
    router = Router()
    route = router.add(WHERE, protocol=Guest, match=http(), proxy_protocol=("10.0.0.0/8", "::1"))
    assert (route.name, route.handler, route.protocol) == ("Guest", None, Guest)
    assert route.proxy_protocol == ("10.0.0.0/8", "::1/128")


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            {"match": anything()},
            {"match": http()},
            "route by http() can never be reached: 'one' by anything(), which is",
        ),
        ({"match": http()}, {"match": http()}, "route by http() can never be reached: 'one' by http()"),
        ({"match": prefix(b"G")}, {"match": prefix(b"GET")}, "takes all that it matches"),
        ({"match": prefix(b"G")}, {"match": prefix(b"H", b"GO")}, "takes all that its prefix(b'GO') matches"),
        ({"match": http(path="/a/*")}, {"match": http(path="/a/b")}, "http(path='/a/b') can never be reached"),
        ({"match": silence(1)}, {"match": silence(2) | ssh()}, "two routes for silence: 'one' by silence(1)"),
        ({"match": ssh(), "default": True}, {"match": http(), "default": True}, "two defaults, 'one' and this one"),
        ({}, {"match": http(), "default": True}, "two defaults, 'one' and this one"),
        ({}, {}, "is taken by route 'one'"),
        ({"ssl_context": 1}, {"match": http(), "ssl_context": 2}, "not the ssl_context of route 'one'"),
    ],
)
def test_what_cannot_share_a_port_names_both(first: dict[str, Any], second: dict[str, Any], says: str) -> None:
    router = Router()
    endpoint = "tls://127.0.0.1:7000"
    router.add(endpoint, Shout(), name="one", **first)
    with pytest.raises(RouteError, match=re.escape(says)) as caught:
        router.add(endpoint, Shout(), name="two", **second)
    assert caught.value.hint
    assert [route.name for route in router] == ["one"]
    assert len(router.ports) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [("tcp://127.0.0.1:7000", "tls://127.0.0.1:7000"), ("udp://127.0.0.1:7000", "udp://127.0.0.1:7000")],
)
def test_a_match_does_not_share_what_cannot_be_shared(first: str, second: str) -> None:
    router = Router()
    handler: Any = Ack() if first.startswith("udp") else Shout()
    router.add(first, handler)
    with pytest.raises(RouteError, match="is taken by route") as caught:
        router.add(second, handler, match=None if second.startswith("udp") else http())
    assert caught.value.hint


def test_other_options_on_the_same_port() -> None:
    router = Router()
    router.add("tcp://127.0.0.1:7000?nodelay=0", Shout(), name="one")
    router.add("tcp://127.0.0.1:7000", Shout(), match=http())
    with pytest.raises(RouteError, match="not the options of route 'one'"):
        router.add("tcp://127.0.0.1:7000?nodelay=1", Shout(), match=ssh())


class Greedy(Matcher):
    max_size = 9000

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return Verdict.NEED_MORE


@pytest.mark.parametrize(
    ("endpoint", "handler", "options", "says"),
    [
        (WHERE, Shout(), {"protocol": Guest}, "either a handler or a protocol"),
        (WHERE, None, {}, "None is no handler here"),
        (WHERE, None, {"protocol": 5}, "5 is no factory of protocols"),
        (WHERE, None, {"protocol": Guest, "codec": LineCodec()}, "a guest takes no codec"),
        ("udp://127.0.0.1:0", None, {"protocol": Guest}, "a guest speaks over a stream"),
        ("udp://127.0.0.1:0", Ack(), {"match": http()}, "a datagram route has no match"),
        ("udp://127.0.0.1:0", Ack(), {"default": True}, "a datagram route has no match, default"),
        (WHERE, Shout(), {"match": b"GET"}, "b'GET' is no matcher"),
        (WHERE, Shout(), {"match": Greedy}, "is no matcher"),
        (WHERE, Shout(), {"match": Greedy()}, "asks for 9000 bytes; 8192 is the most"),
        (WHERE, Shout(), {"proxy_protocol": ["10.0.0.1/8"]}, "proxy_protocol: 10.0.0.1/8 has host bits set"),
    ],
)
def test_routes_that_cannot_be(endpoint: str, handler: Any, options: dict[str, Any], says: str) -> None:
    router = Router()
    with pytest.raises(RouteError, match=says):
        router.add(endpoint, handler, **options)
    assert len(router) == 0
    assert router.ports == ()
