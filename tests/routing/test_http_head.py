"""Heads of HTTP requests, read as far as they have come, and refused where servers read them differently."""

from __future__ import annotations

import pytest

from aionet.routing.http_head import MAX_FIELDS, MalformedHead, RequestHead, read_head
from aionet.routing.http_request import METHODS


def read(text: str, methods: tuple[bytes, ...] = METHODS) -> RequestHead:
    return read_head(text.replace("\n", "\r\n").encode("latin-1"), methods)


def request(fields: str = "Host: a\n", line: str = "GET / HTTP/1.1") -> str:
    return f"{line}\n{fields}\n"


def test_a_head_is_known_part_by_part() -> None:
    steps = [
        ("", RequestHead()),
        ("GE", RequestHead()),
        ("GET ", RequestHead(b"GET")),
        ("GET /a", RequestHead(b"GET")),
        ("GET /a?b ", RequestHead(b"GET", "/a")),
        ("GET /a HTTP/1.1\nHo", RequestHead(b"GET", "/a")),
        ("GET /a HTTP/1.1\nHost: A.b:80", RequestHead(b"GET", "/a")),
        ("GET /a HTTP/1.1\nHost: A.b:80\n", RequestHead(b"GET", "/a", "a.b")),
        ("GET /a HTTP/1.1\nHost: A.b:80\n\nbody", RequestHead(b"GET", "/a", "a.b", complete=True)),
    ]
    for text, head in steps:
        assert read(text) == head


@pytest.mark.parametrize(
    ("line", "path", "host"),
    [
        ("GET /%7ea/b%20c?q=/x HTTP/1.1", "/~a/b c", "a"),
        ("GET http://a HTTP/1.1", "/", "a"),
        ("GET HTTP://A:80/x?y HTTP/1.1", "/x", "a"),
        ("GET https://a./x HTTP/1.1", "/x", "a"),
        ("OPTIONS * HTTP/1.1", "*", "a"),
        ("CONNECT a:443 HTTP/1.1", "", "a"),
        ("GET / HTTP/1.0", "/", "a"),
    ],
)
def test_the_forms_of_a_target(line: str, path: str, host: str) -> None:
    head = read(request(line=line))
    assert (head.path, head.host, head.complete) == (path, host, True)


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ("Host: [::1]:8080\n", "[::1]"),
        ("HOST:\t Example.COM. \n", "example.com"),
        ("Host: a:\n", "a"),
        ("Host:\n", ""),
        ("X: \x80\xff\nHost: a\nEmpty:\n", "a"),
    ],
)
def test_hosts(fields: str, host: str) -> None:
    assert read(request(fields)).host == host


def test_the_host_may_be_absent_in_http_1_0() -> None:
    assert read(request("", "GET / HTTP/1.0")).host is None


def test_upgrades_need_both_fields() -> None:
    def upgrade(fields: str) -> frozenset[bytes]:
        return read(request(f"Host: a\n{fields}")).upgrade

    assert upgrade("Connection: keep-alive, Upgrade\nUpgrade: WebSocket, h2c\n") == {b"websocket", b"h2c"}
    assert upgrade("Connection: x\nConnection: upgrade\nUpgrade: websocket\n") == {b"websocket"}
    assert upgrade("Upgrade: websocket\n") == frozenset()
    assert upgrade("Connection: upgrade\n") == {b""}


@pytest.mark.parametrize(
    "head",
    [
        # RFC 9112, sections 2.2, 3, 5: where a line ends, and what it may hold
        b"\r\nGET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\r\n",
        b"GET /\r HTTP/1.1",
        b"GET /\0",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\rb",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded",
        b"GET / HTTP/1.1\r\n Host: a\r\n",
        b"GET / HTTP/1.1\r\nHost : a",
        b"GET / HTTP/1.1\r\n: a",
        b"GET / HTTP/1.1\r\nno colon\r\n",
        b"GET / HTTP/1.1\r\nX: \0",
        # section 3: the request line
        b"GET  /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/2",
        b"GET / HTTP/1.2",
        b"GET / http/1.1",
        b"GET / HTTP/1.1 \r",
        b"GET /\r\n",
        b"GET /#fragment",
        b"GET /%zz HTTP/1.1",
        b"GET /% HTTP/1.1",
        b"GET a/b",
        b"GET *",
        b"GET http:/a ",
        b"GET http:// HTTP/1.1",
        b"GET http://user@a/ HTTP/1.1",
        b"CONNECT /",
        b"CONNECT a/b HTTP/1.1",
        b"get / HTTP/1.1",
        b"GETS",
        b"PROPFIND",
        b"hello",
        # section 3.2: hosts
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n",
        b"GET / HTTP/1.1\r\nHost: a,b\r\n",
        b"GET / HTTP/1.1\r\nHost: a:x\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: b\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost:\r\n",
        # section 6: where the content ends
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_FIELDS + 1),
    ],
)
def test_what_is_no_request_or_not_one_for_everybody(head: bytes) -> None:
    with pytest.raises(MalformedHead):
        read_head(head, METHODS)


def test_as_many_fields_as_there_may_be() -> None:
    assert read(request("Host: a\n" + "X: y\n" * (MAX_FIELDS - 1))).complete


@pytest.mark.parametrize(
    "fields",
    ["Content-Length: 5\n", "Content-Length: 5\nContent-Length: 5\n", "Transfer-Encoding: gzip, Chunked\n", ""],
)
def test_framing_that_everybody_reads_alike(fields: str) -> None:
    assert read(request(f"Host: a\n{fields}", "POST / HTTP/1.1")).complete
