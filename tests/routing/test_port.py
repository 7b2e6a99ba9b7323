"""Which route of a port a connection is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import Router
from aionet.routing import (
    NEED_MORE,
    ConnectionFacts,
    Matcher,
    Port,
    Route,
    alpn,
    http,
    peer,
    prefix,
    regex,
    silence,
    sni,
    tls,
    websocket,
)
from aionet.services import Echo

from .hellos import real_hello

FACTS = ConnectionFacts(peer=("192.0.2.1", 5))
WHERE = "tcp://127.0.0.1:7000"


def port(*matchers: Matcher | None, endpoint: str = WHERE, **options: Any) -> Port:
    router = Router()
    for number, matcher in enumerate(matchers):
        router.add(endpoint, Echo(), match=matcher, name=f"r{number}", **options)
    (port,) = router.ports
    return port


def name(found: Any) -> str | None:
    return found.name if isinstance(found, Route) else None if found is None else found.value


def test_a_port_of_one_route_asks_nothing() -> None:
    alone = port(None)
    assert (alone.sniffs, alone.peek, alone.silence, alone.silent) == (False, 0, None, None)
    assert alone.default is alone.routes[0]
    assert alone.decide(b"", FACTS) is alone.routes[0]


def test_the_first_that_matches_once_all_before_it_do_not() -> None:
    shared = port(prefix(b"abc"), prefix(b"ab"), None, prefix(b"x"))
    decisions = {data: name(shared.decide(data, FACTS)) for data in (b"", b"a", b"ab", b"abc", b"abd", b"x", b"y")}
    assert decisions == {
        b"": "need more", b"a": "need more", b"ab": "need more",
        b"abc": "r0", b"abd": "r1", b"x": "r3", b"y": "r2",
    }  # fmt: skip
    assert (shared.sniffs, shared.peek) == (True, 3)


def test_without_a_default_what_matches_nothing_is_nobodys() -> None:
    assert port(prefix(b"a")).decide(b"x", FACTS) is None


def test_a_route_with_a_match_may_be_the_default_too() -> None:
    router = Router()
    router.add(WHERE, Echo(), match=prefix(b"a"), default=True, name="a")
    router.add(WHERE, Echo(), match=prefix(b"b"), name="b")
    (shared,) = router.ports
    assert [name(shared.decide(data, FACTS)) for data in (b"a", b"b", b"c")] == ["a", "b", "a"]
    assert shared.default is shared.routes[0]


def test_facts_decide_before_any_byte() -> None:
    shared = port(peer("10.0.0.0/8"), None)
    assert shared.decide(b"", ConnectionFacts(peer=("10.0.0.1", 5))) is shared.routes[0]
    assert shared.decide(b"", FACTS) is shared.routes[1]
    assert (shared.sniffs, shared.peek) == (True, 0)


def test_silence_passes_over_those_who_may_still_speak() -> None:
    shared = port(prefix(b"a"), silence(2) | prefix(b"/"), None)
    silent = replace(FACTS, silent=True)
    assert (shared.silence, shared.silent) == (2, shared.routes[1])
    assert shared.decide(b"", FACTS) is NEED_MORE
    assert shared.decide(b"", silent) is shared.routes[1]
    assert shared.decide(b"/", FACTS) is shared.routes[1]


def test_a_silence_with_a_condition_that_does_not_hold_goes_on_waiting() -> None:
    shared = port(prefix(b"a"), silence() & peer("10.0.0.0/8"), None)
    silent = replace(FACTS, silent=True)
    assert shared.decide(b"", silent) is NEED_MORE
    assert shared.decide(b"a", silent) is shared.routes[0]
    late = port(prefix(b"abc"), prefix(b"a"), silence())
    assert late.decide(b"a", silent) is NEED_MORE
    assert shared.decide(b"", replace(silent, peer=("10.0.0.1", 5))) is shared.routes[1]


def test_at_the_end_what_still_needs_more_does_not_match() -> None:
    shared = port(prefix(b"abc"), ~prefix(b"abd"), prefix(b"a"), silence(), None)
    assert shared.decide(b"ab", FACTS, final=True) is shared.routes[2]
    assert shared.decide(b"", FACTS, final=True) is shared.routes[3]
    assert port(prefix(b"abc")).decide(b"ab", FACTS, final=True) is None


def test_many_protocols_on_one_port() -> None:
    shared = port(
        websocket("/ws"), http(host="*.test"), http(), sni("a.test"), alpn("h2"), tls(), prefix(b"SSH-"), None
    )
    head = b" HTTP/1.1\r\nHost: b.test\r\n"
    reached = {
        b"GET /ws" + head + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n": "r0",
        b"GET /ws" + head + b"\r\n": "r1",
        b"GET / HTTP/1.1\r\nHost: c\r\n\r\n": "r2",
        b"GET / HTTP/1.1\r\nHost: c\r\nHost: c\r\n\r\n": "r7",
        real_hello("a.test"): "r3",
        real_hello("b.test", ["h2"]): "r4",
        real_hello("b.test"): "r5",
        b"SSH-2.0-x\r\n": "r6",
        b"hello\n": "r7",
        b"z" * 64: "r7",
    }
    assert {data: name(shared.decide(data, FACTS)) for data in reached} == reached
    inside = ConnectionFacts(peer=None, tls=True, server_name="a.test")
    assert name(shared.decide(b"", inside)) == "need more"
    assert name(shared.decide(b"hello", inside)) == "r3"


def test_what_holds_for_the_whole_port() -> None:
    router = Router()
    router.add("tls://127.0.0.1:7000", Echo(), match=prefix(b"a"))
    router.add("tls://127.0.0.1:7000?cert=a.pem", Echo(), match=prefix(b"b"), proxy_protocol=["10.0.0.0/8"])
    router.add("tls://127.0.0.1:7000", Echo(), ssl_context="context")
    (shared,) = router.ports
    assert shared.endpoint.options == {"cert": "a.pem"}
    assert shared.proxy_networks == ("10.0.0.0/8",)
    assert shared.ssl_context == "context"
    assert repr(shared) == "Port(tls://127.0.0.1:7000=echo,echo-2,echo-3)"


def test_a_port_that_trusts_proxies_looks_at_connections() -> None:
    assert port(None, proxy_protocol="10.0.0.0/8").sniffs


SHARED = port(http(path="/a*"), regex(rb"(?i)(?:get|list)[ ;\n]"), prefix(b"/") | silence(), tls(), None)


@pytest.mark.parametrize(
    "data", [real_hello("example.com"), b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"GET x\n", b"/who\n"]
)
def test_cut_anywhere_the_decision_is_the_same(data: bytes) -> None:
    decisions = [SHARED.decide(data[:size], FACTS) for size in range(len(data) + 1)]
    first = next(size for size, found in enumerate(decisions) if found is not NEED_MORE)
    assert set(decisions[:first]) <= {NEED_MORE}
    assert set(decisions[first:]) == {decisions[-1]}


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_decided_once_and_within_the_peek(data: bytes, spoken: bool) -> None:
    data = (b"GET /a HTTP/1.1\r\n" if spoken else b"") + data
    decided = None
    for size in range(len(data) + 1):
        found = SHARED.decide(data[:size], FACTS)
        assert decided in (None, found)
        assert found is not NEED_MORE or size < SHARED.peek
        decided = None if found is NEED_MORE else found
    assert SHARED.decide(data, FACTS, final=True) is not NEED_MORE
