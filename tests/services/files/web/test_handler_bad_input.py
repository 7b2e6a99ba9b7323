"""What hostile clients send: names, heads, ranges. Nothing outside of the directory, no failure, the server goes on."""

from __future__ import annotations

import itertools
import os
import random
from urllib.parse import quote

import pytest

from aionet.services.files.web import WebFiles

from ..conftest import Tree
from .web_tools import Served, request, serve_web, web_client

SECRET = b"5ecret"
SLASHES = ["/", "%2f", "%2F", "%5c", "\\", "%252f", "%c0%af", "%e2%88%95", "%ef%bc%8f", "//", "/./", "/%2e/"]
DOTS = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "...",
    "%c0%ae%c0%ae",
    "%u002e%u002e",
    "%e2%80%a5",
    "..;",
    "..%00",
]
WHERE = ["outside/secret", "secret", "etc/passwd", "../outside/secret"]
CLIMBS = [
    f"/{lead}{dots}{slash}{where}"
    for lead, dots, slash, where in itertools.product(["", "sub/", "%2f"], DOTS, SLASHES, WHERE)
]
NAMES = ["\u202etxt.olleh", "\u0085", "\ufeffhello.txt", "hello\u2024txt", "\uff48ello.txt", "CON", "NUL", "aux"]
LINKS = "outside out-dir/secret absolute proc loop nowhere".split()
ODD = [
    *(f"/hello.txt%{byte:02x}" for byte in [*range(32), 127, 128, 255]),
    *(f"/%{byte:02x}hello.txt" for byte in [*range(32), 47, 127, 128, 255]),
    *(f"/{quote(name)}" for name in NAMES),
    *(f"/{'a' * length}" for length in (255, 256, 4095, 4096, 12_000)),
    f"/{'a/' * 2048}a",
    f"/{'%61' * 4096}",
    *(f"/link-{name}" for name in LINKS),
    *("/~root/.ssh/id_rsa", "/.git/config", "/.env", "/.aionet-partial/", "/.AIONET-PARTIAL/x", "/%2eaionet-partial/x"),
    *("/fifo", "/socket", "/file:///etc/passwd", "/C:%5cWindows%5cwin.ini", "/%5c%5chost%5cshare", "/;/etc/passwd"),
    *("/?../../outside/secret", "/?page=../..", "/hello.txt?upload=../../outside/secret", "/hello.txt::$DATA"),
    "/hello.txt#/../../outside/secret",
]


def test_there_are_enough_of_them() -> None:
    assert len(set(CLIMBS + ODD)) >= 1500


async def outcome(served: Served, targets: list[str], method: str, body: bytes | None) -> list[int]:
    """Ask for each; the statuses. A fault of the grammar closes: the next is asked on another connection."""
    statuses, rest = [], list(targets)
    while rest:
        async with web_client(served) as client:
            while rest:
                answer = await client.ask(method, rest.pop(), body)
                statuses.append(answer.status)
                assert SECRET not in answer.body, answer
                assert b"root:" not in answer.body
                if answer.fields.get("connection") == "close":
                    break
    return statuses


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", b"gotcha"), ("DELETE", None), ("MKCOL", None)])
async def test_hostile_names(tree: Tree, method: str, body: bytes | None) -> None:
    (tree.outside / "secret").write_bytes(SECRET)
    hostile = CLIMBS + [name for name in ODD if method == "GET" or ("/?" not in name and "hello.txt" not in name)]
    async with serve_web(WebFiles(tree.root, writable=True)) as served:
        statuses = await outcome(served, hostile, method, body)
        assert served.failures == []
        async with web_client(served) as client:
            assert (await client.ask("GET", "/hello.txt")).body == b"hello world"
    assert len(statuses) == len(hostile)
    assert set(statuses) <= {200, 201, 204, 400, 403, 404, 405, 409, 414, 501}
    assert (tree.outside / "secret").read_bytes() == SECRET
    assert os.listdir(tree.outside) == ["secret"]
    assert sorted(os.listdir(tree.root.parent)) == ["outside", "served"]


async def test_two_thousand_hostile_heads(tree: Tree) -> None:
    chance = random.Random(1)
    seeds = [
        request("GET", "/hello.txt", range="bytes=0-3", if_range='"x"', accept="text/html"),
        request("PUT", "/new", b"12345", content_range="bytes 0-4/5", expect="100-continue"),
        request("HEAD", "/sub/?sort=size&page=1", authorization="Basic eDp5", host="[::1]:80"),
        b"PUT /c HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ]
    async with serve_web(WebFiles(tree.root, writable=True)) as served:
        for _ in range(2000):
            head = bytearray(chance.choice(seeds))
            for _ in range(chance.randrange(1, 8)):
                place = chance.randrange(len(head))
                head[place : place + chance.randrange(3)] = bytes(chance.choices(b'\r\n\0 :;,=-/%\x7f\xff0A9"', k=2))
            async with web_client(served) as client:
                client.write(bytes(head))
                client.writer.write_eof()
                answer = await client.rest()
                assert not answer or answer.startswith(b"HTTP/1.1 ")
                assert not answer.startswith(b"HTTP/1.1 500")
        assert served.failures == []
        async with web_client(served) as client:
            assert (await client.ask("GET", "/with%20space.txt")).body == b"space"


async def test_a_body_longer_than_was_said_is_no_request(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root, writable=True)) as served, web_client(served) as client:
        client.write(request("PUT", "/new", b"12345") + b"678")
        assert (await client.answer()).status == 201
        assert (await client.answer()).status == 501
        assert await client.rest() == b""
    assert (tree.root / "new").read_bytes() == b"12345"


async def test_a_request_hidden_in_a_body_is_not_answered(tree: Tree) -> None:
    hidden = request("DELETE", "/hello.txt")
    async with serve_web(WebFiles(tree.root, writable=True)) as served, web_client(served) as client:
        assert (await client.ask("GET", "/with%20space.txt", hidden)).body == b"space"
        assert (await client.ask("PUT", "/new", hidden)).status == 201
        client.write(
            b"PUT /new HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n" + hidden
        )
        assert (await client.answer()).status == 400
        assert await client.rest() == b""
    assert (tree.root / "hello.txt").exists()


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_request_in_pieces(tree: Tree, size: int) -> None:
    wire = request("GET", "/hello.txt") + request("PUT", "/new", b"12345") + request("GET", "/new")
    async with serve_web(WebFiles(tree.root, writable=True)) as served, web_client(served) as client:
        for start in range(0, len(wire), size):
            client.write(wire[start : start + size])
            await client.writer.drain()
        assert [(await client.answer()).status for _ in range(3)] == [200, 201, 200]
