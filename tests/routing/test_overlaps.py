"""Which routes can never be reached: told by structure, and across kinds by samples; nothing that can be is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.routing import (
    ConnectionFacts,
    Matcher,
    Verdict,
    alpn,
    anything,
    http,
    peer,
    prefix,
    regex,
    silence,
    sni,
    ssh,
    tls,
    unix_user,
    websocket,
)
from aionet.routing.overlaps import covers, shadowed_part

from .strategies import COMBINED


class First(Matcher):
    """A user's own, of which nothing is known but its samples."""

    def __init__(self, byte: bytes, *samples: bytes) -> None:
        self.byte = byte
        self.known = samples

    @property
    def samples(self) -> tuple[bytes, ...]:
        return self.known

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        if not data:
            return Verdict.NEED_MORE
        return Verdict.MATCH if data[:1] == self.byte else Verdict.NO_MATCH


A, B = prefix(b"a"), prefix(b"b")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (anything(), prefix(b"x")),
        (anything(), silence()),
        (prefix(b"x"), prefix(b"x")),
        (prefix(b"G", b"H"), prefix(b"GET", b"HEAD")),
        (prefix(b"SSH-"), ssh()),
        (prefix(b"G"), regex(rb"GET|GO+ ")),
        (regex(rb"[A-Z]+ "), prefix(b"GET ")),
        (regex(rb"a+b"), regex(rb"aa+b")),
        (http(), http("GET")),
        (http(), websocket("/chat")),
        (http(path="/api/*"), http("GET", "example.com", "/api/x/*")),
        (http(host="*.example.com"), http(host="a.example.com")),
        (http("GET", path="/chat"), websocket("/chat")),
        (prefix(b"GET "), websocket()),
        (prefix(b"GET "), http("GET", path="/x")),
        (prefix(b"\x16"), prefix(b"\x16\x03\x01")),
        (tls(), sni("example.com")),
        (tls(), alpn("h2")),
        (sni("*.example.com"), sni("a.example.com", "b.example.com")),
        (alpn("h2", "http/1.1"), alpn("h2")),
        (peer("10.0.0.0/8", "::/0"), peer("10.1.0.0/16", "::1")),
        (unix_user(0, 5), unix_user(5)),
        (A | B, prefix(b"ab", b"ba")),
        (A, A & peer("127.0.0.1")),
        (A & peer("10.0.0.0/8"), prefix(b"ab") & peer("10.1.0.0/16")),
        (A | peer("10.0.0.0/8"), prefix(b"ab") & peer("::1")),
        (~prefix(b"ab"), ~prefix(b"a")),
        (First(b"x"), First(b"x", b"xa", b"xb")),
        (prefix(b"x"), First(b"x", b"xa")),
    ],
    ids=lambda matcher: repr(matcher)[:40],
)
def test_what_leaves_nothing(earlier: Matcher, later: Matcher) -> None:
    assert covers(earlier, later)
    assert shadowed_part(earlier, later) is later


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (prefix(b"GET"), prefix(b"G")),
        (prefix(b"GET "), http()),
        (http("GET"), http()),
        (http(path="/a"), http(path="/a/*")),
        (http(path="/a/*"), http(path="/a")),
        (http(host="a.example.com"), http(host="*.example.com")),
        (websocket(), http()),
        (http(), prefix(b"GET ")),
        (sni("example.com"), tls()),
        (sni("example.com"), alpn("h2")),
        (peer("10.0.0.0/8"), anything()),
        (peer("10.0.0.0/8"), peer("0.0.0.0/0")),
        (peer("0.0.0.0/0"), peer("::/0")),
        (unix_user(1), unix_user(2)),
        (silence(), prefix(b"a")),
        (A & peer("10.0.0.0/8"), A),
        (A, A | B),
        (~A, B),  # true, and not found: nothing is concluded from what is not matched
        (prefix(b"a"), regex(rb"[ab]x")),
        (prefix(b"a"), First(b"x")),
        (First(b"x"), First(b"x")),
    ],
    ids=lambda matcher: repr(matcher)[:40],
)
def test_what_leaves_something(earlier: Matcher, later: Matcher) -> None:
    assert not covers(earlier, later)


@pytest.mark.parametrize(
    ("earlier", "later", "part"),
    [
        (prefix(b"G"), prefix(b"LIST", b"GET"), "prefix(b'GET')"),
        (prefix(b"/"), silence() | prefix(b"/who"), "prefix(b'/who')"),
        (sni("a.example.com"), sni("*.example.com", "a.example.com"), "sni('a.example.com')"),
        (peer("10.0.0.0/8"), peer("192.168.0.0/16", "10.1.0.0/16"), "peer('10.1.0.0/16')"),
        (alpn("h2"), alpn("http/1.1", "h2"), "alpn('h2')"),
        (unix_user(1), unix_user(2, 1), "unix_user(1)"),
        (peer("10.0.0.0/8"), A | (B & peer("10.1.0.0/16")), "prefix(b'b') & peer('10.1.0.0/16')"),
    ],
)
def test_a_part_that_is_never_reached_is_named(earlier: Matcher, later: Matcher, part: str) -> None:
    assert repr(shadowed_part(earlier, later)) == part


@given(COMBINED, COMBINED, st.binary(max_size=8))
def test_what_is_covered_is_never_matched_alone(one: Matcher, other: Matcher, data: bytes) -> None:
    facts = ConnectionFacts(peer=None)
    if covers(one, other) and other.verdict(data, facts) is Verdict.MATCH:
        assert one.verdict(data, facts) is not Verdict.NO_MATCH
