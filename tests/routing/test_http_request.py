"""HTTP requests by method, host and path, and WebSocket handshakes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.routing import ConnectionFacts, Matcher, Verdict, http, websocket
from aionet.testing import verify_decision, verify_matcher

YES, NO, MORE = Verdict.MATCH, Verdict.NO_MATCH, Verdict.NEED_MORE


def request(line: str = "GET / HTTP/1.1", *fields: str) -> bytes:
    return "\r\n".join((line, *(fields or ("Host: example.com",)), "", "")).encode()


GET, POST = request(), request("POST /api/x?y HTTP/1.1")
UPGRADE = request("GET /chat HTTP/1.1", "Host: example.com:8080", "Upgrade: websocket", "Connection: Upgrade")
NO_HTTP = [b"", b"hello\n", b"GET /\n", b"GET nothing\r\n", b"LIST\n", b"\x16\3\1\2\0", b"SSH-2.0-x\r\n", bytes(64)]


def test_any_request() -> None:
    verify_matcher(http(), [GET, POST, UPGRADE, GET + b"body"], [*NO_HTTP, GET[:-1], GET[:5]])
    assert http().max_size == 8192


def test_by_method() -> None:
    verify_matcher(http("POST"), [POST], [GET, UPGRADE, *NO_HTTP])
    verify_matcher(http(("GET", "HEAD")), [GET, request("HEAD / HTTP/1.1")], [POST, *NO_HTTP])
    verify_matcher(http("PROPFIND"), [request("PROPFIND / HTTP/1.1")], [GET, *NO_HTTP])


def test_by_host() -> None:
    other = request("GET / HTTP/1.1", "Host: EXAMPLE.com.:80")
    absolute = request("GET http://example.com/ HTTP/1.1")
    old = request("GET / HTTP/1.0", "X: y")
    verify_matcher(http(host="Example.com"), [GET, POST, other, absolute], [request("GET / HTTP/1.1", "Host: x"), old])
    verify_matcher(http(host="*.com"), [GET], [request("GET / HTTP/1.1", "Host: a.example.com")])


def test_by_path() -> None:
    verify_matcher(http(path="/chat"), [UPGRADE, request("GET /ch%61t?a HTTP/1.1")], [GET, POST, *NO_HTTP])
    below = [request(f"GET {path} HTTP/1.1") for path in ("/api/", "/api/x", "/api/x/y", "http://example.com/api/x")]
    beside = [request(f"GET {path} HTTP/1.1") for path in ("/api", "/api/../x", "/api/%2e%2e/x", "/apix", "//api/x")]
    verify_matcher(http(path="/api/*"), [POST, *below], [GET, *beside])
    verify_matcher(
        http(path="/*"), [GET, POST], [request("OPTIONS * HTTP/1.1"), request("CONNECT example.com:1 HTTP/1.1")]
    )


def test_a_path_is_compared_decoded() -> None:
    matcher = http(path="/\u00fc b/*")
    verify_matcher(matcher, [request("GET /%C3%BC%20b/x HTTP/1.1")], [request("GET /%FC%20b/x HTTP/1.1")])
    assert matcher.samples[0].startswith(b"GET /%C3%BC%20b/ HTTP/1.1\r\n")


def test_handshakes_of_websocket() -> None:
    verify_matcher(websocket(), [UPGRADE], [GET, POST, *NO_HTTP, UPGRADE[:-2]])
    verify_matcher(websocket("/chat", host="example.com"), [UPGRADE], [UPGRADE.replace(b"/chat", b"/x")])
    verify_matcher(
        websocket("/chat"), [UPGRADE], [UPGRADE.replace(b"GET", b"PUT"), UPGRADE.replace(b"websocket", b"h2c")]
    )


@pytest.mark.parametrize(
    ("matcher", "data"),
    [
        (http(), b"x"),
        (http(), b"GET x"),
        (http("POST"), b"G"),
        (http(path="/a"), b"GET /b "),
        (http(host="a"), b"GET / HTTP/1.1\r\nHost: b\r\n"),
        (http(), b"GET / HTTP/1.1\r\nHost "),
        (http(), b"GET / HTTP/1.1\r\n\r\n"),
    ],
)
def test_what_cannot_match_any_more_is_known_at_that_byte(matcher: Matcher, data: bytes) -> None:
    facts = ConnectionFacts(peer=None)
    assert matcher.verdict(data, facts) is NO
    assert matcher.verdict(data[:-1], facts) is MORE


def test_a_head_above_8_kib_is_not_waited_for() -> None:
    endless = b"GET / HTTP/1.1\r\nX: " + b"y" * 9000
    assert verify_decision(http(), endless[:8191]) is MORE
    assert http().verdict(endless, ConnectionFacts(peer=None)) is NO


@given(st.text("GETPOST /*:.HTP/1.0\r\n hosta", max_size=60))
def test_whatever_comes_the_decision_is_the_same_for_every_split(text: str) -> None:
    for matcher in (http(), http(path="/a*"), websocket()):
        verify_decision(matcher, text.encode())


@pytest.mark.parametrize(
    ("matcher", "text"),
    [
        (http(), "http()"),
        (http("GET", path="/a/*"), "http(method='GET', path='/a/*')"),
        (http(("GET", "HEAD"), "example.com"), "http(method=('GET', 'HEAD'), host='example.com')"),
        (websocket("/chat"), "websocket(path='/chat')"),
    ],
)
def test_how_they_read(matcher: Matcher, text: str) -> None:
    assert repr(matcher) == text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "get"}, "'get' is no method"),
        ({"method": ()}, "no method is left"),
        ({"method": "A B"}, "is no method"),
        ({"host": "example.com:80"}, "is no host name"),
        ({"path": "api"}, "is no path"),
        ({"path": "/a*b"}, "is no path"),
        ({"path": "/a?b"}, "is no path"),
        ({"path": 1}, "is no path"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        http(**arguments)
