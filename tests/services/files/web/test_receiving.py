from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path

import pytest

from aionet.events import TransferFinished
from aionet.services.files import Files
from aionet.services.files.web import WebFiles

from .web_tools import request, serve_web, web_client


def partials(root: Path) -> list[str]:
    directory = root / ".aionet-partial"
    return os.listdir(directory) if directory.exists() else []


def digest_field(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.fixture
def web(tmp_path: Path) -> WebFiles:
    return WebFiles(tmp_path, writable=True)


async def test_a_new_file_and_another_version_of_it(web: WebFiles, tmp_path: Path) -> None:
    finished: list[TransferFinished] = []
    async with serve_web(web) as served, web_client(served) as client:
        served.server.events.subscribe(finished.append, TransferFinished)
        made = await client.ask("PUT", "/a%20b", b"one")
        assert (made.status, made.fields["location"]) == (201, "/a%20b")
        assert made.fields["repr-digest"] == digest_field(b"one")
        read = await client.ask("GET", "/a%20b")
        assert (read.body, read.fields["etag"]) == (b"one", made.fields["etag"])
        replaced = await client.ask("PUT", "/a%20b", b"two")
        assert replaced.status == 204
        assert replaced.fields["etag"] != made.fields["etag"]
        client.write(b"PUT /c HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert (await client.answer()).status == 201
        assert (await client.ask("PUT", "/empty", b"")).status == 201
    assert (tmp_path / "a b").read_bytes() == b"two"
    assert (tmp_path / "c").read_bytes() == b"hello world"
    assert (tmp_path / "empty").read_bytes() == b""
    assert partials(tmp_path) == []
    assert [(event.verb, event.name, event.bytes, event.outcome) for event in finished] == [
        ("PUT", "a b", 3, "OK"),
        ("GET", "a b", 3, "OK"),
        ("PUT", "a b", 3, "OK"),
        ("PUT", "c", 11, "OK"),
        ("PUT", "empty", 0, "OK"),
    ]


async def test_a_large_file(web: WebFiles, tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    async with serve_web(web) as served, web_client(served) as client:
        answer = await client.ask("PUT", "/large", content, expect="100-continue", repr_digest=digest_field(content))
        assert answer.status == 201
    assert (tmp_path / "large").read_bytes() == content


async def test_conditions(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        made = await client.ask("PUT", "/a", b"one", if_none_match="*")
        assert made.status == 201
        assert (await client.ask("PUT", "/a", b"x", if_none_match="*")).status == 412
        assert (await client.ask("PUT", "/a", b"x", if_none_match=made.fields["etag"])).status == 412
        assert (await client.ask("PUT", "/a", b"x", if_match='"other"')).status == 412
        assert (await client.ask("PUT", "/new", b"x", if_match="*")).status == 412
        assert (await client.ask("DELETE", "/a", if_match='"other"')).status == 412
        second = await client.ask("PUT", "/a", b"two", if_match=f'"other", {made.fields["etag"]}')
        assert second.status == 204
        assert (await client.ask("DELETE", "/a", if_match=made.fields["etag"])).status == 412
        assert (await client.ask("DELETE", "/a", if_match=second.fields["etag"])).status == 204
    assert os.listdir(tmp_path) in ([], [".aionet-partial"])


async def test_a_digest_that_is_not_that_of_the_body(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        for field in ("repr_digest", "content_digest"):
            wrong = await client.ask("PUT", "/a", b"one", **{field: digest_field(b"two")})
            assert wrong.status == 422
            assert (await client.ask("PUT", "/b", b"one", **{field: digest_field(b"one")})).status in (201, 204)
        assert (await client.ask("PUT", "/a", b"one", repr_digest="md5=:AAAA:")).status == 201  # not known: passed over
        assert (await client.ask("PUT", "/a", b"one", repr_digest="sha-256=:A:")).status == 400
    assert partials(tmp_path) == []


async def test_a_file_in_parts_that_goes_on_after_a_cut(web: WebFiles, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    async with serve_web(web) as served:
        async with web_client(served) as client:
            assert (await client.ask("HEAD", "/a?upload=u1")).fields["upload-offset"] == "0"
            part = await client.ask("PUT", "/a?upload=u1", content[:100_000], content_range="bytes 0-99999/300000")
            assert (part.status, part.fields["upload-offset"]) == (202, "100000")
            assert not (tmp_path / "a").exists()
            head = request("PUT", "/a?upload=u1", b"", content_range="bytes 100000-199999/300000")
            client.write(head.replace(b"Content-Length: 0", b"Content-Length: 100000") + content[100_000:150_000])
        while served.server.connections:  # noqa: ASYNC110 - the server hears of the cut a moment later
            await asyncio.sleep(0.01)
        async with web_client(served) as client:
            offset = int((await client.ask("HEAD", "/a?upload=u1")).fields["upload-offset"])
            assert offset == 150_000  # all that came
            behind = await client.ask("PUT", "/a?upload=u1", b"x", content_range="bytes 299999-299999/300000")
            assert behind.status == 409
            range_ = f"bytes {offset}-299999/300000"
            last = await client.ask(
                "PUT", "/a?upload=u1", content[offset:], content_range=range_, repr_digest=digest_field(content)
            )
            assert last.status == 201
    assert (tmp_path / "a").read_bytes() == content
    assert partials(tmp_path) == []


@pytest.mark.parametrize(
    ("target", "content_range", "status"),
    [
        ("/a", "bytes 0-2/6", 400),  # no upload that it could belong to
        ("/a?upload=../x", "bytes 0-2/6", 400),
        ("/a?upload=", "bytes 0-2/6", 400),
        ("/a?upload=u", "bytes 0-3/6", 400),  # not the length of the body
        ("/a?upload=u", "bytes 2-0/6", 400),
        ("/a?upload=u", "bytes 4-6/6", 400),
        ("/a?upload=u", "bytes 0-2/*", 400),
        ("/a?upload=u", "bytes */6", 400),
        ("/a?upload=u", "0-2/6", 400),
        ("/a?upload=u", "bytes -1-1/6", 400),
        ("/a?upload=u", "bytes 3-5/6", 409),  # what comes before is not there
        ("/a?upload=u", "bytes 0-2/99999999999999", 413),
    ],
)
async def test_parts_that_fit_nowhere(
    web: WebFiles, tmp_path: Path, target: str, content_range: str, status: int
) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        assert (await client.ask("PUT", target, b"abc", content_range=content_range)).status == status
        assert (await client.ask("PUT", "/b", b"abc")).status == 201  # the connection goes on
    assert not (tmp_path / "a").exists()


async def test_chunks_that_are_not_as_many_as_the_range_says(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        client.write(
            b"PUT /a?upload=u HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Range: bytes 0-2/6\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )
        assert (await client.answer()).status == 400


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PUT", "/", 400),
        ("PUT", "/dir/", 400),
        ("PUT", "/../x", 403),
        ("PUT", "/.hidden", 403),
        ("PUT", "/a//b", 403),
        ("PUT", "/.aionet-partial/x", 403),
        ("PUT", "/nowhere/x", 404),
        ("PUT", "/dir", 403),
        ("DELETE", "/nothing", 404),
        ("DELETE", "/", 403),
        ("DELETE", "/full/", 409),
        ("MKCOL", "/dir/", 409),
        ("MKCOL", "/nowhere/x/", 404),
        ("MKCOL", "/../x/", 403),
        ("MKCOL", "/", 403),
    ],
)
async def test_changes_that_cannot_be(web: WebFiles, tmp_path: Path, method: str, target: str, status: int) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"x")
    async with serve_web(web) as served, web_client(served) as client:
        answer = await client.ask(method, target, b"x" if method == "PUT" else None)
        assert answer.status == status, answer
        assert answer.body
    assert sorted(os.listdir(tmp_path)) in (["dir", "full"], [".aionet-partial", "dir", "full"])


async def test_directories_are_made_and_removed(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        made = await client.ask("MKCOL", "/new%20one/")
        assert (made.status, made.fields["location"]) == (201, "/new%20one/")
        assert (await client.ask("PUT", "/new%20one/x", b"x")).status == 201
        assert (await client.ask("DELETE", "/new%20one/x")).status == 204
        assert (await client.ask("DELETE", "/new%20one/")).status == 204
    assert not (tmp_path / "new one").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://evil.example.com"},
        {"origin": "null"},
    ],
)
async def test_a_page_of_another_site_changes_nothing(web: WebFiles, tmp_path: Path, fields: dict[str, str]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    async with serve_web(web) as served, web_client(served) as client:
        for method, target in (("PUT", "/b"), ("DELETE", "/a"), ("MKCOL", "/c/")):
            assert (await client.ask(method, target, b"x", **fields)).status == 403
    assert os.listdir(tmp_path) == ["a"]


async def test_limits_of_the_store_are_those_of_the_file_service(tmp_path: Path) -> None:
    store = Files(tmp_path, writable=True, max_file=1000, quota_bytes=2500, name_pattern=r"[a-z]+").store
    async with serve_web(WebFiles(store)) as served, web_client(served) as client:
        assert (await client.ask("PUT", "/a", bytes(1001))).status == 413
        assert (await client.ask("PUT", "/a1", b"x")).status == 403
        for name in "abc":
            answer = await client.ask("PUT", f"/{name}", bytes(1000))
        assert answer.status == 507
        client.write(b"PUT /d HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n")
        client.write(bytes(2048) + b"\r\n0\r\n\r\n")
        assert (await client.answer()).status == 413
        assert (await client.ask("GET", "/a")).body == bytes(1000)
    assert sorted(os.listdir(tmp_path)) == [".aionet-partial", "a", "b"]


async def test_a_client_that_waits_is_refused_before_it_sends(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        client.write(request("PUT", "/nowhere/x", b"", expect="100-continue").replace(b"Length: 0", b"Length: 5"))
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (404, "close")
        assert await client.rest() == b""


async def test_a_refused_part_leaves_nothing_that_would_count(tmp_path: Path) -> None:
    web = WebFiles(tmp_path, writable=True, max_file=100, quota_files=1)
    async with serve_web(web) as served, web_client(served) as client:
        for number, field in enumerate(["bytes 0-9/101", "bytes 10-19/100"]):
            refused = await client.ask("PUT", f"/a?upload=u{number}", b"x" * 10, content_range=field)
            assert refused.status == (413, 409)[number]
        assert partials(tmp_path) == []
        assert (await client.ask("PUT", "/a", b"x")).status == 201


async def test_a_body_cut_at_every_byte_leaves_no_file(web: WebFiles, tmp_path: Path) -> None:
    whole = request("PUT", "/a", b"12345")
    async with serve_web(web) as served:
        for cut in range(len(whole)):
            async with web_client(served) as client:
                client.write(whole[:cut])
                client.writer.write_eof()
                assert not cut or b"201" not in await client.rest()
        assert not (tmp_path / "a").exists()
        assert served.failures == []
        assert partials(tmp_path) == []
        async with web_client(served) as client:
            assert (await client.ask("PUT", "/a", b"12345")).status == 201


async def test_a_download_cut_at_every_byte_harms_nobody(web: WebFiles, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    async with serve_web(web) as served:
        async with web_client(served) as client:
            client.write(request("GET", "/a", connection="close"))
            whole = len(await client.rest()) - len("Connection: close\r\n")
        for cut in range(0, whole, 7):
            async with web_client(served) as client:
                client.write(request("GET", "/a"))
                await client.reader.readexactly(cut)
                client.writer.transport.abort()
        async with web_client(served) as client:
            assert (await client.ask("GET", "/a")).body == b"12345"
        assert served.failures == []


async def test_a_put_without_a_length_leaves_what_is_there(web: WebFiles, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"kept")
    async with serve_web(web) as served, web_client(served) as client:
        assert (await client.ask("PUT", "/a")).status == 411
        client.write(b"PUT /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        assert (await client.answer()).status == 400
    assert (tmp_path / "a").read_bytes() == b"kept"


async def test_a_digest_that_is_none_is_told_before_the_body(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        for promise in ("sha-256=:####:", "sha-256=abc", "sha-256=:YQ:"):
            assert (await client.ask("PUT", "/a", b"one", repr_digest=promise)).status == 400
        assert (await client.ask("PUT", "/a", b"one", repr_digest="sha-512=:YQ==:")).status == 201
    assert partials(tmp_path) == []


async def test_a_part_that_is_longer_than_its_range_is_not_stored(web: WebFiles, tmp_path: Path) -> None:
    async with serve_web(web) as served, web_client(served) as client:
        client.write(
            b"PUT /a?upload=u HTTP/1.1\r\nHost: localhost\r\nContent-Range: bytes 0-2/9\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        assert (await client.answer()).status == 400
        assert (await client.ask("HEAD", "/a?upload=u")).fields["upload-offset"] == "0"


async def test_an_upload_is_given_up_and_the_file_of_its_name_stays(web: WebFiles, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"kept")
    async with serve_web(web) as served, web_client(served) as client:
        part = await client.ask("PUT", "/a?upload=u", b"one", content_range="bytes 0-2/9")
        assert part.status == 202
        for _ in range(2):
            assert (await client.ask("DELETE", "/a?upload=u")).status == 204
    assert (tmp_path / "a").read_bytes() == b"kept"
    assert partials(tmp_path) == []


async def test_a_directory_is_charged_to_who_makes_it(tmp_path: Path) -> None:
    tokens = {"anna": "a" * 16, "otto": "o" * 16}
    web = WebFiles(tmp_path, writable=True, user_quota_files=1, token=tokens)
    async with serve_web(web) as served, web_client(served) as client:
        anna, otto = (f"Bearer {token}" for token in tokens.values())
        assert (await client.ask("MKCOL", "/a/", authorization=anna)).status == 201
        assert (await client.ask("MKCOL", "/b/", authorization=anna)).status == 507
        assert (await client.ask("MKCOL", "/b/", authorization=otto)).status == 201
