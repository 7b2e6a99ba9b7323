from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from aionet.errors import ConfigError
from aionet.events import CloseReason
from aionet.services.files.commands import READING, WRITING
from aionet.services.files.entries import parse_entries
from aionet.services.files.errors import Code
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS
from aionet.services.files.paths import Directory
from aionet.services.files.reading import ENTRIES_PER_PART
from aionet.services.files.rules import Rules
from aionet.testing import verify_matcher
from tests.documents import blocks, rows
from tests.tools import require

from .conftest import Tree
from .serving import RawClient, descriptors_of_files, raw_client, serve, until_none_open

PAGE = Path(__file__).parents[3] / "docs" / "files-protocol.md"
BIG = 20 * 1024 * 1024


def patch_pread(monkeypatch: pytest.MonkeyPatch, pread: Callable[[int, int, int], bytes]) -> None:
    """Nothing is in memory, and the disk is like this."""
    monkeypatch.setattr(Directory, "read_cached", lambda directory, name, limit, **part: None)
    monkeypatch.setattr("aionet.services.files.reading.os.pread", pread)


def make_big(root: Path, size: int = BIG) -> bytes:
    content = os.urandom(1024 * 1024) * (size // (1024 * 1024))
    (root / "big").write_bytes(content)
    return content


def test_clients_are_known_by_the_verbs_but_not_those_of_http() -> None:
    assert Files.match is not None
    verify_matcher(
        Files.match,
        [b"HELLO\n", b"HELLO\r\n", b"LIST music\n", b"LIST;x=1\n", b"GET http\n", b"GET httpd.conf", b"QUIT\n"],
        [b"", b"GET / HTTP/1.1\r\n", b"GET http://a/ HTTP/1.1\r\n", b"hello\n", b"GETS\n", b"HEAD / HTTP/1.1\r\n"],
    )


async def test_a_server_that_offers_sha256_alone(tree: Tree) -> None:
    async with serve(Files(tree.root, algorithms=["sha256"])) as served, raw_client(served) as client:
        assert b";hash=sha256;hashes=sha256;" in (await client.ask(b"HELLO"))[0]
        for line in (b"GET;hash=blake3 hello.txt", b"HASH;hash=blake3 hello.txt"):
            header, _ = await client.ask(line)
            assert header.startswith(b"ERR BAD_REQUEST hash='blake3' of ")
            assert header.endswith(b": this server has sha256\n")
        assert (await client.ask(b"GET;hash=sha256 hello.txt"))[1] == b"hello world"


@pytest.mark.parametrize("algorithms", [["blake3"], [], ["md5", "sha256"]])
def test_algorithms_that_make_no_sense(tmp_path: Path, algorithms: list[str]) -> None:
    with pytest.raises(ConfigError):
        Files(tmp_path, algorithms=algorithms)


async def test_the_commands_by_hand(tree: Tree) -> None:
    async with serve(tree.root) as served, raw_client(served) as client:
        header, body = await client.ask(b"HELLO")
        facts = b"protocol=aionet-files;version=1;hash=sha256;hashes=blake3,sha256;chunk=4194304;auth=none;write=0"
        assert header == b"OK 211;%b\n" % facts
        assert body.decode().splitlines() == list(READING)
        header, body = await client.ask(b"GET hello.txt")
        facts = rb"mtime=\d+\.\d{9};tag=[0-9a-f]{24};digest=[0-9a-f]{64};checked=1"
        assert re.fullmatch(rb"OK 11;offset=0;total=11;%b\n" % facts, header)
        assert body == b"hello world"
        assert (await client.ask(b"get with space.txt\r"))[1] == b"space"
        header, body = await client.ask(b"GET empty")
        assert header.startswith(b"OK 0;offset=0;total=0;mtime=")
        for algorithm in ALGORITHMS.values():
            digest = b";digest=" + algorithm.hexdigest(b"hello world").encode()
            option = b";hash=" + algorithm.name.encode()
            assert digest in (await client.ask(b"GET%b hello.txt" % option))[0]
            assert digest in (await client.ask(b"HASH%b;chunks=0 hello.txt" % option))[0]
            header, body = await client.ask(b"HASH%b hello.txt" % option)
            assert digest in header
            assert b";digest=" + body == digest + b"\n"
        assert await client.ask(b"GET nothing") == (b"ERR NOT_FOUND there is no 'nothing'\n", b"")
        assert (await client.ask(b"GET sub"))[0] == b"ERR NOT_A_FILE 'sub' is a directory\n"
        assert (await client.ask(b"GET sub/deep/leaf"))[1] == b"leaf"
        client.write(b"QUIT\n")
        assert await client.rest() == b"OK 0\n"


async def test_a_listing(tree: Tree) -> None:
    async with serve(tree.root) as served, raw_client(served) as client:
        header, body = await client.ask(b"LIST")
        names = [entry.name for entry in parse_entries(body)]
        assert names == sorted(names)
        assert {"hello.txt", "with space.txt", "sub"} <= set(names)
        assert not {"fifo", "socket", ".hidden", "link-outside"} & set(names)
        assert f";entries={len(names)};left-out=".encode() in header
        assert (await client.ask(b"LIST sub/deep"))[1].endswith(b" leaf\n")
        assert (await client.ask(b"LIST nothing"))[0].startswith(b"ERR NOT_FOUND ")
        assert (await client.ask(b"LIST hello.txt"))[0] == b"ERR NOT_A_DIRECTORY 'hello.txt' is not a directory\n"
        (tree.root / "void").mkdir()
        assert await client.ask(b"LIST void") == (b"OK 0;entries=0;left-out=0\n", b"")


@pytest.mark.parametrize("count", [ENTRIES_PER_PART - 1, ENTRIES_PER_PART, 2 * ENTRIES_PER_PART + 1])
async def test_a_large_listing_comes_in_parts(tmp_path: Path, count: int) -> None:
    for number in range(count):
        (tmp_path / f"file {number}").touch()
    async with serve(tmp_path) as served, raw_client(served) as client:
        header, body = await client.ask(b"LIST")
        parts = [body]
        while b";more=1" in header:
            header, body = await client.answer()
            parts.append(body)
        assert len(parts) == count // ENTRIES_PER_PART + 1
        names = {entry.name for part in parts for entry in parse_entries(part)}
        assert names == {f"file {number}" for number in range(count)}
        assert (await client.ask(b"HELLO"))[0].startswith(b"OK ")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"", b"ERR BAD_REQUEST a line begins with a command"),
        (
            b"DELETE hello.txt",
            b"ERR BAD_REQUEST there is no command DELETE; known: HELLO, AUTH, STAT, LIST, GET, HASH, QUIT",
        ),
        (
            b"GET;from=5 hello.txt",
            b"ERR BAD_REQUEST GET has no option from; it is: GET[;offset=N][;length=N][;tag=TAG][;hash=ALGORITHM] name",
        ),
        (b"GET;offset=-5 hello.txt", b"ERR BAD_REQUEST offset='-5' of GET: not a whole number"),
        (b"GET;offset=99999999999999999999 hello.txt", b"ERR BAD_REQUEST offset='99999999999999999999' of GET: not a"),
        (b"GET;offset=9999999999999999999 hello.txt", b"ERR BAD_RANGE offset 9999999999999999999 is behind the end of"),
        (b"GET;offset=12 hello.txt", b"ERR BAD_RANGE offset 12 is behind the end of 'hello.txt', which has 11 bytes"),
        (b"GET;tag=0 hello.txt", b"ERR CHANGED 'hello.txt' is another version now: "),
        (b"STAT fifo", b"ERR NOT_A_FILE 'fifo' is neither a file nor a directory"),
        (b"STAT;upload=a hello.txt", b"ERR FORBIDDEN this server takes no files"),
        (b"HASH;offset=1 hello.txt", b"ERR BAD_RANGE offset 1 begins no chunk: they have 4194304 bytes"),
        (b"LIST;after=%ff", b"ERR BAD_REQUEST after='%ff' of LIST: "),
        (b"GET;size=3 hello.txt\nabc", b"ERR BAD_REQUEST GET takes no body"),
        (b"PUT;size=5 x\nGET a", b"ERR BAD_REQUEST there is no command PUT"),
        (b"HELLO x", b"ERR BAD_REQUEST HELLO takes no name"),
        (b"GET", b"ERR REFUSED_NAME a name is needed"),
        (b"GET ", b"ERR REFUSED_NAME a name is needed"),
        (b"GET \xff\xfe", b"ERR BAD_REQUEST the line is not UTF-8"),
        (b"GET ../outside/secret", b"ERR REFUSED_NAME the component '..' in the name '../outside/secret'"),
        (b"GET /etc/passwd", b"ERR REFUSED_NAME the name '/etc/passwd' is absolute"),
        (b"GET .hidden", b"ERR REFUSED_NAME the name '.hidden' is hidden"),
        (b"GET link-outside", b"ERR REFUSED_NAME "),
        (b"GET fifo", b"ERR NOT_A_FILE 'fifo' is not a regular file"),
        (b"GET " + b"x" * 300, b"ERR REFUSED_NAME a component longer than 255 bytes"),
        (b"GET \xc2\x9b2J", b"ERR REFUSED_NAME control character in the name '\\x9b2J'"),
    ],
)
async def test_a_bad_request_is_answered_and_the_next_one_served(tree: Tree, line: bytes, answer: bytes) -> None:
    async with serve(tree.root) as served, raw_client(served) as client:
        header, _ = await client.ask(line)
        assert header.startswith(answer)
        if not line.endswith((b"abc", b"GET a")):
            assert (await client.ask(b"GET hello.txt"))[1] == b"hello world"
        else:  # the line feed behind the body is an empty line
            assert (await client.answer())[0].startswith(b"ERR BAD_REQUEST a line begins")
        assert served.failures == []


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"GET " + b"x" * 10_000, b"ERR TOO_LARGE a header line is at most 8192 bytes\n"),
        (b"GET a\0b\n", b"ERR BAD_REQUEST control character 0x00 in a header line\n"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"ERR BAD_REQUEST control character 0x16 in a header line\n"),
        (
            b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
            b"ERR BAD_REQUEST this port speaks AIONET-FILES 1, not HTTP\n",
        ),
        (b"PUT;size=-5 a\n", b"ERR BAD_REQUEST the size '-5' is not a whole number of bytes\n"),
        (b"PUT;size=999999999 a\n", b"ERR TOO_LARGE a body of 999999999 bytes is more than the 1048576 taken here\n"),
    ],
)
async def test_a_fault_is_explained_and_ends_the_connection(tree: Tree, data: bytes, answer: bytes) -> None:
    async with serve(tree.root) as served, raw_client(served) as client:
        client.write(b"GET empty\n" + data)
        assert (await client.answer())[0].startswith(b"OK 0;")
        assert await client.rest() == answer
        assert served.failures == []
    assert [event.reason for event in served.closed] == [CloseReason.FRAMING_ERROR]


async def test_half_a_line_then_the_end(tree: Tree) -> None:
    async with serve(tree.root) as served, raw_client(served) as client:
        client.write(b"GET hello.t")
        client.writer.write_eof()
        assert await client.rest() == b"ERR BAD_REQUEST the stream ended inside a header line: no line feed\n"


async def test_requests_in_one_go_are_answered_in_order_then_the_end(tree: Tree) -> None:
    async with serve(tree.root) as served, raw_client(served) as client:
        client.write(b"GET hello.txt\nGET nothing\nGET sub/inner.txt\nHELLO\n" * 50)
        client.writer.write_eof()
        for _ in range(50):
            assert (await client.answer())[1] == b"hello world"
            assert (await client.answer())[0].startswith(b"ERR NOT_FOUND")
            assert (await client.answer())[1] == b"inner"
            assert (await client.answer())[0].startswith(b"OK 211;")
        assert await client.rest() == b""


async def test_a_big_file_arrives_whole(tree: Tree) -> None:
    content = make_big(tree.root)
    async with serve(tree.root) as served, raw_client(served) as client:
        header, body = await client.ask(b"GET big")
        assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest()
        assert header.startswith(b"OK %d;" % BIG)
        assert (await client.ask(b"GET hello.txt"))[1] == b"hello world"
        await until_none_open(tree.root)


async def test_many_at_once_share_the_threads(tree: Tree) -> None:
    content = make_big(tree.root, 2 * 1024 * 1024)

    async def download() -> bytes:
        async with raw_client(served) as client:
            return (await client.ask(b"GET big"))[1]

    async with serve(Files(tree.root, threads=2)) as served:
        assert await asyncio.gather(*(download() for _ in range(20))) == [content] * 20
        await until_none_open(tree.root)


async def wait_for_partial(client: RawClient) -> bytes:
    """Ask for the big file, and take no more than its header: the rest waits in the server."""
    client.write(b"GET big\n")
    return await client.reader.readuntil(b"\n")


async def test_a_peer_that_does_not_read_holds_little(tree: Tree) -> None:
    make_big(tree.root)
    async with serve(tree.root) as served:
        with socket.create_connection((served.endpoint.host, served.endpoint.port)) as silent:
            silent.sendall(b"GET big\n")
            async with raw_client(served) as client:  # others are served meanwhile
                for _ in range(20):
                    assert (await client.ask(b"GET hello.txt"))[1] == b"hello world"
            while not descriptors_of_files(tree.root):  # noqa: ASYNC110 -- a thread opens it and tells nobody
                await asyncio.sleep(0.01)
            assert len(descriptors_of_files(tree.root)) == 1
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until_none_open(tree.root)  # a reset in the middle closes the file
        assert served.failures == []


async def test_a_file_that_shrinks_ends_the_connection(tree: Tree) -> None:
    make_big(tree.root)
    async with serve(tree.root) as served, raw_client(served) as client:
        await wait_for_partial(client)
        os.truncate(tree.root / "big", BIG - 1000)
        body = await client.rest()
        assert len(body) == BIG - 1000  # fewer than announced, and nothing made up
        assert served.failures == []


async def test_a_file_that_grows_is_sent_as_it_was_announced(tree: Tree) -> None:
    content = make_big(tree.root)
    async with serve(tree.root) as served, raw_client(served) as client:
        await wait_for_partial(client)
        os.truncate(tree.root / "big", BIG + 4000)
        assert await client.reader.readexactly(BIG) == content
        assert (await client.ask(b"GET hello.txt"))[1] == b"hello world"


async def test_a_file_that_is_empty_by_the_time_it_is_read(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_pread(monkeypatch, lambda fd, size, offset: b"")
    async with serve(tree.root) as served, raw_client(served) as client:
        assert (await client.ask(b"GET hello.txt"))[0].startswith(b"ERR CHANGED ")
        await until_none_open(tree.root)


def fail(*_: object) -> bytes:
    raise OSError(5, "Input/output error")


async def test_a_disk_that_fails_at_once_is_an_answer(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_pread(monkeypatch, fail)
    async with serve(tree.root) as served, raw_client(served) as client:
        header, _ = await client.ask(b"GET hello.txt")
        assert header == b"ERR IO_ERROR 'hello.txt' failed: Input/output error\n"
        await until_none_open(tree.root)


async def test_a_disk_that_fails_midway_ends_the_connection_and_is_reported(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_big(tree.root)
    sent = 0

    def sendfile(to: int, file: int, offset: int, count: int) -> int:
        nonlocal sent
        if sent > BIG // 2:
            raise OSError(5, "Input/output error")
        done = os_sendfile(to, file, offset, min(count, 1024 * 1024))
        sent += done
        return done

    os_sendfile = os.sendfile
    monkeypatch.setattr("aionet.core.sendfile.os.sendfile", sendfile)
    async with serve(tree.root) as served:
        async with raw_client(served) as client:
            await wait_for_partial(client)
            assert BIG // 2 < len(await client.rest()) < BIG
        assert [str(event.exc) for event in served.failures] == ["'big' failed: Input/output error"]
        async with raw_client(served) as client:
            assert (await client.ask(b"LIST sub"))[0].startswith(b"OK ")
        await until_none_open(tree.root)


async def test_a_running_download_outlives_the_drain_and_nothing_new_is_taken(tree: Tree) -> None:
    content = make_big(tree.root)
    async with serve(tree.root) as served, raw_client(served) as client, raw_client(served) as idle:
        assert (await idle.ask(b"HELLO"))[0].startswith(b"OK ")
        await wait_for_partial(client)
        draining = asyncio.ensure_future(served.server.drain())
        assert await idle.rest() == b""
        with pytest.raises(OSError, match=r"refused|reset|failed"):
            await asyncio.open_connection(served.endpoint.host, served.endpoint.port)
        assert await client.reader.readexactly(BIG) == content
        assert await client.rest() == b""
        assert (await draining).cut == ()


async def test_the_drain_deadline_cuts_a_download_and_closes_its_file(tree: Tree) -> None:
    make_big(tree.root)
    async with serve(tree.root) as served, raw_client(served) as client:
        await wait_for_partial(client)
        finished = await served.server.drain(timeout=0.05)
        assert len(finished.cut) == 1
        await until_none_open(tree.root)


async def test_cut_while_a_thread_reads_the_thread_closes_the_file(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    reading, go_on = threading.Event(), threading.Event()

    def slow(descriptor: int, size: int, offset: int) -> bytes:
        reading.set()
        assert go_on.wait(20)
        return pread(descriptor, size, offset)

    patch_pread(monkeypatch, slow)
    async with serve(tree.root, drain_timeout=0.05) as served, raw_client(served) as client:
        client.write(b"GET hello.txt\n")
        await asyncio.to_thread(reading.wait, 10)
        async with raw_client(served) as other:  # the loop is free while the disk hangs
            assert (await other.ask(b"LIST sub"))[0].startswith(b"OK ")
        await served.server.drain(timeout=0.05)
        assert len(descriptors_of_files(tree.root)) == 1  # never closed under the thread's feet
        go_on.set()
        await until_none_open(tree.root)


async def test_only_what_is_served_can_be_reached_by_hostile_names(tree: Tree) -> None:
    names = [
        b"..",
        b"../outside/secret",
        b"link-outside",
        b"link-out-dir/secret",
        b"/etc/passwd",
        b"sub/../../outside/secret",
    ]
    async with serve(tree.root) as served, raw_client(served) as client:
        for name in names:
            for command in (b"GET ", b"LIST "):
                assert (await client.ask(command + name))[0].startswith(b"ERR REFUSED_NAME ")


def test_a_directory_that_is_not_there_is_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory") as caught:
        Files(tmp_path / "nowhere")
    assert "mkdir" in str(caught.value.hint)


async def test_a_directory_of_the_callers_own(tree: Tree) -> None:
    with Directory(tree.root, hidden=True, follow_links=False) as directory:
        async with serve(Files(directory)) as served, raw_client(served) as client:
            assert (await client.ask(b"GET .hidden"))[1] == b"hidden"
            assert (await client.ask(b"GET link-inside"))[0].startswith(b"ERR REFUSED_NAME")


def conversation() -> tuple[bytes, bytes]:
    """What the page of the protocol tells to type, and what it says comes back."""
    lines = PAGE.read_text(encoding="utf-8").split("```text\n")[1].split("```")[0].splitlines(keepends=True)
    typed = "".join(line.removeprefix("> ") for line in lines if line.startswith("> "))
    answered = "".join(line for line in lines if not line.startswith("> "))
    return typed.encode(), answered.encode()


def without_tags(text: str) -> str:
    """Nobody can say beforehand which inode a file has."""
    return re.sub(r"tag=[0-9a-f]{24}", "tag=...", text)


async def test_the_page_of_the_protocol_typed_into_nc(tmp_path: Path) -> None:
    shared = tmp_path / "shared_files"
    (shared / "music").mkdir(parents=True)
    (shared / "hello.txt").write_text("hello world\n")
    (shared / "music" / "my song.txt").write_text("la la la\n")
    for path in (shared / "hello.txt", shared / "music" / "my song.txt", shared / "music"):
        os.utime(path, (1700000000, 1700000000))
    typed, answered = conversation()
    assert typed.startswith(b"HELLO\nLIST\n")
    async with serve(Files(shared, writable=True)) as served:
        process = await asyncio.create_subprocess_exec(
            *[require("nc"), "-N", served.endpoint.host, str(served.endpoint.port)],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate(typed)
    assert without_tags(out.decode()) == without_tags(answered.decode())


def test_the_page_tells_every_command_and_every_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"\n{usage}\n" in text for usage in (*READING, *WRITING))
    here_alone = {Code.INTERRUPTED, Code.BAD_REPLY}  # a client's own
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.M)) == set(Code) - here_alone


async def test_the_commands_of_the_page_that_send_a_file(tmp_path: Path) -> None:
    script = PAGE.read_text(encoding="utf-8").split("To send one:\n\n```sh\n")[1].split("```")[0]
    (tmp_path / "FILE").write_bytes(os.urandom(300_000))
    shared = tmp_path / "shared"
    shared.mkdir()
    async with serve(Files(shared, writable=True)) as served:
        where = f"{require('nc')} -N {served.endpoint.host} {served.endpoint.port}"
        process = await asyncio.create_subprocess_shell(
            script.replace("nc -N 127.0.0.1 5000", where), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert re.fullmatch(rb"OK 0;received=300000\nOK 0;size=300000;mtime=\S+;tag=\S+\n", out)
    assert (shared / "new").read_bytes() == (tmp_path / "FILE").read_bytes()


def test_the_example_of_the_servers_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (PAGE.parent / "files-server.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for directory in ("shared_files", "incoming"):
        (tmp_path / directory).mkdir()
    for name in ("ANNAS_TOKEN", "OTTOS_TOKEN"):
        monkeypatch.setenv(name, f"{name} of some length".replace(" ", "-"))
    ((_, example),) = [block for block in blocks(page) if block[0] == "python"]
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "files-server.md", "exec"), namespace)
    assert [route.handler.store.rules.writable for route in namespace["router"].routes] == [False, True]
    options = {word for row in rows(page, "| Option | Default | |") for word in re.findall(r"`(\w+)`", row[0])}
    assert options == {field.name for field in fields(Rules)} | {"token", "hidden", "threads"}
