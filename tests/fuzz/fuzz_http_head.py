"""Heads of HTTP requests: what matches is read alike by h11; nothing else is raised."""

from __future__ import annotations

from typing import Final

import h11

from aionet.routing.http_head import MalformedHead, read_head
from aionet.routing.http_request import METHODS, http

SEEDS: Final = (
    *http().samples,
    b"POST /%41?x HTTP/1.0\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"GET http://a:80/x HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: a, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rb\nHost: c\r\n\r\n",
)


def check(data: bytes) -> None:
    try:
        head = read_head(data, METHODS)
    except MalformedHead:
        return
    if not head.complete:
        return
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    try:
        request = connection.next_event()
    except h11.RemoteProtocolError as exc:
        if "bad Content-Length" in str(exc) or "Transfer-Encoding" in str(exc):
            return  # h11 has bounds of its own: 20 digits, and chunked alone
        raise
    assert isinstance(request, h11.Request)
    assert request.method == head.method
    hosts = [value for name, value in request.headers if name == b"host"]
    assert len(hosts) <= 1
    if head.path and head.path.isascii() and request.target.startswith(b"/") and b"%" not in request.target:
        assert request.target.partition(b"?")[0] == head.path.encode()
    if hosts and hosts[0]:
        assert head.host is not None
        assert hosts[0].lower().decode().startswith(head.host)
