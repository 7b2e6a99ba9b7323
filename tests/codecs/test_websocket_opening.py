from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import Endpoint, WebSocketCodec
from aionet.codecs._websocket_opening import MAX_HEAD
from aionet.codecs.websocket import Page, UpgradeRequest
from aionet.errors import HandshakeError
from aionet.events import CloseReason

from .frames import feed, frame, text

HEADERS = {
    "Host": "example.com:8081",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def head(target: str = "/chat", method: str = "GET", drop: str = "", **headers: str) -> bytes:
    """A request: a handshake, but for what is said otherwise."""
    lines = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines.pop(drop, None)
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{text}\r\n".encode("latin-1")


def get(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()


def answer(data: bytes, **options: Any) -> tuple[str, Mapping[str, str], bytes, WebSocketCodec[bytes]]:
    """Status line without the version, headers, body, and the codec."""
    codec = WebSocketCodec(**options)
    assert codec.feed(data) == []
    lines, _, body = codec.data_to_send().partition(b"\r\n\r\n")
    status, *rest = lines.decode("latin-1").split("\r\n")
    assert not status or status.startswith("HTTP/1.1 ")
    return status[9:], dict(line.split(": ", 1) for line in rest), body, codec


def test_the_handshake_of_rfc_6455() -> None:
    status, headers, body, codec = answer(head("/chat?room=1", User_Agent="test", X_Two="1"), headers={"Server": "x"})
    assert status == "101 Switching Protocols"
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert headers["Server"] == "x"
    assert not {"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} & headers.keys()
    assert body == b""
    assert codec.is_open
    assert codec.request is not None
    assert (codec.request.path, codec.request.query, codec.request.method) == ("/chat", "room=1", "GET")
    assert codec.request.headers["user-agent"] == "test"
    assert codec.request.subprotocol is None


@given(st.lists(st.integers(min_value=0, max_value=300), max_size=6))
def test_it_may_come_in_any_chunks_with_frames_behind_it(cuts: list[int]) -> None:
    data = head() + text("hello") + frame(2, b"you")
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    codec = WebSocketCodec()
    assert feed(codec, [data[a:b] for a, b in pairwise(places)]) == [b"hello", b"you"]


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (head(drop="Upgrade"), "426 Upgrade Required", "only WebSocket"),
        (head(drop="Connection"), "426 Upgrade Required", "Connection"),
        (head(Upgrade="h2c"), "426 Upgrade Required", "only WebSocket"),
        (head(method="POST"), "405 Method Not Allowed", "POST"),
        (head(drop="Sec-WebSocket-Key"), "400 Bad Request", "Sec-WebSocket-Key"),
        (head(Sec_WebSocket_Key="c2hvcnQ="), "400 Bad Request", "Sec-WebSocket-Key"),
        (head(Sec_WebSocket_Key="\xff"), "400 Bad Request", "Sec-WebSocket-Key"),
        (head(Sec_WebSocket_Version="8"), "400 Bad Request", "Sec-WebSocket-Version"),
        (head(Sec_WebSocket_Protocol="\xe9"), "400 Bad Request", "rotocol"),
        (head(drop="Host"), "400 Bad Request", "one Host"),
        (head(Host="a, b"), "400 Bad Request", "one Host"),
        (head(Host="user@example.com"), "400 Bad Request", "one Host"),
        (head("chat"), "400 Bad Request", "no path is asked for, but 'chat'"),
        (head("*"), "400 Bad Request", "no path"),
        (head("example.com:443", method="CONNECT"), "400 Bad Request", "no path"),
        (head("/other"), "404 Not Found", "nothing at /other"),
        (head("/chat/"), "404 Not Found", "nothing at /chat/"),
        (get("/other"), "404 Not Found", "nothing at /other"),
        (get("/chat"), "426 Upgrade Required", "only WebSocket"),
        # What is read in two ways by two servers is read by none (RFC 9112, section 11.2).
        (head().replace(b"Host:", b"Host: evil\r\nHost:"), "400 Bad Request", "one Host"),
        (head().replace(b"Host:", b"Host :"), "400 Bad Request", "header name"),
        (head().replace(b"Upgrade: ", b"X: 1\r\n folded\r\nUpgrade: "), "400 Bad Request", "header"),
        (head(X="a\rb"), "400 Bad Request", "header value"),
        (head(X="a\nY: b"), "400 Bad Request", "CRLF"),
        (head(X="a\x00b"), "400 Bad Request", "header value"),
        (head(Content_Length="5"), "400 Bad Request", "body"),
        (head(Transfer_Encoding="chunked"), "400 Bad Request", "transfer codings"),
        (b"GET /chat\r\n\r\n", "400 Bad Request", "request line"),
        (b"GET /chat HTTP/2.0\r\n\r\n", "400 Bad Request", "unsupported protocol"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", "400 Bad Request", "request line"),
    ],
)
def test_what_is_refused(data: bytes, status: str, why: str) -> None:
    got, headers, body, codec = answer(data, path="/chat")
    assert got == status
    assert headers["Connection"] == "close"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert int(headers["Content-Length"]) == len(body)
    assert isinstance(codec.fault, HandshakeError)
    assert status[:3] in str(codec.fault)
    assert why in str(codec.fault)
    assert not codec.is_open
    assert codec.feed(text("hello")) == []
    assert codec.farewell(CloseReason.REFUSED) == b""


def test_a_head_has_a_bound() -> None:
    fits = head(X="x" * 8000, Y="y" * 8000, Z="z" * (MAX_HEAD - 16000 - len(head(X="", Y="", Z=""))))
    assert len(fits) == MAX_HEAD
    assert answer(fits)[0].startswith("101 ")
    for long in (fits.replace(b"X:", b"XX:"), b"GET /" + b"x" * MAX_HEAD, b"\r" * (MAX_HEAD + 1)):
        for step in (1000, len(long)):
            codec = WebSocketCodec()
            feed(codec, [long[at : at + step] for at in range(0, len(long), step)])
            assert codec.data_to_send().startswith(b"HTTP/1.1 431 ")
            assert "more than 16384 bytes" in str(codec.fault)
    for long in (head("/" + "x" * 8200), head(X="x" * 8200), head(**{f"X{number}": "" for number in range(130)})):
        assert answer(long)[0].startswith("431 ")


@pytest.mark.parametrize(
    ("origin", "host", "welcome"),
    [
        (None, "example.com", True),
        ("http://example.com", "example.com", True),
        ("https://EXAMPLE.com", "example.COM", True),
        ("https://example.com", "example.com:443", True),
        ("http://example.com:8081", "example.com:8081", True),
        ("http://[::1]:8081", "[::1]:8081", True),
        ("http://example.com:8080", "example.com:8081", False),
        ("http://example.com.evil.example", "example.com", False),
        ("http://evil.example", "example.com", False),
        ("http://evil.example, http://example.com", "example.com", False),
        ("null", "example.com", False),
        ("", "example.com", False),
        ("file://", "", False),
        ("http://[", "example.com", False),
        ("http://example.com:99999", "example.com", False),
        ("https://app.example.org", "example.com", True),
    ],
)
def test_whose_pages_may_connect(origin: str | None, host: str, welcome: bool) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    status, _, _, codec = answer(head(**headers), origins=("https://app.example.org",))
    assert status == ("101 Switching Protocols" if welcome else "403 Forbidden")
    assert (codec.fault is None) is welcome
    assert answer(head(**headers), origins=("*",))[0].startswith("101 ")


def test_subprotocols() -> None:
    for offered, chosen in (("a, chat.v2, chat.v1", "chat.v1"), ("other", None), ("", None)):
        headers = {"Sec-WebSocket-Protocol": offered} if offered else {}
        status, answered, _, codec = answer(head(**headers), subprotocols=("chat.v1", "chat.v2"))
        assert status.startswith("101 ")
        assert answered.get("Sec-WebSocket-Protocol") == chosen
        assert codec.request is not None
        assert codec.request.subprotocol == chosen


PAGES = {
    "/": Page(b"<p>hello", headers={"Cache-Control": "max-age=60"}),
    "/healthz": Page(b"ok\n", "text/plain", headers={"X-More": "1"}),
    "/teapot": Page(b"", status=418),
}


def test_pages() -> None:
    status, headers, body, codec = answer(get("/?x=1"), path="/chat", pages=PAGES)
    assert (status, body) == ("200 OK", b"<p>hello")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "max-age=60"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert codec.fault is None
    assert codec.ended
    assert not codec.is_open
    status, headers, body, _ = answer(get("/healthz", "HEAD"), path="/chat", pages=PAGES)
    assert (status, body, headers["Content-Length"], headers["X-More"]) == ("200 OK", b"", "3", "1")
    status, headers, body, _ = answer(get("/nowhere", "HEAD"), path="/chat", pages=PAGES)
    assert (status, body, headers["Content-Length"]) == ("404 Not Found", b"", "44")
    assert answer(get("/teapot"), pages=PAGES)[0] == "418 I'm a Teapot"
    status, headers, _, _ = answer(get("/healthz", "DELETE"), path="/chat", pages=PAGES)
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")
    assert answer(get("/chat"), path="/chat", pages=PAGES)[0] == "426 Upgrade Required"
    assert answer(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", pages=PAGES)[0] == "200 OK"
    assert answer(head("http://example.com/"), path="/", pages=PAGES)[0] == "101 Switching Protocols"
    assert answer(get("http://example.com"), path="/chat", pages=PAGES)[0] == "200 OK"


def test_pages_of_a_callable() -> None:
    asked: list[UpgradeRequest] = []

    def find(request: UpgradeRequest) -> Page | None:
        asked.append(request)
        return Page(request.query.encode()) if request.path == "/echo" else None

    assert answer(get("/echo?a=b"), path="/chat", pages=find)[2] == b"a=b"
    assert answer(get("/none"), path="/chat", pages=find)[0] == "404 Not Found"
    assert [request.path for request in asked] == ["/echo", "/none"]


def test_compression_is_agreed_on_message_by_message() -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    assert "Sec-WebSocket-Extensions" not in answer(head(**offer))[1]
    agreed = answer(head(**offer), compress=True)[1]["Sec-WebSocket-Extensions"]
    assert agreed == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert "Sec-WebSocket-Extensions" not in answer(head(), compress=True)[1]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (CloseReason.HANDSHAKE_TIMEOUT, b"408 Request Timeout"),
        (CloseReason.SHUTDOWN, b"503 Service Unavailable"),
        (CloseReason.HANDLER_ERROR, b"500 Internal Server Error"),
    ],
)
def test_what_an_unfinished_request_hears(reason: CloseReason, status: bytes) -> None:
    codec = WebSocketCodec()
    codec.feed(head()[:30])
    assert codec.buffered == 30
    assert codec.farewell(reason).startswith(b"HTTP/1.1 " + status)
    assert WebSocketCodec().farewell(CloseReason.PEER_CLOSED) == b""


# ── the client ───────────────────────────────────────────────────────────────────────────────────────────────────────


def asking(endpoint: str = "ws://example.com:8081/chat", **options: Any) -> tuple[WebSocketCodec[bytes], list[str]]:
    """A client, and the lines of its request."""
    codec = WebSocketCodec(**options).towards(Endpoint.parse(endpoint))
    return codec, codec.data_to_send().decode().split("\r\n")


def test_what_a_client_asks() -> None:
    codec, lines = asking(headers={"Authorization": "Bearer x"}, subprotocols=("chat.v1",), compress=True)
    assert lines[:2] == ["GET /chat HTTP/1.1", "Host: example.com:8081"]
    assert "Authorization: Bearer x" in lines
    assert "Sec-WebSocket-Protocol: chat.v1" in lines
    assert any(line.startswith("Sec-WebSocket-Extensions: permessage-deflate") for line in lines)
    assert codec.data_to_send() == b""
    assert asking("wss://[::1]/")[1][:2] == ["GET / HTTP/1.1", "Host: [::1]"]
    assert asking(path="/chat?token=x%20y")[1][0] == "GET /chat?token=x%20y HTTP/1.1"
    assert asking()[1] != asking()[1]  # a key of its own


def handshake(**options: Any) -> Iterator[WebSocketCodec[bytes]]:
    """Both sides, agreed."""
    client = WebSocketCodec(**options).towards(Endpoint.parse("ws://example.com/chat"))
    server = WebSocketCodec(**options)
    server.feed(client.data_to_send())
    client.feed(server.data_to_send())
    assert client.is_open
    assert server.is_open
    yield from (client, server)


@pytest.mark.parametrize("compress", [False, True])
def test_both_sides_agree(compress: bool) -> None:
    client, server = handshake(compress=compress, subprotocols=("chat.v1",))
    assert client.request is not None
    assert server.request is not None
    assert client.request.subprotocol == server.request.subprotocol == "chat.v1"
    for one, other in ((client, server), (server, client)):
        assert other.feed(one.encode(b"x" * 5000)) == [b"x" * 5000]
    assert (len(server.encode(b"x" * 5000)) < 100) is compress


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "the answer was '403 Forbidden'"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "the answer was '200 OK'"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the answer was 'SSH-2.0-OpenSSH'"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "no WebSocket handshake: missing Connection header"),
        (b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n", "Accept"),
        (b"HTTP/1.1 101 x\r\nConnection upgrade\r\n\r\n", "no WebSocket handshake: invalid HTTP header"),
        (b"x" * (MAX_HEAD + 1), "more than 16384"),
    ],
)
def test_what_a_client_does_not_take(data: bytes, why: str) -> None:
    codec, _ = asking()
    assert codec.feed(data) == []
    assert why in str(codec.fault)
    assert not codec.is_open
    assert codec.farewell(CloseReason.REFUSED) == b""
