from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from aionet import Router, Server, connect
from aionet.codecs import RawCodec
from aionet.errors import ConfigError, ConnectError, EncodeError
from aionet.services.files.client import fetch, list_directory
from aionet.services.files.errors import (
    BadRequest,
    Interrupted,
    NotADirectory,
    NotAFile,
    NotFound,
    RefusedName,
    TransferError,
)
from aionet.services.files.handler import Files
from aionet.services.files.paths import Directory
from aionet.services.files.reading import ENTRIES_PER_PART
from aionet.services.files.wire import ReplyCodec

from ...conftest import TLSFiles
from .conftest import Tree
from .serving import serve

MIB = 1024 * 1024


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    path = tmp_path / "landing"
    path.mkdir()
    return path


@contextlib.asynccontextmanager
async def hostile(*answers: bytes, stay: bool = False) -> AsyncIterator[str]:
    """A server that answers whatever it is asked with these bytes, then closes, or stays and says no more."""
    done = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        for data in answers:
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        if stay:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        done.set()
        server.close()


async def test_a_file_arrives_with_its_hash(tree: Tree, landing: Path) -> None:
    async with serve(tree.root) as served:
        fetched = await fetch(served.endpoint, "sub/inner.txt", landing)
    assert fetched.path == landing / "inner.txt"
    assert fetched.path.read_bytes() == b"inner"
    assert fetched.size == 5
    assert fetched.sha256 == hashlib.sha256(b"inner").hexdigest()
    assert fetched.mtime_ns == (tree.root / "sub" / "inner.txt").stat().st_mtime_ns
    assert os.listdir(landing) == ["inner.txt"]


@pytest.mark.parametrize("size", [0, 1, MIB, 5 * MIB + 3])
async def test_files_of_all_sizes(tree: Tree, landing: Path, size: int) -> None:
    content = os.urandom(size)
    (tree.root / "content").write_bytes(content)
    told: list[tuple[int, int]] = []
    async with serve(tree.root) as served:
        fetched = await fetch(
            str(served.endpoint), "content", landing / "copy", progress=lambda done, total: told.append((done, total))
        )
    assert (landing / "copy").read_bytes() == content
    assert fetched.sha256 == hashlib.sha256(content).hexdigest()
    assert told[0] == (0, size)
    assert told[-1] == (size, size)
    assert told == sorted(told)


async def test_several_on_one_connection(tree: Tree, landing: Path) -> None:
    async with serve(tree.root) as served, connect(served.endpoint, codec=ReplyCodec()) as conn:
        for number in range(20):
            await fetch(conn, "hello.txt", landing / f"{number}")
            with pytest.raises(NotFound) as caught:
                await fetch(conn, "nothing", landing / "nothing")
            assert caught.value.remote
            assert len((await list_directory(conn, "sub/deep")).entries) == 1
        assert not conn.closing
    assert len(os.listdir(landing)) == 20


async def test_a_listing(tree: Tree) -> None:
    with Directory(tree.root, follow_links=False) as directory:
        async with serve(Files(directory)) as served:
            listing = await list_directory(served.endpoint)
    assert [entry.name for entry in listing.entries] == sorted(
        ["hello.txt", "empty", "with space.txt", "back\\slash", "hard", "sub"]
    )
    assert listing.left_out == 11


async def test_a_large_listing(tmp_path: Path) -> None:
    names = [f"{number:05}" for number in range(2 * ENTRIES_PER_PART + 5)]
    for name in names:
        (tmp_path / name).touch()
    async with serve(tmp_path) as served:
        listing = await list_directory(served.endpoint)
    assert [entry.name for entry in listing.entries] == names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nothing", NotFound),
        ("sub", NotAFile),
        ("../outside/secret", RefusedName),
        (".hidden", RefusedName),
        ("link-outside", RefusedName),
    ],
)
async def test_what_the_server_refuses(tree: Tree, landing: Path, name: str, kind: type[TransferError]) -> None:
    (landing / "copy").write_bytes(b"old")
    async with serve(tree.root) as served:
        with pytest.raises(kind) as caught:
            await fetch(served.endpoint, name, landing / "copy")
    assert caught.value.remote
    assert os.listdir(landing) == ["copy"]
    assert (landing / "copy").read_bytes() == b"old"


async def test_listing_a_file(tree: Tree) -> None:
    async with serve(tree.root) as served:
        with pytest.raises(NotADirectory):
            await list_directory(served.endpoint, "hello.txt")


@pytest.mark.parametrize("name", ["..", "a/..", ".profile", "-rf", "a\\b", ""])
async def test_a_strange_name_needs_a_destination(name: str) -> None:
    with pytest.raises(RefusedName) as caught:
        await fetch("tcp://127.0.0.1:1", name)
    assert not caught.value.remote
    assert caught.value.hint is not None


async def test_a_name_that_no_request_can_carry(tree: Tree, landing: Path) -> None:
    async with serve(tree.root) as served, connect(served.endpoint, codec=ReplyCodec()) as conn:
        with pytest.raises(EncodeError, match="control character"):
            await fetch(conn, "a\nGET hello.txt", landing / "copy")
        assert not conn.closing
    assert os.listdir(landing) == []


async def test_a_destination_that_cannot_be(tree: Tree, landing: Path) -> None:
    (landing / "link").symlink_to("x")
    async with serve(tree.root) as served:
        with pytest.raises(NotFound):
            await fetch(served.endpoint, "hello.txt", landing / "nowhere" / "copy")
        with pytest.raises(NotAFile):
            await fetch(served.endpoint, "hello.txt", landing / "link")
    assert os.listdir(landing) == ["link"]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (b"", Interrupted, "INTERRUPTED"),
        (b"OK", Interrupted, "INTERRUPTED"),
        (b"OK 10\n", Interrupted, "INTERRUPTED"),
        (b"OK 10\n123456789", Interrupted, "INTERRUPTED"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", TransferError, "BAD_REPLY"),
        (b"OK -1\n", TransferError, "BAD_REPLY"),
        (b"OK \0\n", TransferError, "BAD_REPLY"),
        (b"x" * 20_000, TransferError, "BAD_REPLY"),
        (b"ERR QUOTA \xe2\x80\xaeslow down\n", TransferError, "QUOTA"),
        (b"ERR BAD_REQUEST no\n", BadRequest, "BAD_REQUEST"),
    ],
)
async def test_a_bad_server_leaves_nothing_behind(
    landing: Path, answer: bytes, kind: type[TransferError], code: str
) -> None:
    (landing / "copy").write_bytes(b"old")
    async with hostile(answer) as endpoint:
        with pytest.raises(kind) as caught:
            await fetch(endpoint, "file", landing / "copy")
        assert caught.value.code == code
        assert str(caught.value).isprintable()
        with pytest.raises(kind):
            await list_directory(endpoint)
    assert os.listdir(landing) == ["copy"]
    assert (landing / "copy").read_bytes() == b"old"


@pytest.mark.parametrize(
    "body",
    [b"file 1 ../../.bashrc\n", b"file 1 a\x1b[2J\n", b"file 1 a", b"nonsense\n", b"file 1 \xff\n", b"dir 0 /\n"],
)
async def test_a_hostile_listing(body: bytes) -> None:
    async with hostile(b"OK %d\n%b" % (len(body), body)) as endpoint:
        with pytest.raises(TransferError) as caught:
            await list_directory(endpoint)
    assert caught.value.code == "BAD_REPLY"


async def test_a_listing_that_is_announced_too_large() -> None:
    async with hostile(b"OK 999999999999\n", stay=True) as endpoint:
        with pytest.raises(TransferError) as caught:
            await list_directory(endpoint)
    assert caught.value.code == "TOO_LARGE"


async def test_a_broken_transfer_ends_the_callers_connection(landing: Path) -> None:
    async with hostile(b"OK 10\nhello") as endpoint, connect(endpoint, codec=ReplyCodec()) as conn:
        with pytest.raises(Interrupted):
            await fetch(conn, "file", landing / "copy")
        assert conn.closing
    assert os.listdir(landing) == []


async def test_nobody_listens(landing: Path) -> None:
    with pytest.raises(ConnectError):
        await fetch("tcp://127.0.0.1:1", "file", landing / "copy")
    assert os.listdir(landing) == []


async def test_a_connection_of_another_protocol(tree: Tree, landing: Path) -> None:
    async with serve(tree.root) as served, connect(served.endpoint, codec=RawCodec()) as conn:
        with pytest.raises(ConfigError, match="does not speak"):
            await fetch(conn, "hello.txt", landing / "copy")  # type: ignore[arg-type]
    assert os.listdir(landing) == []


async def test_a_full_disk_says_so_and_leaves_nothing(
    tree: Tree, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree.root / "content").write_bytes(bytes(5 * MIB))
    write = os.write
    written = 0

    def filling(descriptor: int, data: memoryview) -> int:
        nonlocal written
        written += len(data)
        if written > 2 * MIB:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    async with serve(tree.root) as served:
        with monkeypatch.context() as patch:
            patch.setattr("aionet.services.files.part.os.write", filling)
            with pytest.raises(TransferError, match="no space left") as caught:
                await fetch(served.endpoint, "content", landing / "copy")
        assert caught.value.code == "NO_SPACE"
        assert not caught.value.remote
        assert os.listdir(landing) == []
        await fetch(served.endpoint, "content", landing / "copy")  # and the server serves on
        assert served.failures == []


async def cancel_at(received: int, endpoint: str, target: Path, *, natively: bool) -> None:
    """Fetch, and be cancelled when so many bytes have come."""
    reached = asyncio.Event()

    def watch(done: int, total: int) -> None:
        if done >= received:
            reached.set()

    if natively:  # as Ctrl+C does to the main task
        task = asyncio.ensure_future(fetch(endpoint, "file", target, progress=watch))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: fetch(endpoint, "file", target, progress=watch))
            await reached.wait()
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("natively", [True, False])
@pytest.mark.parametrize("received", [0, 10, 3 * MIB])
async def test_cancelled_in_the_middle_nothing_is_left(landing: Path, received: int, natively: bool) -> None:
    async with hostile(b"OK %d\n" % (5 * MIB), bytes(received), stay=True) as endpoint:
        await cancel_at(received, endpoint, landing / "copy", natively=natively)
        assert os.listdir(landing) == []


async def test_a_progress_that_raises_leaves_nothing(tree: Tree, landing: Path) -> None:
    def broken(done: int, total: int) -> None:
        raise RuntimeError("no terminal")

    async with serve(tree.root) as served:
        with pytest.raises(RuntimeError, match="no terminal"):
            await fetch(served.endpoint, "hello.txt", landing / "copy", progress=broken)
    assert os.listdir(landing) == []


async def test_over_tls(tree: Tree, landing: Path, tls_files: TLSFiles) -> None:
    content = os.urandom(3 * MIB + 1)
    (tree.root / "content").write_bytes(content)
    router = Router()
    router.add(f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}", Files(tree.root))
    async with Server(router) as server:
        endpoint = f"tls://127.0.0.1:{server.addresses[0].port}?ca={tls_files.ca}"
        fetched = await fetch(endpoint, "content", landing)
        assert fetched.sha256 == hashlib.sha256(content).hexdigest()
        with pytest.raises(TransferError) as caught:  # a plain client on the port of TLS
            await fetch(f"tcp://127.0.0.1:{server.addresses[0].port}", "content", landing / "other")
        assert not caught.value.remote
    assert os.listdir(landing) == ["content"]


INTERRUPTED = """
import asyncio, sys
from aionet.services.files import fetch

def tell(done, total):
    print(done, flush=True)

try:
    asyncio.run(fetch(sys.argv[1], "file", sys.argv[2], progress=tell))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_interrupted_at_the_keyboard_nothing_is_left(landing: Path) -> None:
    async with hostile(b"OK %d\n" % (5 * MIB), bytes(3 * MIB), stay=True) as endpoint:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", INTERRUPTED, endpoint, str(landing / "copy")],
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        while await process.stdout.readline() != b"%d\n" % (3 * MIB):
            pass
        assert len(os.listdir(landing)) == 1
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert out == b"interrupted\n"
    assert os.listdir(landing) == []
