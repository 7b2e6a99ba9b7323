from __future__ import annotations

import asyncio
import base64
import os
import ssl
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from aionet.errors import ConfigError
from aionet.events import CloseReason, TransferFinished
from aionet.services.files.memory import SmallFile
from aionet.services.files.paths import Directory
from aionet.services.files.rules import Rules
from aionet.services.files.store import Store
from aionet.services.files.web import WebFiles
from aionet.testing import verify_matcher

from ....conftest import TLSFiles
from ..conftest import Tree
from .web_tools import WebClient, request, serve_web, web_client

TOKEN = "a-token-of-enough-length"


async def test_a_file_with_all_that_is_said_of_it(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        answer = await client.ask("GET", "/hello.txt")
        assert (answer.status, answer.body) == (200, b"hello world")
        assert answer.fields["content-type"] == "text/plain; charset=utf-8"
        assert answer.fields["accept-ranges"] == "bytes"
        assert answer.fields["x-content-type-options"] == "nosniff"
        assert answer.fields["content-security-policy"].startswith("sandbox;")
        modified = parsedate_to_datetime(answer.fields["last-modified"]).timestamp()
        assert modified == int((tree.root / "hello.txt").stat().st_mtime)
        assert answer.fields["etag"].startswith('"')
        head = await client.ask("HEAD", "/hello.txt")
        assert (head.status, head.body) == (200, b"")
        assert head.fields | {"date": ""} == answer.fields | {"date": ""}


async def test_names_and_links(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        for target, body in (
            ("/with%20space.txt", b"space"),
            ("/back%5Cslash", b"backslash"),
            ("/sub/deep/leaf", b"leaf"),
            ("/link-inside", b"hello world"),
            ("/link-dir/inner.txt", b"inner"),
            ("/empty", b""),
            (f"{served.url}/hello.txt", b"hello world"),
        ):
            answer = await client.ask("GET", target)
            assert (answer.status, answer.body) == (200, body), target
        for target, status in (
            ("/nothing", 404),
            ("/hello.txt/", 404),
            ("/hello.txt/x", 404),
            ("/sub/../hello.txt", 403),
            ("/.hidden", 403),
            ("/link-outside", 403),
            ("/link-absolute", 403),
            ("/link-proc", 403),
            ("/fifo", 403),
            ("/socket", 403),
            ("/%2e%2e/outside/secret", 403),
            ("/..%2foutside/secret", 400),
            ("/%00", 400),
            ("/%ff", 400),
        ):
            answer = await client.ask("GET", target)
            assert answer.status == status, target
            assert b"secret" not in answer.body.replace(b"'../outside/secret'", b"")


async def test_without_openat2_a_thread_serves_the_same(tree: Tree) -> None:
    with Directory(tree.root, follow_links=False) as directory:
        assert directory.open_cached("hello.txt") is None
        async with serve_web(WebFiles(Store(directory, Rules()))) as served, web_client(served) as client:
            assert (await client.ask("GET", "/hello.txt")).body == b"hello world"
            assert (await client.ask("GET", "/sub")).status == 302
            assert (await client.ask("GET", "/link-inside")).status == 403


async def test_what_is_answered_at_once_is_answered_the_same(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        "/hello.txt",
        "/sub/inner.txt",
        "/empty",
        "/link-inside",
        "/%68ello.txt",
        "/nothing",
        "/sub",
        "/link-outside",
    ]
    (tree.root / "empty").touch()
    finished: list[tuple[object, ...]] = []
    at_once: list[int] = []

    def note(event: TransferFinished) -> None:
        finished.append((event.verb, event.name, event.bytes, event.user, event.outcome))

    read_cached = Directory.read_cached

    def read(directory: Directory, name: str, limit: int) -> SmallFile | None:
        found = read_cached(directory, name, limit)
        at_once.append(found is not None)
        return found

    async def ask(client: WebClient) -> list[tuple[int, dict[str, str], bytes]]:
        answers = [await client.ask("GET", name) for name in names]
        return [(each.status, {**each.fields, "date": ""}, each.body) for each in answers]

    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        served.server.events.subscribe(note, TransferFinished)
        by_thread_or_not = await ask(client)
        monkeypatch.setattr(Directory, "read_cached", read)
        assert await ask(client) == by_thread_or_not
        monkeypatch.setattr(Directory, "read_cached", lambda directory, name, limit: None)
        assert await ask(client) == by_thread_or_not
    assert finished == finished[: len(names)] * 3
    with Directory(tree.root) as directory:
        possible = directory.open_cached("hello.txt") is not None
    assert any(at_once) == possible


async def test_hidden_files_if_that_is_wanted(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root, hidden=True)) as served, web_client(served) as client:
        assert (await client.ask("GET", "/.hidden")).body == b"hidden"


async def test_ranges_and_conditions(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        part = await client.ask("GET", "/hello.txt", range="bytes=6-8")
        assert (part.status, part.body, part.fields["content-range"]) == (206, b"wor", "bytes 6-8/11")
        etag = part.fields["etag"]
        same = await client.ask("GET", "/hello.txt", if_none_match=etag)
        assert (same.status, same.body, same.fields["etag"]) == (304, b"", etag)
        assert "content-length" not in same.fields
        outside = await client.ask("GET", "/hello.txt", range="bytes=11-")
        assert (outside.status, outside.fields["content-range"]) == (416, "bytes */11")
        assert (await client.ask("GET", "/hello.txt", range="bytes=0-1", if_range=etag)).status == 206
        assert (await client.ask("GET", "/hello.txt", range="bytes=0-1", if_range='"x"')).body == b"hello world"
        assert (await client.ask("GET", "/hello.txt", if_match='"x"')).status == 412
        assert (await client.ask("HEAD", "/hello.txt", range="bytes=0-1")).fields["content-length"] == "11"
        (tree.root / "hello.txt").write_bytes(b"HELLO WORLD")
        assert (await client.ask("GET", "/hello.txt", if_none_match=etag)).body == b"HELLO WORLD"


async def test_large_files_and_parts_of_them(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "large").write_bytes(content)
    async with serve_web(WebFiles(tmp_path)) as served, web_client(served) as client:
        assert (await client.ask("GET", "/large")).body == content
        for first, last in ((0, 99_999), (1, 2_000_000), (2_900_000, 2_999_999), (65_536, 131_072), (5, 65_540)):
            part = await client.ask("GET", "/large", range=f"bytes={first}-{last}")
            assert part.body == content[first : last + 1]
        assert (await client.ask("HEAD", "/large")).fields["content-length"] == "3000000"
        assert (await client.ask("GET", "/large", range="bytes=-70000")).body == content[-70_000:]


async def test_a_large_file_that_changes_meanwhile_is_never_taken_for_whole(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    finished: list[TransferFinished] = []
    async with serve_web(WebFiles(tmp_path)) as served, web_client(served) as client:
        served.server.events.subscribe(finished.append, TransferFinished)
        client.write(request("GET", "/large"))
        received = len(await client.reader.readuntil(b"\r\n\r\n")) * 0
        with large.open("r+b") as file:
            file.write(b"changed")
        try:
            while block := await client.reader.read(1 << 20):
                received += len(block)
        except ConnectionError:
            pass
        assert received < 64 * 1024 * 1024
    assert [event.outcome for event in finished] == ["CHANGED"]


async def test_directories(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        moved = await client.ask("GET", "/sub?sort=size")
        assert (moved.status, moved.fields["location"]) == (302, "/sub/?sort=size")
        page = await client.ask("GET", "/sub/")
        assert page.status == 200
        assert page.fields["content-type"] == "text/html; charset=utf-8"
        assert b"inner.txt" in page.body
        listing = await client.ask("GET", "/sub/?json")
        assert listing.fields["content-type"] == "application/json"
        assert b'"inner.txt"' in listing.body
        assert (await client.ask("HEAD", "/")).body == b""
        assert (await client.ask("GET", "/nothing/")).status == 404
        assert (await client.ask("GET", "/?sort=colour")).status == 400
        error = await client.ask("GET", "/nothing", accept="text/html,*/*")
        assert error.fields["content-type"] == "text/html; charset=utf-8"


async def test_saving_instead_of_showing(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        answer = await client.ask("GET", "/hello.txt?download")
        assert answer.fields["content-disposition"] == 'attachment; filename="hello.txt"'


async def test_methods_and_versions(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served:
        async with web_client(served) as client:
            for method in ("POST", "PUT", "DELETE", "MKCOL", "PATCH", "TRACE", "PROPFIND"):
                answer = await client.ask(method, "/hello.txt", b"x")
                assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD, OPTIONS"), method
            assert (await client.ask("OPTIONS", "*")).status == 204
            assert (await client.ask("OPTIONS", "/hello.txt")).fields["allow"] == "GET, HEAD, OPTIONS"
            client.write(b"GET /hello.txt HTTP/1.1\r\n\r\n")
            assert (await client.answer()).status == 400  # no Host
            client.write(b"GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.answer()).fields["connection"] == "keep-alive"
            client.write(b"GET /hello.txt HTTP/1.0\r\n\r\n")
            assert (await client.answer()).fields["connection"] == "close"
            assert await client.rest() == b""
        async with web_client(served) as client:
            client.write(b"FROB / HTTP/1.1\r\n\r\n")
            assert (await client.answer()).status == 501
            assert await client.rest() == b""


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).write_bytes(b"%d" % number * number)
    async with serve_web(WebFiles(tmp_path)) as served, web_client(served) as client:
        client.write(b"".join(request("GET", f"/{number}") for number in range(300)))
        for number in range(300):
            assert (await client.answer()).body == b"%d" % number * number
        client.write(request("GET", "/1") + b"\0garbage")
        assert (await client.answer()).body == b"1"
        assert (await client.answer()).status in (400, 501)
        assert await client.rest() == b""


async def test_only_names_that_are_known_are_answered_to(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root, hosts=["files.example.com"])) as served, web_client(served) as client:
        for host, status in (
            ("localhost:80", 200),
            ("[::1]", 200),
            ("files.example.com", 200),
            ("evil.example.com", 421),
            ("", 421),
        ):
            assert (await client.ask("GET", "/hello.txt", host=host)).status == status, host
        assert (await client.ask("GET", "http://evil.example.com/hello.txt")).status == 421


async def test_a_token(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root, token={"ann": TOKEN})) as served, web_client(served) as client:
        served.server.events.subscribe((finished := list[TransferFinished]()).append, TransferFinished)
        refused = await client.ask("GET", "/hello.txt")
        assert refused.status == 401
        assert "Basic" in refused.fields["www-authenticate"] or "Bearer" in refused.fields["www-authenticate"]
        basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
        for right in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"Basic {basic}"):
            assert (await client.ask("GET", "/hello.txt", authorization=right)).status == 200
        for wrong in ("Basic !", "Basic /w==", f"Digest {TOKEN}", "Bearer"):
            assert (await client.ask("GET", "/hello.txt", authorization=wrong)).status == 401
        assert (await client.ask("GET", "/hello.txt", authorization="Bearer wrong")).status == 401
    assert [event.user for event in finished if event.outcome == "OK"] == ["ann"] * 3
    assert {event.outcome for event in finished} == {"OK", "UNAUTHORIZED"}


async def test_what_is_reported(tree: Tree) -> None:
    finished: list[TransferFinished] = []
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        served.server.events.subscribe(finished.append, TransferFinished)
        for method, target in (("GET", "/hello.txt"), ("GET", "/nothing"), ("HEAD", "/hello.txt"), ("GET", "/")):
            await client.ask(method, target)
    assert [(event.verb, event.name, event.bytes, event.outcome) for event in finished] == [
        ("GET", "hello.txt", 11, "OK"),
        ("GET", "nothing", 0, "NOT_FOUND"),
    ]


async def test_a_small_body_that_nobody_wants_is_read_past_and_a_large_one_closes(tree: Tree) -> None:
    async with serve_web(WebFiles(tree.root)) as served, web_client(served) as client:
        assert (await client.ask("GET", "/hello.txt", b"x" * 100_000)).body == b"hello world"
        assert (await client.ask("GET", "/hello.txt")).body == b"hello world"
        client.write(b"PUT /x HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 99999999\r\n\r\nbegun")
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (405, "close")
        assert await client.rest() == b""


async def test_a_download_outlives_the_beginning_of_a_drain(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    async with serve_web(WebFiles(tmp_path)) as served, web_client(served) as client:
        client.write(request("GET", "/large"))
        await client.reader.readuntil(b"\r\n\r\n")
        draining = asyncio.ensure_future(served.server.drain())
        assert len(await client.rest()) == 32 * 1024 * 1024
        assert (await draining).cut == ()


async def test_a_head_that_never_ends_meets_its_deadline(tree: Tree) -> None:
    handler = WebFiles(tree.root)
    handler.timeouts = type(handler.timeouts)(first_message=0.3, message=0.3)
    async with serve_web(handler) as served, web_client(served) as client:
        for byte in b"GET /hello.txt HTTP/1.1\r\nX: y":
            client.write(bytes([byte]))
            await asyncio.sleep(0.001)
        assert await client.rest() == b""
        assert [event.reason for event in served.closed] == [CloseReason.MESSAGE_TIMEOUT]


def test_how_its_clients_begin() -> None:
    verify_matcher(
        WebFiles.match, [request("GET", "/"), request("PUT", "/a", b"x")], [b"HELLO\n", b"\x16\x03\x01", b"/who\n"]
    )


def test_what_cannot_be_served(tmp_path: Path) -> None:
    for arguments in (
        {"directory": tmp_path / "nothing"},
        {"directory": tmp_path, "token": "short"},
        {"directory": tmp_path, "max_file": 0},
        {"directory": Store(Directory(tmp_path), Rules()), "writable": True},
        {"directory": Store(Directory(tmp_path), Rules()), "hidden": True},
    ):
        with pytest.raises(ConfigError):
            WebFiles(**arguments)


async def test_under_tls_a_certificate_names_the_user_and_any_host_will_do(tree: Tree, tls_files: TLSFiles) -> None:
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}&client_ca={tls_files.ca}"
    finished: list[TransferFinished] = []
    (tree.root / "large").write_bytes(bytes(300_000))
    async with serve_web(WebFiles(tree.root, token=TOKEN), endpoint) as served:
        served.server.events.subscribe(finished.append, TransferFinished)
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        context.load_cert_chain(tls_files.client_cert, tls_files.client_key)
        async with web_client(served, ssl=context) as client:
            for target, size in (("/hello.txt", 11), ("/large", 300_000)):
                answer = await client.ask("GET", target, host="files.example.com")
                assert (answer.status, len(answer.body)) == (200, size)
    assert [event.user for event in finished] == ["client.example.com"] * 2
