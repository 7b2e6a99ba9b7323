"""Real ClientHellos, as OpenSSL sends them, whole and in pieces."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["in_records", "real_hello"]


def real_hello(server_name: str | None = None, protocols: Sequence[str] = ()) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    out = ssl.MemoryBIO()
    engine = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name)
    with suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    return out.read()


def in_records(hello: bytes, size: int) -> bytes:
    """The same hello, of one record, in records of at most ``size`` bytes."""
    message = hello[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(hello[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)
