"""The contracts' own code: what a handler does when nothing is overridden."""

from __future__ import annotations

import pytest

from aionet.handler import Connection, StreamHandler, TLSFacts


class Closable:
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_by_default_a_handler_closes_when_the_peer_or_the_server_leaves() -> None:
    handler, conn = StreamHandler[bytes](), Closable()
    handler.on_connect(conn)  # type: ignore[arg-type]
    handler.on_message(conn, b"")  # type: ignore[arg-type]
    handler.on_writable(conn)  # type: ignore[arg-type]
    assert conn.closed == 0
    handler.on_eof(conn)  # type: ignore[arg-type]
    handler.on_drain(conn)  # type: ignore[arg-type]
    assert conn.closed == 2


def test_a_contract_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Connection()  # type: ignore[abstract]


def test_tls_facts_are_shown_without_the_certificate() -> None:
    facts = TLSFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, {"subject": "somebody"})
    assert repr(facts) == "TLSFacts(version='TLSv1.3', cipher='TLS_AES_256_GCM_SHA384', alpn=None)"
