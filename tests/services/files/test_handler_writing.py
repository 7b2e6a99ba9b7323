"""Files that clients send, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import re
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from aionet.errors import ConfigError
from aionet.events import TransferFinished
from aionet.services.files.entries import parse_entries
from aionet.services.files.handler import Files
from aionet.services.files.partial import Upload

from .conftest import Tree
from .serving import RawClient, Served, descriptors_of_files, raw_client, serve, until_none_open

MIB = 1024 * 1024
TOKEN = "a-token-of-some-length"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def put(client: RawClient, name: str, content: bytes, upload: str = "u", offset: int = 0) -> bytes:
    head = f"PUT;size={len(content)};upload={upload}{f';offset={offset}' if offset else ''} {name}\n"
    client.write(head.encode() + content)
    return (await client.answer())[0]


async def commit(client: RawClient, name: str, content: bytes, upload: str = "u", more: str = "") -> bytes:
    line = f"COMMIT;upload={upload};total={len(content)};digest={sha256(content)}{more} {name}"
    return (await client.ask(line.encode()))[0]


async def send(client: RawClient, name: str, content: bytes, upload: str = "u", more: str = "") -> bytes:
    assert await put(client, name, content, upload) == f"OK 0;received={len(content)}\n".encode()
    return await commit(client, name, content, upload, more)


def partials(root: Path) -> list[str]:
    hidden = root / ".aionet-partial"
    return sorted(os.listdir(hidden)) if hidden.exists() else []


@pytest.mark.parametrize("size", [0, 1, 4096, 70_000, 5 * MIB + 1])
async def test_a_file_is_sent_and_comes_back(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        header = await send(client, "new file", content, more=";mtime=1700000000.5")
        assert re.fullmatch(rb"OK 0;size=%d;mtime=1700000000.500000000;tag=[0-9a-f]{24}\n" % size, header)
        assert (tmp_path / "new file").read_bytes() == content
        assert (tmp_path / "new file").stat().st_mtime_ns == 1_700_000_000_500_000_000
        assert (await client.ask(b"GET new file"))[1] == content
        assert partials(tmp_path) == []
        await until_none_open(tmp_path)
    assert served.failures == []


async def test_a_large_body_that_comes_in_odd_pieces_is_whole(tmp_path: Path) -> None:
    """Large enough to be written past the page cache, block by block; pieces that are no blocks."""
    content = os.urandom(17 * MIB + 123)
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.write(b"PUT;size=%d;upload=u;total=%d big\n" % (len(content), len(content)))
        position = 0
        for size in itertools.cycle((70_001, 5, 300_000, 4096)):
            client.write(content[position : position + size])
            await client.writer.drain()
            position += size
            if position >= len(content):
                break
        assert (await client.answer())[0] == b"OK 0;received=%d\n" % len(content)
        assert (await commit(client, "big", content)).startswith(b"OK 0;size=")
    assert (tmp_path / "big").read_bytes() == content


async def test_nothing_is_there_before_the_commit_and_it_is_never_served(tmp_path: Path) -> None:
    async with serve(Files(tmp_path, writable=True, hidden=True)) as served, raw_client(served) as client:
        await put(client, "new", b"abc")
        (name,) = partials(tmp_path)
        assert (await client.ask(b"GET new"))[0].startswith(b"ERR NOT_FOUND")
        for hostile in (
            ".aionet-partial",
            f".aionet-partial/{name}",
            f".AIONET-Partial/{name}",
        ):
            for verb in ("GET", "STAT", "LIST", "HASH", "DELETE", "MKDIR"):
                answer, _ = await client.ask(f"{verb} {hostile}".encode())
                assert answer.startswith((b"ERR REFUSED_NAME", b"ERR NOT_FOUND")) or verb == "MKDIR", (verb, hostile)
        assert b"aionet-partial" not in (await client.ask(b"LIST"))[1]
        assert b"aionet-partial" not in (await client.ask(b"LIST;limit=10"))[1]
        assert partials(tmp_path) == [name]


async def test_an_upload_goes_on_in_another_connection(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    async with serve(Files(tmp_path, writable=True)) as served:
        async with raw_client(served) as client:
            assert await put(client, "big", content[:MIB]) == b"OK 0;received=%d\n" % MIB
            client.write(b"PUT;size=%d;upload=u;offset=%d big\n" % (2 * MIB, MIB) + content[MIB : 2 * MIB + 7])
            await client.writer.drain()
        await until_none_open(tmp_path)  # the server has seen the end
        async with raw_client(served) as client:
            header, _ = await client.ask(b"STAT;upload=u big")
            received = int(header.split(b"=")[1])
            assert MIB <= received <= 2 * MIB + 7
            manifest = await client.ask(b"HASH;upload=u big")
            assert manifest[1].decode() == sha256(content[:received]) + "\n"
            assert b";total=%d;" % received in manifest[0]
            assert await put(client, "big", content[received:], offset=received) == b"OK 0;received=%d\n" % len(content)
            assert (await commit(client, "big", content)).startswith(b"OK 0;size=3145728;")
    assert (tmp_path / "big").read_bytes() == content


async def test_a_commit_whose_answer_was_lost_is_answered_again(tmp_path: Path) -> None:
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        first = await send(client, "new", b"content", more=";new=1")
        assert await commit(client, "new", b"content", more=";new=1") == first
        other = await commit(client, "new", b"another")
        assert other == b"ERR NOT_FOUND nothing was received for this upload of 'new'\n"
        assert (await commit(client, "never", b"x")).startswith(b"ERR NOT_FOUND nothing was received")
        assert (await client.ask(b"HASH;upload=u never"))[0].startswith(b"ERR NOT_FOUND nothing was received")
        assert await client.ask(b"STAT;upload=u never") == (b"OK 0;received=0\n", b"")


async def test_another_hash_or_size_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        await put(client, "file", b"new content")
        header = await commit(client, "file", b"new CONTENT")
        assert (
            header == f"ERR MISMATCH the SHA-256 of what was received for 'file' is {sha256(b'new content')}\n".encode()
        )
        assert (await commit(client, "file", b"new content and more")).startswith(
            b"ERR MISMATCH 11 bytes of 'file' were"
        )
        assert (await commit(client, "file", b"new")).startswith(b"ERR MISMATCH 11 bytes")
        assert (tmp_path / "file").read_bytes() == b"old"
        assert await put(client, "file", b"CONTENT", offset=4) == b"OK 0;received=11\n"  # only what differs, anew
        assert (await commit(client, "file", b"new CONTENT")).startswith(b"OK ")
        assert (tmp_path / "file").read_bytes() == b"new CONTENT"


async def test_conditions(tmp_path: Path) -> None:
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        tag = (await send(client, "file", b"one", more=";new=1")).strip().rpartition(b"tag=")[2].decode()
        assert await send(client, "file", b"two", more=";new=1") == b"ERR CONFLICT there is 'file' already\n"
        assert await commit(client, "file", b"two", more=";tag=0") == b"ERR CONFLICT 'file' is not the version 0\n"
        assert await send(client, "absent", b"two", more=";tag=0") == b"ERR CONFLICT 'absent' is not the version 0\n"
        assert (tmp_path / "file").read_bytes() == b"one"
        second = await commit(client, "file", b"two", more=f";tag={tag}")
        assert second.startswith(b"OK 0;size=3;")
        assert (await client.ask(f"DELETE;tag={tag} file".encode()))[0].startswith(b"ERR CONFLICT ")
        tag = second.strip().rpartition(b"tag=")[2].decode()
        assert (await client.ask(f"GET;tag={tag} file".encode()))[1] == b"two"
        assert (await client.ask(f"DELETE;tag={tag} file".encode()))[0] == b"OK 0\n"


async def test_two_writers_of_one_name_never_mix(tmp_path: Path) -> None:
    contents = [bytes([number]) * (MIB + number) for number in range(6)]

    async def write(number: int) -> None:
        async with raw_client(served) as client:
            for _ in range(3):
                assert (await send(client, "file", contents[number], f"u{number}")).startswith(b"OK ")
                assert (tmp_path / "file").read_bytes() in contents

    async with serve(Files(tmp_path, writable=True)) as served:
        await asyncio.gather(*map(write, range(6)))
    assert (tmp_path / "file").read_bytes() in contents


async def test_one_upload_belongs_to_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as one, raw_client(served) as two:
        await put(one, "file", b"abc")
        assert await put(two, "file", b"abc") == b"ERR BUSY somebody is at this upload of 'file' already\n"
        assert (await two.ask(b"STAT;upload=u file"))[0].startswith(b"ERR BUSY ")
        assert await put(two, "file", b"abc", upload="v") == b"OK 0;received=3\n"
        monkeypatch.setattr("aionet.services.files.partial._SILENCE", 0.0)  # the first has been silent for long enough
        assert (await two.ask(b"STAT;upload=u file"))[0] == b"OK 0;received=3\n"
        assert (await commit(one, "file", b"abc")).startswith(b"OK ")  # it takes it back


async def test_requests_in_one_go(tmp_path: Path) -> None:
    files = {f"file {number}": os.urandom(number * 37) for number in range(100)}
    stream = b"".join(
        f"PUT;size={len(data)};upload=u {name}\n".encode()
        + data
        + f"COMMIT;upload=u;total={len(data)};digest={sha256(data)} {name}\n".encode()
        for name, data in files.items()
    )
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.write(stream + b"STAT file 7\nbad line\nLIST\n")
        for data in files.values():
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % len(data)
            assert (await client.answer())[0].startswith(b"OK 0;size=%d;" % len(data))
        assert (await client.answer())[0].startswith(b"OK 0;kind=file;size=%d;" % len(files["file 7"]))
        assert (await client.answer())[0].startswith(b"ERR BAD_REQUEST")
        assert {entry.name for entry in parse_entries((await client.answer())[1])} == set(files)
        await until_none_open(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


async def test_the_same_name_twice_in_one_go_and_an_error_among_others(tmp_path: Path) -> None:
    def both(content: bytes, more: str = "") -> bytes:
        line = f"COMMIT;upload=u;total={len(content)};digest={sha256(content)}{more} a\n".encode()
        return b"PUT;size=%d;upload=u a\n" % len(content) + content + line

    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.write(both(b"one") + both(b"two", ";new=1") + b"CANCEL;upload=u a\n" + both(b"three"))
        answers = [(await client.answer())[0] for _ in range(7)]
        assert [answer[:5] for answer in answers] == [
            b"OK 0;",
            b"OK 0;",
            b"OK 0;",
            b"ERR C",
            b"OK 0\n",
            b"OK 0;",
            b"OK 0;",
        ]
    assert (tmp_path / "a").read_bytes() == b"three"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"PUT;size=1;upload=u .hidden\nx", b"ERR REFUSED_NAME"),
        (b"PUT;size=1;upload=u ../x\nx", b"ERR REFUSED_NAME"),
        (b"PUT;size=1;upload=u link-outside/x\nx", b"ERR REFUSED_NAME"),
        (b"PUT;size=1;upload=u link-out-dir/x\nx", b"ERR REFUSED_NAME"),
        (b"PUT;size=1;upload=u no/such/directory\nx", b"ERR NOT_FOUND there is no 'no/such'"),
        (b"PUT;size=1;upload=u;offset=5 x\nx", b"ERR BAD_RANGE offset 5: 0 bytes of 'x' are there"),
        (b"PUT;size=1;upload=u;offset=9999999999999999999 x\nx", b"ERR "),
        (b"PUT;size=1;upload=u;total=9999999999999999999 x\nx", b"ERR TOO_LARGE"),
        (b"PUT;size=1;upload=u;offset=-1 x\nx", b"ERR BAD_REQUEST"),
        (b"PUT;size=1 x\nx", b"ERR BAD_REQUEST PUT needs upload=...; it is: PUT;size=N;upload=ID"),
        (b"PUT;size=1;upload=a/b x\nx", b"ERR BAD_REQUEST upload='a/b' of PUT: not 1 to 64 letters"),
        (
            b"PUT;size=101;upload=u x\n" + b"x" * 101,
            b"ERR TOO_LARGE 101 bytes are more than the 100 that a file may have",
        ),
        (b"COMMIT;upload=u;total=1;digest=" + b"A" * 64 + b" x", b"ERR BAD_REQUEST digest="),
        (b"MKDIR sub", b"ERR EXISTS there is 'sub' already"),
        (b"MKDIR a/b", b"ERR NOT_FOUND"),
        (b"DELETE sub", b"ERR NOT_EMPTY 'sub' is not empty"),
        (b"DELETE nothing", b"ERR NOT_FOUND"),
        (b"DELETE fifo", b"ERR NOT_A_FILE"),
        (b"DELETE link-outside", b"ERR NOT_A_FILE"),
        (b"DELETE", b"ERR REFUSED_NAME a name is needed"),
        (b"RENAME;size=3 hello.txt\nsub", b"ERR EXISTS there is 'sub' already"),
        (b"RENAME;size=3;replace=1 hello.txt\nsub", b"ERR NOT_A_FILE"),
        (b"RENAME;size=4 hello.txt\n../x", b"ERR REFUSED_NAME"),
        (b"RENAME;size=2 hello.txt\n\xff\xfe", b"ERR BAD_REQUEST the new name is not UTF-8"),
        (b"RENAME;size=1 nothing\nx", b"ERR NOT_FOUND there is no 'nothing'"),
        (b"RENAME;size=1 fifo\nx", b"ERR NOT_A_FILE"),
        (b"RENAME hello.txt", b"ERR REFUSED_NAME a name is needed"),
        (b"RENAME;size=100000 hello.txt\n" + b"x" * 100_000, b"ERR "),
    ],
)
async def test_what_is_refused_changes_nothing(tree: Tree, line: bytes, answer: bytes) -> None:
    before = tree.inodes()
    async with serve(Files(tree.root, writable=True, max_file=100)) as served, raw_client(served) as client:
        client.write(line + (b"" if b"\n" in line else b"\n"))
        header, _ = await client.answer()
        assert header.startswith(answer)
        if b"x" * 101 not in line:
            assert (await client.ask(b"GET hello.txt"))[1] == b"hello world"
    assert served.failures == []
    hidden = tree.root / ".aionet-partial"
    for path in [*hidden.glob("*"), hidden]:
        if path.exists():
            path.rmdir() if path.is_dir() else path.unlink()
    assert tree.inodes() == before
    assert (tree.outside / "secret").read_bytes() == b"secret"


async def test_directories_and_names(tmp_path: Path) -> None:
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        assert (await client.ask(b"MKDIR a"))[0] == b"OK 0\n"
        assert (await client.ask(b"MKDIR a/b"))[0] == b"OK 0\n"
        assert (await send(client, "a/b/x", b"x")).startswith(b"OK ")
        assert (await send(client, "a/y", b"y")).startswith(b"OK ")
        client.write(b"RENAME;size=3 a/b/x\na/y")
        assert (await client.answer())[0] == b"ERR EXISTS there is 'a/y' already\n"
        client.write(b"RENAME;size=3;replace=1 a/b/x\na/y")
        assert (await client.answer())[0] == b"OK 0\n"
        assert (tmp_path / "a" / "y").read_bytes() == b"x"
        client.write(b"RENAME;size=2 a/b\nc\n")
        assert (await client.answer())[0] == b"OK 0\n"
        assert (await client.ask(b"DELETE c"))[0] == b"OK 0\n"
        assert (await client.ask(b"DELETE a/y"))[0] == b"OK 0\n"
        assert (await client.ask(b"DELETE a"))[0] == b"OK 0\n"
    assert os.listdir(tmp_path) == [".aionet-partial"]


async def test_a_refused_body_is_read_past_or_ends_the_connection(tmp_path: Path) -> None:
    async with serve(Files(tmp_path, writable=True)) as served:
        async with raw_client(served) as client:
            client.write(b"PUT;size=%d;upload=u no/x\n" % MIB + b"x" * MIB + b"LIST\n")
            assert (await client.answer())[0].startswith(b"ERR NOT_FOUND")
            assert (await client.answer())[0].startswith(b"OK 0;entries=0")
        async with raw_client(served) as client:
            client.write(b"PUT;size=%d;upload=u no/x\n" % (8 * MIB) + b"x" * 8 * MIB)
            assert (await client.rest()).startswith(b"ERR NOT_FOUND")
    assert served.failures == []


async def test_names_that_a_pattern_allows(tmp_path: Path) -> None:
    files = Files(tmp_path, writable=True, name_pattern=r"[\w/]+\.ogg")
    async with serve(files) as served, raw_client(served) as client:
        assert (await send(client, "song.ogg", b"la")).startswith(b"OK ")
        assert (await client.ask(b"MKDIR music"))[0] == b"OK 0\n"
        header = await put(client, "evil.html", b"x")
        assert header == b"ERR FORBIDDEN this server takes no files of such a name as 'evil.html'\n"
        client.write(b"RENAME;size=9 song.ogg\nsong.html")
        assert (await client.answer())[0].startswith(b"ERR FORBIDDEN")


@pytest.mark.parametrize("rule", [{"quota_bytes": 10}, {"user_quota_bytes": 10}, {"quota_files": 2}])
async def test_quotas(tmp_path: Path, rule: dict[str, Any]) -> None:
    async with serve(Files(tmp_path, writable=True, **rule)) as served, raw_client(served) as client:
        assert (await send(client, "one", b"12345")).startswith(b"OK ")
        assert (await send(client, "two", b"1234")).startswith(b"OK ")
        assert (await put(client, "three", b"12")).startswith(b"ERR QUOTA ")
        assert (await client.ask(b"CANCEL;upload=u three"))[0] == b"OK 0\n"
        if "quota_files" in rule:
            assert (await client.ask(b"MKDIR directory"))[0] == b"ERR QUOTA the files here would be 3; 2 are allowed\n"
        assert (await client.ask(b"DELETE two"))[0] == b"OK 0\n"
        assert (await send(client, "three", b"12")).startswith(b"OK ")
    assert set(os.listdir(tmp_path)) == {"one", "three", ".aionet-partial"}


async def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionet.services.files.conversation._WRONG_TOKEN", 0.0)
    finished: list[TransferFinished] = []
    async with serve(Files(tmp_path, writable=True, token={"anna": TOKEN, "otto": TOKEN[::-1]})) as served:
        served.server.events.subscribe(finished.append, TransferFinished)
        async with raw_client(served) as client:
            assert b";auth=token;" in (await client.ask(b"HELLO"))[0]
            assert (await client.ask(b"LIST"))[0] == b"ERR UNAUTHORIZED this server wants a token first: AUTH token\n"
            assert (await put(client, "x", b"x")).startswith(b"ERR UNAUTHORIZED")
            client.write(b"PUT;size=1000000;upload=u x\n" + b"x" * 1_000_000)
            assert (await client.answer())[0].startswith(b"ERR UNAUTHORIZED")
            assert (await client.ask(f"AUTH {TOKEN}".encode()))[0] == b"OK 0\n"
            assert b";auth=none;" in (await client.ask(b"HELLO"))[0]
            assert (await send(client, "x", b"x")).startswith(b"OK ")
        async with raw_client(served) as client:
            client.write(b"AUTH wrong\n" * 5)
            assert await client.rest() == b"ERR UNAUTHORIZED wrong token\n" * 3
    assert [(event.verb, event.user, event.outcome) for event in finished if event.verb in ("AUTH", "COMMIT")] == [
        ("AUTH", "anna", "OK"),
        ("COMMIT", "anna", "OK"),
        *[("AUTH", "", "UNAUTHORIZED")] * 3,
    ]
    assert TOKEN not in repr(finished)


async def test_what_is_reported(tmp_path: Path) -> None:
    finished: list[TransferFinished] = []
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        served.server.events.subscribe(finished.append, TransferFinished)
        await send(client, "a", b"12345")
        await client.ask(b"GET a")
        await client.ask(b"GET nothing")
        await put(client, "big", b"x" * MIB)
        await commit(client, "big", b"x" * MIB)
        await client.ask(b"GET big")
        await client.ask(b"LIST")
    assert {event.route for event in finished} == {"files"}
    assert [(event.verb, event.name, event.bytes, event.outcome) for event in finished] == [
        ("PUT", "a", 5, "OK"),
        ("COMMIT", "a", 5, "OK"),
        ("GET", "a", 5, "OK"),
        ("GET", "nothing", 0, "NOT_FOUND"),
        ("PUT", "big", MIB, "OK"),
        ("COMMIT", "big", MIB, "OK"),
        ("GET", "big", MIB, "OK"),
    ]


async def test_what_is_cut_is_reported_too(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 * MIB)
    finished: asyncio.Queue[TransferFinished] = asyncio.Queue()
    async with serve(Files(tmp_path, writable=True)) as served:
        served.server.events.subscribe(finished.put_nowait, TransferFinished)
        async with raw_client(served) as client:
            client.write(b"GET big\n")
            await client.reader.readexactly(5 * MIB)
            client.writer.transport.abort()
        event = await asyncio.wait_for(finished.get(), 10)
        assert (event.verb, event.outcome) == ("GET", "INTERRUPTED")
        assert 5 * MIB <= event.bytes < 64 * MIB
        async with raw_client(served) as client:
            client.write(b"PUT;size=%d;upload=u new\n" % (2 * MIB) + b"x" * MIB)
            await client.writer.drain()
            client.writer.write_eof()
            await client.rest()
        event = await asyncio.wait_for(finished.get(), 10)
        assert (event.verb, event.bytes, event.outcome) == ("PUT", MIB, "INTERRUPTED")


async def test_a_refused_upload_leaves_nothing_that_would_count(tmp_path: Path) -> None:
    files = Files(tmp_path, writable=True, max_file=100, quota_bytes=150, quota_files=2, max_partials=3)
    async with serve(files) as served, raw_client(served) as client:
        await put(client, "there", b"x" * 100)
        assert (await commit(client, "there", b"x" * 100)).startswith(b"OK ")
        refusals = [
            (b"PUT;size=101;upload=u%d new\n" + b"x" * 101, b"ERR TOO_LARGE"),
            (b"PUT;size=1;total=101;upload=u%d new\nx", b"ERR TOO_LARGE"),
            (b"PUT;size=1;total=90;upload=u%d new\nx", b"ERR QUOTA"),
            (b"PUT;size=90;upload=u%d new\n" + b"x" * 90, b"ERR QUOTA"),
            (b"PUT;size=1;offset=7;upload=u%d new\nx", b"ERR BAD_RANGE"),
        ]
        for number, (line, expected) in enumerate(refusals):
            client.write(line % number)
            assert (await client.answer())[0].startswith(expected), line
            assert (await client.ask(b"STAT;upload=u%d new" % number))[0] == b"OK 0;received=0\n"
        assert os.listdir(tmp_path / ".aionet-partial") == []
        await put(client, "new", b"x" * 50)
        assert (await commit(client, "new", b"x" * 50)).startswith(b"OK ")
    assert served.failures == []


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EDQUOT", "EACCES"])
async def test_a_disk_that_fails_is_an_answer_and_the_upload_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    number = getattr(errno, code)
    content = os.urandom(2 * MIB)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    pwritev = os.pwritev
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        await put(client, "file", content[:MIB])
        monkeypatch.setattr("aionet.services.files.partial.os.pwritev", fail)
        header = await put(client, "file", content[MIB:], offset=MIB)
        assert header.startswith({"EIO": b"ERR IO_ERROR", "EACCES": b"ERR PERMISSION"}.get(code, b"ERR NO_SPACE"))
        monkeypatch.setattr("aionet.services.files.partial.os.pwritev", pwritev)
        assert (await client.ask(b"STAT;upload=u file"))[0] == b"OK 0;received=%d\n" % MIB
        await put(client, "file", content[MIB:], offset=MIB)
        monkeypatch.setattr("aionet.services.files.store.os.fsync", fail)
        assert (await commit(client, "file", content)).startswith(b"ERR ")
        assert not (tmp_path / "file").exists()
        monkeypatch.undo()
        assert (await commit(client, "file", content)).startswith(b"OK ")
    assert (tmp_path / "file").read_bytes() == content
    assert served.failures == []


async def test_a_connection_cut_while_a_thread_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, go_on = threading.Event(), threading.Event()
    write = Upload.write

    def slow(upload: Upload, pieces: list[bytes], offset: int) -> None:
        writing.set()
        assert go_on.wait(20)
        write(upload, pieces, offset)

    monkeypatch.setattr(Upload, "write", slow)
    async with serve(Files(tmp_path, writable=True)) as served:
        async with raw_client(served) as client:
            client.write(b"PUT;size=3;upload=u x\nabc")
            await asyncio.to_thread(writing.wait, 10)
            await served.server.drain(timeout=0.05)
            assert len(descriptors_of_files(tmp_path)) >= 1  # never closed under the thread's feet
            go_on.set()
        await until_none_open(tmp_path)


async def reset_after(served: Served, data: bytes) -> None:
    """Send this, and reset the connection when the server may have read it."""
    with socket.create_connection((served.endpoint.host, served.endpoint.port)) as sock:
        sock.sendall(data)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0)


async def test_reset_at_every_byte_of_a_small_upload(tmp_path: Path) -> None:
    content = b"some content"
    line = f"COMMIT;upload=u;total={len(content)};digest={sha256(content)} file\n".encode()
    stream = b"PUT;size=%d;upload=u file\n" % len(content) + content + line
    (tmp_path / "file").write_bytes(b"old")
    async with serve(Files(tmp_path, writable=True)) as served:
        for count in range(len(stream)):
            await reset_after(served, stream[:count])
            assert (tmp_path / "file").read_bytes() == b"old"
        async with raw_client(served) as client:
            while served.server.connections > 1:  # noqa: ASYNC110 -- the last of the others are still to be met
                await asyncio.sleep(0.01)
            answer = (await client.ask(b"STAT;upload=u file"))[0]
            assert int(answer.split(b"=")[1]) <= len(content)
            assert (await send(client, "file", content)).startswith(b"OK ")
        await until_none_open(tmp_path)
    assert (tmp_path / "file").read_bytes() == content
    assert served.failures == []


async def test_reset_at_every_byte_of_a_small_download(tree: Tree) -> None:
    async with serve(tree.root) as served:
        async with raw_client(served) as client:
            header, body = await client.ask(b"GET hello.txt")
        for count in range(len(header + body)):
            with socket.create_connection((served.endpoint.host, served.endpoint.port)) as sock:
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(sock, b"GET hello.txt\n")
                got = b""
                while len(got) < count:
                    got += await loop.sock_recv(sock, count - len(got))
                assert (header + body).startswith(got)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until_none_open(tree.root)
    assert served.failures == []


def test_rules_that_make_no_sense(tmp_path: Path) -> None:
    wrong: dict[str, Any]
    for wrong in (
        {"max_file": 0},
        {"quota_files": -1},
        {"name_pattern": "("},
        {"token": "short"},
        {"partial_age": 0},
    ):
        with pytest.raises(ConfigError):
            Files(tmp_path, writable=True, **wrong)
