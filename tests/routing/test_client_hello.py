"""ClientHellos: those of OpenSSL, whole, cut and in records; and what is none, known as early as can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.matching import MAX_PEEK
from aionet.routing.client_hello import (
    MAX_EXTENSIONS,
    ClientHello,
    MalformedHello,
    format_client_hello,
    read_client_hello,
)

from .hellos import in_records, real_hello

HELLO = real_hello("Example.COM", ["h2", "http/1.1"])
SEEN = ClientHello("example.com", ("h2", "http/1.1"))


def test_what_openssl_sends() -> None:
    assert read_client_hello(HELLO) == SEEN
    assert read_client_hello(real_hello()) == ClientHello(None, ())
    assert read_client_hello(HELLO + b"early data, or whatever") == SEEN


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_hello_in_many_records(size: int) -> None:
    pieces = in_records(HELLO, size)
    assert read_client_hello(pieces) == SEEN
    assert read_client_hello(pieces[:-1]) is None


@pytest.mark.parametrize("hello", [HELLO, in_records(HELLO, 40)], ids=["one-record", "records"])
def test_every_beginning_of_a_hello_is_one(hello: bytes) -> None:
    assert {read_client_hello(hello[:size]) for size in range(len(hello))} == {None}


def test_one_made_here_is_one() -> None:
    made = format_client_hello("a.example.com", ["h2"])
    assert read_client_hello(made) == ClientHello("a.example.com", ("h2",))
    assert read_client_hello(format_client_hello()) == ClientHello(None, ())


def hello(body: bytes, kind: bytes = b"\1") -> bytes:
    message = kind + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


def with_extensions(extensions: bytes, length: int | None = None) -> bytes:
    fixed = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0"
    return hello(fixed + (len(extensions) if length is None else length).to_bytes(2, "big") + extensions)


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def server_name(name: bytes) -> bytes:
    return extension(0, (len(name) + 3).to_bytes(2, "big") + b"\0" + len(name).to_bytes(2, "big") + name)


def test_a_hello_without_extensions() -> None:
    assert read_client_hello(hello(b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0")) == ClientHello(None, ())


def test_the_bytes_built_here_are_right() -> None:
    assert read_client_hello(with_extensions(server_name(b"a"))) == ClientHello("a", ())


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"\x17\3\3",
        b"\x16\2",
        b"\x16\3\1\x40\1",
        b"\x16\3\1\0\0",
        b"\x16\3\1\0\1\2",  # a ServerHello
        b"\x16\3\1\2\0\1\0\x20\0",  # longer than may be looked at
        b"\x16\3\1\0\1\1" + b"\x15\3\1\0\2\2\x28",  # an alert in its midst
        hello(b"\2"),
        hello(b"\3\3" + bytes(32) + b"\x21"),  # the identifier of a past handshake is too long
        hello(b"\3\3" + bytes(32) + b"\0" + b"\0\3\x13\1"),  # half a cipher suite
        hello(b"\3\3" + bytes(32) + b"\0" + b"\0\0"),
        hello(b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\0"),
        hello(b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + b"\0"),
        with_extensions(b"", 1),
        with_extensions(b"\0", 0),
        with_extensions(server_name(b"a") * 2),
        with_extensions(server_name(b"")),
        with_extensions(server_name(b"a b")),
        with_extensions(server_name(b"a\0.example.com")),
        with_extensions(extension(0, b"\0\4\1\0\1a")),  # a name of an unknown type
        with_extensions(extension(0, b"\0\4\0\0\1a" + b"x")),
        with_extensions(extension(16, b"\0\0")),
        with_extensions(extension(16, b"\0\2\0\0")),
        with_extensions(extension(16, b"\0\2\2h")),
        with_extensions(b"".join(extension(kind + 100, b"") for kind in range(MAX_EXTENSIONS + 1))),
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(MalformedHello):
        read_client_hello(data)


def test_the_longest_hello_that_is_looked_at() -> None:
    largest = with_extensions(extension(21, bytes(MAX_PEEK - len(with_extensions(extension(21, b""))))))
    assert len(largest) == MAX_PEEK
    assert read_client_hello(largest) == ClientHello(None, ())


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_damaged_hello_raises_nothing_else(position: int, byte: int) -> None:
    damaged = bytearray(HELLO)
    damaged[position] = byte
    try:
        read_client_hello(bytes(damaged))
    except MalformedHello:
        return
