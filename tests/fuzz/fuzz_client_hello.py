"""ClientHellos: where OpenSSL sees one, it is seen here, and the same name in it; nothing else is raised."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any, Final

from aionet.matching import MAX_PEEK
from aionet.routing.client_hello import MalformedHello, format_client_hello, read_client_hello
from tests.routing.hellos import in_records, real_hello

SEEDS: Final = (
    real_hello(),
    real_hello("a.example.com", ["h2", "http/1.1"]),
    in_records(real_hello("b.example.com"), 11),
    format_client_hello("a", ["h2"]),
    b"GET / HTTP/1.1\r\n",
)


def _see(engine: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    _seen.append(name)


_seen: list[str | None] = []
_context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_context.sni_callback = _see


def _openssl_sees(data: bytes) -> list[str | None]:
    """The name in the hello, if OpenSSL reads one to its end; it goes no further, having no certificate."""
    _seen.clear()
    into: Any = ssl.MemoryBIO()
    into.write(data)
    with suppress(ssl.SSLError):
        _context.wrap_bio(into, ssl.MemoryBIO(), server_side=True).do_handshake()
    return _seen


def check(data: bytes) -> None:
    try:
        hello = read_client_hello(data)
    except MalformedHello:
        hello = None
        names = _openssl_sees(data)
        # What OpenSSL takes and we do not: names of unusual characters, and more extensions than anybody sends.
        assert not names or names[0] is None or not names[0].replace("-", "").replace(".", "").isalnum()
        return
    if hello is None or len(data) > MAX_PEEK:
        return
    names = _openssl_sees(data)
    assert not names or names[0] is None or hello.server_name == names[0].lower()
