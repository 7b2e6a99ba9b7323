"""The clients that everybody has, as they are: curl, wget, aria2c."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from aionet.services.files.web import WebFiles

from ....tools import require
from .web_tools import serve_web, web_client

SIZE = 3_000_000
TOKEN = "a-token-of-enough-length"


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    (tmp_path / "served").mkdir()
    (tmp_path / "got").mkdir()
    content = os.urandom(SIZE)
    (tmp_path / "served" / "big file").write_bytes(content)
    return content


async def run(program: str, *arguments: str) -> str:
    """Run a program; its output. It must succeed."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        require(program), *arguments, env=clean, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode(errors="replace")


async def test_curl_goes_on_where_it_stopped(tmp_path: Path, content: bytes) -> None:
    got = tmp_path / "got" / "file"
    got.write_bytes(content[:1_000_001])
    async with serve_web(WebFiles(tmp_path / "served")) as served:
        await run("curl", "-sSf", "-C", "-", "-o", str(got), f"{served.url}/big%20file")
        assert got.read_bytes() == content
        moved = sum(event.stats.bytes_sent for event in served.closed)
        assert not moved or SIZE - 1_000_001 <= moved < SIZE


async def test_curl_takes_two_over_one_connection_and_follows_to_a_directory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "served" / "sub").mkdir()
    async with serve_web(WebFiles(tmp_path / "served")) as served:
        both = [f"{served.url}/big%20file", f"{served.url}/sub"]
        format_ = "%{http_code} %{num_connects} %{size_download}\n"
        output = await run("curl", "-sSfL", "-w", format_, "-o", os.devnull, "-o", os.devnull, *both)
        assert output.splitlines()[0] == f"200 1 {SIZE}"
        assert output.splitlines()[1].startswith("200 0 ")


async def test_curl_sends_a_file_in_one_and_in_two_parts(tmp_path: Path, content: bytes) -> None:
    source = str(tmp_path / "served" / "big file")
    (tmp_path / "taken").mkdir()
    async with serve_web(WebFiles(tmp_path / "taken", writable=True, token=TOKEN)) as served:
        for number, credentials in enumerate((["-H", f"Authorization: Bearer {TOKEN}"], ["-u", f"anyone:{TOKEN}"])):
            await run("curl", "-sSf", *credentials, "-T", source, f"{served.url}/copy{number}")
        async with web_client(served) as client:
            answer = await client.ask(
                "PUT",
                "/parts?upload=u",
                content[:1_000_000],
                content_range=f"bytes 0-999999/{SIZE}",
                authorization=f"Bearer {TOKEN}",
            )
            assert answer.fields["upload-offset"] == "1000000"
        url = f"{served.url}/parts?upload=u"
        await run("curl", "-sSf", "-u", f"x:{TOKEN}", "-C", "1000000", "-T", source, url)
    assert {path.name for path in (tmp_path / "taken").iterdir()} == {"copy0", "copy1", "parts", ".aionet-partial"}
    for name in ("copy0", "copy1", "parts"):
        assert (tmp_path / "taken" / name).read_bytes() == content


async def test_wget_goes_on_where_it_stopped(tmp_path: Path, content: bytes) -> None:
    got = tmp_path / "got" / "big file"
    got.write_bytes(content[:2_000_000])
    async with serve_web(WebFiles(tmp_path / "served")) as served:
        await run("wget", "-q", "-c", "-P", str(tmp_path / "got"), f"{served.url}/big%20file")
        assert got.read_bytes() == content
        await run("wget", "-q", "-c", "-P", str(tmp_path / "got"), f"{served.url}/big%20file")  # 416: nothing is left


async def test_wget_takes_many_over_one_connection(tmp_path: Path, content: bytes) -> None:
    names = [f"f{number}" for number in range(200)]
    for name in names:
        (tmp_path / "served" / name).write_bytes(name.encode() * 1000)
    async with serve_web(WebFiles(tmp_path / "served")) as served:
        (tmp_path / "urls").write_text("".join(f"{served.url}/{name}\n" for name in names))
        await run("wget", "-q", "-i", str(tmp_path / "urls"), "-P", str(tmp_path / "got"))
        while served.server.connections:  # noqa: ASYNC110 - the server hears of the end a moment later
            await asyncio.sleep(0.01)
        assert len(served.closed) == 1
    for name in names:
        assert (tmp_path / "got" / name).read_bytes() == name.encode() * 1000


async def test_wget_takes_a_whole_tree_from_its_pages(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "served" / "sub dir").mkdir()
    (tmp_path / "served" / "sub dir" / "leaf & more").write_bytes(b"leaf")
    async with serve_web(WebFiles(tmp_path / "served")) as served:
        where = str(tmp_path / "got")
        await run("wget", "-q", "-r", "-np", "-nH", "-R", "index.html*", "-P", where, f"{served.url}/")
    assert (tmp_path / "got" / "big file").read_bytes() == content
    assert (tmp_path / "got" / "sub dir" / "leaf & more").read_bytes() == b"leaf"


async def test_aria2c_takes_four_parts_at_once(tmp_path: Path, content: bytes) -> None:
    async with serve_web(WebFiles(tmp_path / "served")) as served:
        # Without -k it asks for parts of 20 MiB: then there would be one.
        where = ["-d", str(tmp_path / "got"), "-o", "file", "--no-conf", "--quiet"]
        await run("aria2c", "-x4", "-s4", "-k", "1M", *where, f"{served.url}/big%20file")
        while served.server.connections:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        assert len(served.closed) > 1
    assert (tmp_path / "got" / "file").read_bytes() == content
