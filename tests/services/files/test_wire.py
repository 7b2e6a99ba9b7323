from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError, EncodeError, FrameTooLarge, IncompleteFrame, MalformedFrame, ProtocolError
from aionet.services.files.wire import (
    MAX_HEADER,
    Batch,
    ErrorReply,
    Message,
    Reply,
    ReplyCodec,
    Request,
    RequestCodec,
    Unreadable,
    explain,
)
from aionet.testing import verify_codec

Heard = Message | Unreadable
Outcome = tuple[list[Heard], type[ProtocolError] | None]


def taken_apart(messages: list[Message]) -> Iterator[Heard]:
    """Each request of a batch for itself, its body behind it."""
    for message in messages:
        if isinstance(message, Batch):
            for request, body in message:
                yield request
                if body:
                    yield body
        else:
            yield message


def joined(messages: list[Message]) -> list[Heard]:
    """The same messages with batches taken apart, and the pieces of a body put together."""
    whole: list[Heard] = []
    for message in taken_apart(messages):
        if isinstance(message, bytes) and whole and isinstance(whole[-1], bytes):
            whole[-1] += message
        else:
            whole.append(message)
    return whole


def fed(codec: RequestCodec | ReplyCodec, *chunks: bytes) -> Outcome:
    messages: list[Message] = []
    for chunk in chunks:
        messages += codec.feed(chunk)
        if codec.fault is not None:
            break
    else:
        messages += codec.feed_eof()
    return joined(messages), type(codec.fault) if codec.fault is not None else None


def requests(*chunks: bytes) -> Outcome:
    return fed(RequestCodec(), *chunks)


def replies(*chunks: bytes) -> Outcome:
    return fed(ReplyCodec(), *chunks)


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b"HELLO\n", Request("HELLO")),
        (b"list\r\n", Request("LIST")),
        (b"LIST sub dir\n", Request("LIST", "sub dir")),
        (b"GET my file.txt\n", Request("GET", "my file.txt")),
        (b"GET  two \n", Request("GET", " two ")),
        (b"GET \n", Request("GET")),
        ("GET résumé.pdf\n".encode(), Request("GET", "résumé.pdf")),
        (b"GET offset=5;length=2\n", Request("GET", "offset=5;length=2")),
        (b"GET;offset=5;length=2 a;b=c\n", Request("GET", "a;b=c", {"offset": "5", "length": "2"})),
        (b"GET %2e%2e/x\n", Request("GET", "%2e%2e/x")),
        (b"X_1;y=~\n", Request("X_1", "", {"y": "~"})),
        (b"GET x HTTP/1.1\n", Request("GET", "x HTTP/1.1")),
    ],
)
def test_request_lines(line: bytes, request_: Request) -> None:
    assert requests(line) == ([request_], None)


@pytest.mark.parametrize(
    "line",
    [
        *[
            b"\n",
            b" \n",
            b"?\n",
            b"GET;x name\n",
            b"GET;x= name\n",
            b"GET;X=1 name\n",
            b"GET;a=1;a=2 name\n",
            b"GET;=1 a\n",
        ],
        *[b"G\xc3\x89T a\n", b"GET \xff\xfe\n", b"1GET a\n", b"A" * 33 + b"\n", b"GET;; a\n", b"\xff\xfb\xff\n"],
    ],
)
def test_a_bad_line_is_a_message_and_the_next_one_counts(line: bytes) -> None:
    messages, fault = requests(line + b"LIST\n")
    assert isinstance(messages[0], Unreadable)
    assert messages[0].reason.isprintable()
    assert (messages[1:], fault) == ([Request("LIST")], None)


@pytest.mark.parametrize(
    "line",
    [
        *[
            b"GET a\0b\n",
            b"GET a\tb\n",
            b"GET a\rb\n",
            b"\x16\x03\x01\x02",
            b"\x1b[A\n",
            b"GET a\x7f\n",
            b"GET a\r\r\n",
        ],
        *[b"GET / HTTP/1.1\r\n", b"POST http://example.com/ HTTP/1.0\n", b"PUT;size=-1 a\n", b"PUT;size=1e3 a\n"],
        *[b"PUT;size a\n", b"PUT;size=1;size=2 a\n", b"PUT;size=99999999999999999999 a\n", b"PUT;size=1;x a\n"],
    ],
)
def test_where_the_next_line_cannot_be_found_is_a_fault(line: bytes) -> None:
    assert requests(b"LIST\n" + line + b"LIST\n") == ([Request("LIST")], MalformedFrame)


def test_the_control_character_is_found_before_the_line_ends() -> None:
    codec = RequestCodec()
    codec.feed(b"\x16\x03\x01")  # a TLS ClientHello holds no line feed for a long time
    assert isinstance(codec.fault, MalformedFrame)


def test_a_request_with_a_body() -> None:
    put = Request("PUT", "a", {"offset": "2"}, 4)
    assert requests(b"PUT;size=4;offset=2 a\nG\0\n\xffLIST\n") == ([put, b"G\0\n\xff", Request("LIST")], None)


@pytest.mark.parametrize(("codec", "head"), [(RequestCodec(), b"PUT;size=9 name\n"), (ReplyCodec(), b"OK 9\n")])
def test_a_body_can_be_taken_past_it(codec: RequestCodec | ReplyCodec, head: bytes) -> None:
    assert codec.body_left == 0
    codec.feed(head + b"ab")
    assert codec.body_left == 7
    codec.skip_body(6)
    assert codec.feed(b"c" + head)[0] == b"c"
    assert codec.body_left == 9
    codec.skip_body(9)
    assert codec.body_left == 0
    assert codec.feed_eof() == []
    assert codec.fault is None


def test_what_is_complete_stays_the_bytes_it_is() -> None:
    stream = b"A\nPUT;size=2 x\n\0\0?\r\n" * 1000
    assert RequestCodec().feed(stream) == [Batch(stream)]
    codec = RequestCodec()
    codec.feed(b"LIST\nGE")
    assert codec.feed(b"T a\nLIST\nPUT;size=3 x\nab") == [
        *[Batch(b"GET a\n"), Batch(b"LIST\n")],
        *[Request("PUT", "x", {}, 3), b"ab"],
    ]
    assert codec.feed(b"cLIST\n") == [b"c", Batch(b"LIST\n")]


def test_a_body_that_is_too_large_is_refused_by_its_announcement() -> None:
    codec = RequestCodec(max_body=10)
    assert codec.feed(b"PUT;size=11 a\nxxxxxxxxxxx") == []
    assert isinstance(codec.fault, FrameTooLarge)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_longest_line_passes_and_one_more_byte_does_not(end: bytes) -> None:
    assert requests(b"GET " + b"a" * (MAX_HEADER - 4) + end) == ([Request("GET", "a" * (MAX_HEADER - 4))], None)
    assert requests(b"GET " + b"a" * (MAX_HEADER - 3) + end) == ([], FrameTooLarge)


def test_an_endless_line_is_not_kept() -> None:
    codec = RequestCodec(max_size=100)
    codec.feed(b"a" * 100)
    assert codec.buffered == 100
    codec.feed(b"a" * 1_000_000)
    assert isinstance(codec.fault, FrameTooLarge)
    assert codec.buffered == 0


@pytest.mark.parametrize("stream", [b"LIST", b"GET a", b"LIST\nG", b"PUT;size=4 a\nxyz", b"\r"])
def test_an_end_inside_is_a_fault(stream: bytes) -> None:
    assert requests(stream)[1] is IncompleteFrame


def test_an_end_between_is_none() -> None:
    assert requests(b"") == ([], None)
    assert requests(b"LIST\n") == ([Request("LIST")], None)


def test_replies() -> None:
    stream = b"OK 5;mtime=1.5;more=1\nhelloOK 0\nERR NOT_FOUND there is no 'x'\nERR NEW_CODE\nOK 1\nx"
    first = Reply(5, {"mtime": "1.5", "more": "1"})
    assert first.more
    expected = [
        first,
        b"hello",
        Reply(0),
        ErrorReply("NOT_FOUND", "there is no 'x'"),
        ErrorReply("NEW_CODE", ""),
        Reply(1),
    ]
    assert replies(stream) == ([*expected, b"x"], None)


@pytest.mark.parametrize(
    "line",
    [
        *[
            b"HTTP/1.1 200 OK\r\n",
            b"\n",
            b"OK\n",
            b"OK x\n",
            b"OK -1\n",
            b"OK 1;x\n",
            b"ERR\n",
            b"ERR bad\n",
            b"ok 1\n",
        ],
        *[b"OK \xd9\xa1\n", b"OK 99999999999999999999\n", b"OK 5 \n", b"ERR X \x1b[2J\n", b"\xff\n"],
    ],
)
def test_what_is_no_reply_is_a_fault(line: bytes) -> None:
    assert replies(b"OK 0\n" + line + b"OK 0\n") == ([Reply(0)], MalformedFrame)


def test_a_download_cut_short_is_a_fault() -> None:
    assert replies(b"OK 10\nhello") == ([Reply(10), b"hello"], IncompleteFrame)


def test_a_body_passes_without_being_held_or_copied() -> None:
    codec = ReplyCodec()
    codec.feed(b"OK 1000000\n")
    chunk = b"x" * 65536
    assert codec.feed(chunk)[0] is chunk
    assert codec.buffered == 0


SAMPLES = [
    b"LIST\r\nGET a b\nPUT;size=3 x\n\0\r\nGET y\nFOO;a=b\n\xff\nbad line\nHELLO\n",
    b"GET " + b"n" * 100 + b"\nLIST\n",
    b"GET a\0\nLIST\n",
    b"LIST\nGET a\r\rb\n",
    b"x" * 70 + b"\r\n",
    b"x" * 64 + b"\r\r\n" + b"y" * 10,
    b"x" * 64 + b"\0" * 5,
    b"x" * 63 + b"\0" * 5,
]


@pytest.mark.parametrize("stream", SAMPLES)
def test_where_the_chunks_are_cut_does_not_matter(stream: bytes) -> None:
    def run(*chunks: bytes) -> Outcome:
        return fed(RequestCodec(max_size=64), *chunks)

    whole = run(stream)
    assert run(*(stream[i : i + 1] for i in range(len(stream)))) == whole
    for cut in range(1, len(stream)):
        assert run(stream[:cut], stream[cut:]) == whole


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"GET a\n", b"LIST\r\n", b"PUT;size=3 a\nxyz", b"\r", b"\n", b";size=2", b"OK 3\nabc", b"ERR A b\n"]
        ),
        st.binary(max_size=12),
    ),
    max_size=8,
).map(b"".join)


@given(stream=LINES, cuts=st.lists(st.integers(0, 100), max_size=6), server=st.booleans())
def test_garbage_never_raises_and_reads_the_same_in_any_chunks(stream: bytes, cuts: list[int], server: bool) -> None:
    def codec() -> RequestCodec | ReplyCodec:
        return RequestCodec(max_size=64) if server else ReplyCodec(max_size=64)

    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert fed(codec(), *pieces) == fed(codec(), stream)


WORDS = st.from_regex(r"[A-Z][A-Z0-9_]{0,31}", fullmatch=True)
FACTS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True).filter(lambda key: key != "size"),
    st.from_regex(r"[!-:<-~]{1,20}", fullmatch=True),
    max_size=3,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\x7f"]), max_size=50)


@given(verb=WORDS, name=TEXT, options=FACTS, body=st.binary(max_size=20))
def test_requests_arrive_as_they_were_sent(verb: str, name: str, options: dict[str, str], body: bytes) -> None:
    request = Request(verb, name, options, len(body))
    client = ReplyCodec()
    stream = client.encode(request) + client.encode(body)
    if name.endswith(" HTTP/1.1"):
        return
    assert requests(stream) == ([request, *([body] if body else [])], None)


@given(facts=FACTS, body=st.binary(max_size=20), code=WORDS, reason=TEXT)
def test_replies_arrive_as_they_were_sent(facts: dict[str, str], body: bytes, code: str, reason: str) -> None:
    server = RequestCodec()
    sent: list[Message] = [Reply(len(body), facts), *([body] if body else []), ErrorReply(code, reason)]
    assert replies(b"".join(map(server.encode, sent))) == (sent, None)


@pytest.mark.parametrize(
    "message",
    [
        *[Request("get", "a"), Request("GET", "a\nb"), Request("GET", "a\0"), Request("GET", "\udcff")],
        *[Request("GET", "a", {"X": "1"}), Request("GET", "a", {"x": "1 2"}), Request("GET", "a", {"size": "1"})],
        *[Request("GET", "a" * MAX_HEADER), Reply(1), ErrorReply("X", "y"), Unreadable("x")],
    ],
)
def test_a_client_refuses_to_send_what_would_not_arrive(message: Message) -> None:
    with pytest.raises(EncodeError):
        ReplyCodec().encode(message)


@pytest.mark.parametrize(
    "message",
    [
        *[
            Request("GET", "a"),
            Reply(1, {"a": ""}),
            Reply(1, {"a": "b;c"}),
            ErrorReply("x", "y"),
            ErrorReply("X", "a\nOK 5"),
        ],
        *[ErrorReply("X", "y" * MAX_HEADER), Unreadable("x")],
    ],
)
def test_a_server_refuses_to_send_what_would_not_arrive(message: Message) -> None:
    with pytest.raises(EncodeError):
        RequestCodec().encode(message)


def test_faults_in_words() -> None:
    assert explain(FrameTooLarge("much")) == ErrorReply("TOO_LARGE", "much")
    assert explain(MalformedFrame("odd")) == ErrorReply("BAD_REQUEST", "odd")


def test_settings_are_checked_and_cloned() -> None:
    with pytest.raises(ConfigError):
        RequestCodec(max_size=10)
    clone = RequestCodec(max_size=100, max_body=7).clone()
    assert (clone.max_size, clone.max_body) == (100, 7)


def test_both_sides_pass_the_verifier() -> None:
    verify_codec(
        RequestCodec(max_size=200),
        [
            (b"LIST\n", [Request("LIST")]),
            (b"GET;a=b my file\r\n", [Request("GET", "my file", {"a": "b"})]),
            (b"PUT;size=3 x\n\0\n\r", [Request("PUT", "x", {}, 3), b"\0\n\r"]),
            (
                b"?\n",
                [cast(Message, Unreadable("a line begins with a command, such as: LIST, or: GET name, or: HELLO"))],
            ),
        ],
        oversize=b"GET " + b"x" * 200,
        garbage=[b"GET \0\n", b"\x16\x03\x01", b"PUT;size=x a\n", b"GET / HTTP/1.1\r\n", b"PUT;size=2000000 a\n"],
        encodes=False,
        normalise=joined,
    )
    verify_codec(
        ReplyCodec(max_size=200),
        [
            (b"OK 0;a=b\n", [Reply(0, {"a": "b"})]),
            (b"ERR NOT_FOUND no such file\n", [ErrorReply("NOT_FOUND", "no such file")]),
            (b"OK 5\r\nhello", [Reply(5), b"hello"]),
        ],
        oversize=b"ERR X " + b"x" * 200,
        garbage=[b"HTTP/1.1 200 OK\r\n", b"OK\n", b"OK 5\nhell", b"\xff\n"],
        encodes=False,
        normalise=joined,
    )
