"""The contracts' own code: what a codec, a handler and a port do when nothing is overridden."""

from __future__ import annotations

import pytest

from aionet.codec import Codec
from aionet.errors import IncompleteFrame
from aionet.handler import Connection, StreamHandler, TLSFacts


class Pairs(Codec[bytes]):
    """Two bytes a message: what a user writes, ``feed`` and ``encode`` alone."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        data = self.rest + data
        whole = len(data) // 2 * 2
        self.rest = data[whole:]
        return [data[at : at + 2] for at in range(0, whole, 2)]

    def encode(self, message: bytes) -> bytes:
        return message

    @property
    def buffered(self) -> int:
        return len(self.rest)


def test_defaults_of_a_codec() -> None:
    codec = Pairs()
    assert codec.max_size == 65536
    assert codec.fault is None
    assert not codec.replies
    assert not codec.batches
    assert codec.data_to_send() == b""
    assert codec.encoding_key() is None
    assert codec.encode_batch([b"ab", b"cd"]) == b"abcd"
    assert Codec[bytes]().buffered == 0
    with pytest.raises(NotImplementedError):
        Codec[bytes]().feed(b"")
    with pytest.raises(NotImplementedError):
        Codec[bytes]().encode(b"")


def test_bytes_left_over_at_the_end_are_a_fault() -> None:
    codec = Pairs()
    assert codec.feed(b"abc") == [b"ab"]
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)
    assert str(codec.fault) == "the stream ended inside a message, 1 bytes into it"


def test_an_end_between_messages_is_none() -> None:
    codec = Pairs()
    codec.feed(b"ab")
    assert codec.feed_eof() == []
    assert codec.fault is None


def test_a_clone_is_fresh_and_separate() -> None:
    codec = Pairs()
    codec.max_size = 7
    clone = codec.clone()
    clone.feed(b"a")
    assert clone.max_size == 7
    assert codec.buffered == 0


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
