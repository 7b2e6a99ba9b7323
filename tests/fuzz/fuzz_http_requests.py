"""Requests of HTTP: the same messages, or a fault, however the bytes are cut; what is made of them raises nothing."""

from __future__ import annotations

from typing import Final

from aionet.errors import ProtocolError
from aionet.services.files.web.codec import MAX_HEAD, HttpCodec, Message, Request, status_of
from aionet.services.files.web.conditions import choose
from aionet.services.files.web.guard import Guard, comes_from_here
from aionet.services.files.web.target import href, parse_target

MODULES: Final = (
    "aionet.services.files.web.codec",
    "aionet.services.files.web.conditions",
    "aionet.services.files.web.guard",
    "aionet.services.files.web.target",
)

_HOST: Final = b"HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"

SEEDS: Final = (
    b"GET /a%20b/c?x=%2F&y HTTP/1.1\r\nHost: [::1]\r\n\r\n" * 3,
    b"GET /a " + _HOST + b'Range: bytes=1-2\r\nIf-Range: "t"\r\nIf-None-Match: W/"t", *\r\n\r\n',
    b"GET /a " + _HOST + b"Range: bytes=-5\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    b"PUT /b " + _HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n12345" + b"HEAD / HTTP/1.0\r\n\r\n",
    b"PUT /c " + _HOST + b"Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: y\r\n\r\n",
    b"GET http://a/b " + _HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"DELETE /%ff " + _HOST + b"Origin: null\r\nSec-Fetch-Site: none\r\nConnection: close\r\n\r\n",
)

_GUARD: Final = Guard(["files.example.com", "*.example.org"])


def check(data: bytes) -> None:
    messages, fault = _fed(data)
    for cut in {1, len(data) // 3, len(data) // 2, len(data) - 1}:
        again, other = _fed(data[:cut], data[cut:])
        assert again == messages, cut
        assert (other is None) is (fault is None), cut  # which of two faults in one line is met first may differ
    if fault is not None:
        assert 400 <= status_of(fault) <= 505
    for message in messages:
        if isinstance(message, Request):
            _looked_at(message)


def _fed(*chunks: bytes) -> tuple[list[Message], ProtocolError | None]:
    """The messages, with the pieces of each body put together."""
    codec, messages = HttpCodec(), list[Message]()
    for chunk in filter(None, chunks):
        found = codec.feed(chunk)
        while codec.pending:
            found += codec.feed(b"")
        for message in found:
            last = messages[-1] if messages else b""
            if isinstance(message, bytes) and message and isinstance(last, bytes) and last:
                messages[-1] = last + message
            else:
                messages.append(message)
        assert codec.buffered <= MAX_HEAD
        if codec.fault is not None:
            break
    else:
        codec.feed_eof()
    return messages, codec.fault


def _looked_at(request: Request) -> None:
    _GUARD.knows(request.fields.get("host", ""))
    comes_from_here(request.fields)
    answer = choose(request.fields, '"t"', 784111777, 1000, 784111800)
    assert answer.status in (200, 206, 304, 412, 416)
    assert 0 <= answer.offset <= answer.offset + answer.count <= 1000
    try:
        target = parse_target(request.target)
    except ValueError:
        return
    if target.name:
        again = parse_target(href(target.name, is_directory=target.is_directory))
        assert (again.name, again.is_directory) == (target.name, target.is_directory)
