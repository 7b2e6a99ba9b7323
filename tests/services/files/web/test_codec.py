from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import EncodeError, FrameTooLarge, IncompleteFrame, ProtocolError
from aionet.services.files.web.codec import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_TARGET,
    SLICE,
    HttpCodec,
    Message,
    Request,
    status_of,
)
from aionet.testing import verify_codec

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
ASKED = Request("GET", "/a", {"host": "x"})
PUT = b"PUT /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nT: y\r\n\r\n"
)


def joined(messages: list[Message]) -> list[Message]:
    """The same with the pieces of each body put together; its end stays."""
    whole: list[Message] = []
    for message in messages:
        if message and whole and isinstance(message, bytes) and isinstance(whole[-1], bytes) and whole[-1]:
            whole[-1] += message
        else:
            whole.append(message)
    return whole


def fed(*chunks: bytes) -> tuple[list[Message], ProtocolError | None]:
    codec, messages = HttpCodec(), list[Message]()
    for chunk in chunks:
        messages += codec.feed(chunk)
        while codec.pending:
            messages += codec.feed(b"")
        if codec.fault is not None:
            break
    else:
        messages += codec.feed_eof()
    return joined(messages), codec.fault


def test_it_keeps_the_contract_of_codecs() -> None:
    verify_codec(
        HttpCodec(),
        [
            (GET, [ASKED]),
            (PUT, [Request("PUT", "/b", {"host": "x", "content-length": "5"}, has_body=True), b"12345", b""]),
            (
                CHUNKED,
                [Request("PUT", "/c", {"host": "x", "transfer-encoding": "chunked"}, has_body=True), b"abcde", b""],
            ),
            (
                GET + PUT,
                [ASKED, Request("PUT", "/b", {"host": "x", "content-length": "5"}, has_body=True), b"12345", b""],
            ),
        ],
        oversize=b"GET /a HTTP/1.1\r\nX: " + bytes(MAX_HEAD).replace(b"\0", b"x") + b"\r\n\r\n",
        garbage=[b"\x16\x03\x01\x02\x00\x01", b"GET /\xff HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        encodes=False,
        normalise=joined,
    )


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", Request("GET", "/", {}, keep_alive=False, minor=0)),
        (
            b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Request("HEAD", "/", {"connection": "keep-alive"}, minor=0),
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            Request("GET", "/", {"host": "a", "connection": "close"}, keep_alive=False),
        ),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Request("OPTIONS", "*", {"host": "a"})),
        (b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", Request("GET", "http://a/b?c", {"host": "a"})),
        (
            b"MKCOL /d/ HTTP/1.1\r\nHost: a\r\nX: 1\r\nX:  2 \r\n\r\n",
            Request("MKCOL", "/d/", {"host": "a", "x": "1, 2"}),
        ),
        (
            b"PUT /e HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            Request("PUT", "/e", {"host": "a", "content-length": "0"}),
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", Request("GET", "/", {"host": "a", "x": "\xe9"})),
    ],
)
def test_heads(head: bytes, expected: Request) -> None:
    assert fed(head) == ([expected], None)
    assert fed(*(bytes([byte]) for byte in head)) == ([expected], None)


def test_empty_lines_before_a_request_are_passed_over() -> None:  # RFC 9112, 2.2
    assert fed(b"\r\n" + GET) == ([ASKED], None)
    assert fed(b"\r\n", GET) == ([ASKED], None)


def test_a_length_is_told_or_not() -> None:
    assert [message.length for message in fed(PUT, CHUNKED)[0] if isinstance(message, Request)] == [5, None]


def test_an_offer_of_another_protocol_is_passed_over() -> None:
    offer = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    messages, fault = fed(offer + GET)
    assert fault is None
    assert [message.target for message in messages if isinstance(message, Request)] == ["/a", "/a"]


H = b"GET /a HTTP/1.1\r\nHost: x\r\n"
FAULTS = [
    (b"GET /a HTTP/1.1\nHost: x\n\n", 400),
    (H + b" folded: x\r\n\r\n", 400),
    (H + b"X : y\r\n\r\n", 400),
    (H + b"X: a\rb\r\n\r\n", 400),
    (H + b"X: a\0b\r\n\r\n", 400),
    (H + b": y\r\n\r\n", 400),
    (H + b"Host: y\r\n\r\n", 400),
    (H + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    (H + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
    (H + b"Content-Length: +3\r\n\r\nabc", 400),
    (H + b"Content-Length: -1\r\n\r\n", 400),
    (H + b"Content-Length: 1e3\r\n\r\n", 400),
    (H + b"Content-Length: 99999999999999999999999999\r\n\r\n", 400),
    (H + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (H + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    (H + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    (H + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
    (H + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc", 501),
    (b"GET /a b HTTP/1.1\r\n\r\n", 400),
    (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", 400),
    (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
    (b"GET a HTTP/1.1\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 505),
    (b"GET / HTTP/2.0\r\n\r\n", 505),
    (b"GET / HTTP/1.2\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore", 400),
    (b"FROB / HTTP/1.1\r\n\r\n", 501),
    (b"get / HTTP/1.1\r\n\r\n", 501),
    (b"\x16\x03\x01\x02\x00\x01\x00", 501),
    (b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1\r\n\r\n", 414),
    (H + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
    (H + b"X: y\r\n" * MAX_FIELDS + b"\r\n", 431),
    (H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: y\r\n" * (MAX_FIELDS + 1) + b"\r\n", 431),
]


@pytest.mark.parametrize(("head", "status"), FAULTS)
def test_faults(head: bytes, status: int) -> None:
    fault = fed(GET + head)[1]
    assert fault is not None
    assert status_of(fault) == status
    messages, again = fed(GET, *(bytes([byte]) for byte in head))
    assert messages[:1] == [ASKED]
    assert type(again) is type(fault)


@pytest.mark.parametrize("whole", [GET, PUT, CHUNKED])
def test_an_end_inside_a_request_is_a_fault(whole: bytes) -> None:
    for cut in range(1, len(whole)):
        assert isinstance(fed(whole[:cut])[1], IncompleteFrame), cut
    assert fed(whole)[1] is None


def test_a_field_that_never_ends_is_not_kept() -> None:
    codec = HttpCodec()
    codec.feed(H + b"X: ")
    for _ in range(MAX_HEAD // 1024 + 1):
        codec.feed(bytes(1024).replace(b"\0", b"x"))
    assert isinstance(codec.fault, FrameTooLarge)
    assert codec.buffered == 0


def test_ten_thousand_requests_in_a_chunk_become_objects_a_few_at_a_time() -> None:
    small = b"GET / HTTP/1.1\r\nHost:a\r\n\r\n"
    codec, count = HttpCodec(), 0
    batch = codec.feed(small * 10_000)
    while batch:
        assert len(batch) <= SLICE // len(small) + 1
        count += len(batch)
        batch = codec.feed(b"") if codec.pending else []
    assert count == 10_000
    assert not codec.pending


def test_what_comes_while_more_is_pending_follows_behind_it() -> None:
    codec = HttpCodec()
    chunk = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(2000))
    targets = [message.target for message in codec.feed(chunk) if isinstance(message, Request)]
    assert codec.feed(b"GET /last HTTP/1.1\r\nHost: a\r\n") == []
    assert codec.feed_eof() == []
    assert codec.fault is None  # what is pending comes first
    while codec.pending:
        targets += [message.target for message in codec.feed(b"") if isinstance(message, Request)]
    assert targets == [f"/{number}" for number in range(2000)]
    assert isinstance(codec.fault, IncompleteFrame)


def test_a_large_body_is_passed_on_as_it_comes() -> None:
    codec = HttpCodec()
    codec.feed(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    assert codec.feed(bytes(200_000)) == [bytes(200_000)]
    assert not codec.pending


def test_requests_are_not_sent() -> None:
    with pytest.raises(EncodeError):
        HttpCodec().encode(ASKED)
    assert HttpCodec().encode(b"HTTP/1.1 204 No Content\r\n\r\n") == b"HTTP/1.1 204 No Content\r\n\r\n"


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_taken_alike_however_they_are_cut(data: bytes, cut: int) -> None:
    data = data.replace(b"~", b"\r\n")
    whole, in_two = fed(data), fed(data[:cut], data[cut:])
    assert whole[0] == in_two[0]
    assert (whole[1] is None) is (in_two[1] is None)  # which of two faults in one line is met first may differ


def test_two_thousand_damaged_heads() -> None:
    chance = random.Random(0)
    answered = 0
    for _ in range(2000):
        damaged = bytearray(chance.choice([GET, PUT, CHUNKED, *(head for head, _ in FAULTS[:28])]))
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b"\r\n\0 :;,%/\x7f\xffA0")
        cut = chance.randrange(len(damaged))
        whole, in_two = fed(bytes(damaged)), fed(bytes(damaged[:cut]), bytes(damaged[cut:]))
        assert joined(whole[0]) == joined(in_two[0])
        assert (whole[1] is None) is (in_two[1] is None)
        answered += whole[1] is not None
    assert answered > 1000  # most of them are faults, and each was met as one
