"""One exchange against servers that do not end, do not answer, or do not speak HTTP."""

from __future__ import annotations

import asyncio
import time

import h11
import pytest

from aionet import Connection, connect
from aionet.client.exchange import MAX_HEAD, MAX_INFORMATIONAL, Exchange, FetchError, FetchTimeout
from aionet.errors import AionetError, FrameTooLarge, IncompleteFrame, MalformedFrame

from .peers import Script, answer, forever, http_peer, silent

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = h11.Request(method="GET", target="/", headers=[("Host", "localhost"), ("Connection", "close")])


async def talk(script: Script, *, patience: float = 5.0, max_size: int = 100) -> tuple[h11.Response, bytes]:
    chunks: list[bytes] = []
    async with http_peer(script) as peer:
        conn: Connection[bytes] = await connect(f"tcp://127.0.0.1:{peer.port}")
        try:
            exchange = Exchange(conn, patience=patience, max_size=max_size)
            head = await exchange.ask(REQUEST)
            await exchange.read(chunks.append)
        finally:
            conn.abort()
    assert exchange.size == sum(map(len, chunks))
    assert 0 < exchange.sent_at <= exchange.first_byte_at <= time.perf_counter()
    return head, b"".join(chunks)


@pytest.mark.parametrize(
    ("script", "content"),
    [
        (answer(b"abc"), b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: v\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(b"abc"), b"abc"),
        (answer(b"", status=b"204 No Content"), b""),
        (answer(b"x" * 100), b"x" * 100),
    ],
)
async def test_answers(script: bytes, content: bytes) -> None:
    _, got = await talk(script)
    assert got == content


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        (b"", IncompleteFrame, "without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", IncompleteFrame, "inside its answer"),
        (b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n", MalformedFrame, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", IncompleteFrame, "inside its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", IncompleteFrame, "inside its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nab", MalformedFrame, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", MalformedFrame, "not HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INFORMATIONAL + 1), MalformedFrame, "1xx"),
        (answer(b"x" * 101), FrameTooLarge, "more than 100 bytes"),
        (forever(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000), FrameTooLarge, str(MAX_HEAD)),
        (forever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100), FrameTooLarge, str(MAX_HEAD)),
        (forever(CHUNKED, b"1\r\nx\r\n"), FrameTooLarge, "than 100"),
        (
            forever(CHUNKED + b"1;", b"x" * 1000),
            FrameTooLarge,
            str(MAX_HEAD),
        ),
        (
            forever(CHUNKED + b"0\r\n", b"T: x\r\n" * 100),
            FrameTooLarge,
            "no end",
        ),
        (forever(b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 50), FrameTooLarge, "more than 100 bytes"),
    ],
)
async def test_what_is_wrong_or_endless(script: Script, error: type[AionetError], said: str) -> None:
    with pytest.raises(error, match=said):
        await talk(script)


@pytest.mark.parametrize(
    ("first", "said"),
    [(b"", "did not answer"), (b"HTTP/1.1 200 OK\r\n", "went silent"), (answer(b"abc")[:-1], "went silent")],
)
async def test_silence(first: bytes, said: str) -> None:
    with pytest.raises(FetchTimeout, match=said):
        await talk(silent(first), patience=0.05)


async def test_a_reset_connection() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"abc")[:-1])
        await writer.drain()
        writer.transport.abort()

    with pytest.raises((FetchError, IncompleteFrame)):
        await talk(reset)
