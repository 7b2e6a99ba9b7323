"""Hostile names, races of links, a full disk, a killed server: counted. ``make soak`` runs the long forms."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from aionet.services.files.errors import Code, TransferError
from aionet.services.files.handler import Files
from aionet.services.files.paths import Directory
from aionet.services.files.rules import Rules
from aionet.services.files.store import Claim, Store
from tests.tools import in_ci, in_soak

from .conftest import Tree
from .serving import RawClient, raw_client, serve

MIB = 1024 * 1024
ROUNDS = 1_000_000 if in_soak() else 20_000
"""Opens while links are swapped."""

KILLS = 50 if in_soak() else 3

LOOPS = ["asyncio", "uvloop"] if in_soak() else ["uvloop"]
"""For those that take long. They write their counts down as properties: ``make soak ARGS="--junitxml counts.xml"``."""

Record = Callable[[str, object], None]

ATOMS = [
    *[
        "..",
        ".",
        "",
        "...",
        ".. ",
        " ..",
        "..\\",
        "..%2f",
        "%2e%2e",
        "%2e",
        "..;",
        "~",
        "~root",
        "-",
        "--",
        "*",
        "?",
        "$HOME",
    ],
    *[
        "etc",
        "passwd",
        "proc",
        "self",
        "root",
        "cwd",
        "dev",
        "null",
        "zero",
        "CON",
        "NUL",
        "C:",
        "C:\\x",
        "\\\\host\\share",
    ],
    *[
        "hello.txt",
        "sub",
        "link-inside",
        "link-outside",
        "link-out-dir",
        "link-absolute",
        "link-loop",
        "link-proc",
        "fifo",
    ],
    *[
        ".hidden",
        ".aionet-partial",
        ".AIONET-PARTIAL",
        ".aionet-partial ",
        "secret",
        "a" * 255,
        "a" * 256,
        "\u202e",
        "\uff0e\uff0e",
    ],
    *[
        "\u2025",
        "\u2024\u2024",
        "..\u200b",
        "\u00ad..",
        "\u2215",
        "\u2044",
        "\uff0f",
        "\u0430",
        "e\u0301",
        "\u00e9",
        "\ufeff",
    ],
]


def hostile_names(count: int) -> list[bytes]:
    """Every atom alone and doubled, then combinations of them, of which none is twice."""
    draw = random.Random(2)
    names = {atom for atom in ATOMS if atom} | {f"/{atom}" for atom in ATOMS} | {f"{atom}/" for atom in ATOMS}
    names |= {f"sub/{atom}" for atom in ATOMS} | {f"../{atom}" for atom in ATOMS}
    names |= {"x" * 4095, "x/" * 2000 + "x", "../" * 1000 + "etc/passwd", "a/" * 2047}
    while len(names) < count:
        names.add("/".join(draw.choices(ATOMS, k=draw.randint(2, 6))))
    return [name.encode() for name in sorted(names)]


def fingerprint(root: Path) -> dict[str, tuple[int, int, str]]:
    """What is outside: inode, size, and where links lead."""
    return {
        str(path): (path.lstat().st_ino, path.lstat().st_size, os.readlink(path) if path.is_symlink() else "")
        for path in sorted(root.rglob("*"))
    }


def requests_for(name: bytes) -> Iterator[bytes]:
    """Every command that has a name, with this one; a rename in both roles."""
    digest = hashlib.sha256(b"evil").hexdigest().encode()
    yield b"STAT " + name
    yield b"LIST " + name
    yield b"GET " + name
    yield b"GET;offset=1;length=3 " + name
    yield b"HASH;chunks=0 " + name
    yield b"STAT;upload=u " + name
    yield b"HASH;upload=u " + name
    yield b"MKDIR " + name
    yield b"PUT;size=4;upload=u " + name + b"\nevil"
    yield b"COMMIT;upload=u;total=4;digest=" + digest + b" " + name
    yield b"CANCEL;upload=u " + name
    yield b"RENAME;size=%d;replace=1 hello.txt\n" % len(name) + name
    yield b"RENAME;size=9 " + name + b"\nhello.txt"
    yield b"DELETE " + name


async def answers_of(client: RawClient) -> bytes:
    """All parts of the next answer; the first header."""
    first, body = await client.answer()
    header = first
    while b";more=1" in header:
        header, more = await client.answer()
        body += more
    assert b"secret\n" not in body
    assert b"root:" not in body
    return first


@pytest.mark.asyncio(loop_factories=LOOPS)
@pytest.mark.parametrize(("follow_links", "count"), [(True, 2000), (False, 2000 if in_soak() else 500)])
async def test_hostile_names_through_every_command(
    tree: Tree, follow_links: bool, count: int, record_property: Record
) -> None:
    names = hostile_names(count)
    assert len(names) >= count
    (tree.outside / "secret").write_bytes(b"secret\n")
    before = fingerprint(tree.outside)
    codes: set[bytes] = set()
    asked = 0
    with Directory(tree.root, follow_links=follow_links) as directory:
        async with serve(Files(directory, writable=True)) as served, raw_client(served) as client:
            for name in names:
                lines = list(requests_for(name))
                for line in lines:
                    client.write(line + (b"" if line.startswith((b"PUT", b"RENAME")) else b"\n"))
                for _ in lines:
                    header = await answers_of(client)
                    codes.add(header.split()[1] if header.startswith(b"ERR") else b"OK")
                    asked += 1
                (tree.root / "hello.txt").write_bytes(b"hello world")
            assert (await client.ask(b"GET hello.txt"))[1] == b"hello world"
        assert served.failures == []
    record_property("names, requests", (len(names), asked))
    assert asked == len(names) * 14
    assert fingerprint(tree.outside) == before
    assert {b"OK", b"REFUSED_NAME", b"NOT_FOUND"} <= codes <= {b"OK", *(code.encode() for code in Code)}
    assert b"IO_ERROR" not in codes


@contextlib.contextmanager
def swapping(tree: Tree) -> Iterator[None]:
    """A thread that makes ``sub`` a directory, then a link that leaves, and so on."""
    away, link = tree.root / "real", tree.root / "leaving"
    link.symlink_to("../outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(tree.root / "sub", away)
            os.rename(link, tree.root / "sub")
            os.rename(tree.root / "sub", link)
            os.rename(away, tree.root / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.timeout(3600 if in_soak() else 60)
@pytest.mark.parametrize("follow_links", [True, False])
def test_no_open_escapes_while_links_are_swapped(tree: Tree, follow_links: bool, record_property: Record) -> None:
    (tree.outside / "inner.txt").write_bytes(b"outside")
    (tree.outside / "leaf").write_bytes(b"outside")
    before = fingerprint(tree.outside)
    opened = refused = written = at_once = 0
    with Directory(tree.root, follow_links=follow_links) as directory, swapping(tree):
        store = Store(directory, Rules(writable=True))
        for number in count():
            if number >= ROUNDS and written:  # an upload has to meet the directory several times in a row
                break
            try:
                with directory.opened("sub/inner.txt") as (descriptor, _):
                    assert os.pread(descriptor, 100, 0) == b"inner"
                opened += 1
            except TransferError:
                refused += 1
            cached = directory.open_cached("sub/inner.txt")
            if cached is not None:
                assert os.pread(cached[0], 100, 0) == b"inner"
                os.close(cached[0])
                at_once += 1
            small = directory.read_cached("sub/inner.txt", 100)
            if small is not None:
                assert small.content == b"inner"
                at_once += 1
            if number % 20 == 0:
                with contextlib.suppress(TransferError):
                    upload = store.begin("", "sub/new", "u")
                    upload.write([b"new"], 0)
                    (outcome,) = store.commit([Claim(upload)])
                    upload.close()
                    written += not isinstance(outcome, TransferError)
                for change in (store.make_directory, store.delete):
                    with contextlib.suppress(TransferError):
                        change("sub/made")
    record_property("opened, from memory, refused, written", (opened, at_once, refused, written))
    assert opened > 0
    assert at_once == 0 or follow_links
    assert refused > 0
    assert written > 0
    assert fingerprint(tree.outside) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mounted)], capture_output=True).returncode:
        if in_ci():
            pytest.fail("a tmpfs cannot be mounted: the tests in CI run as root")
        pytest.skip("a tmpfs can only be mounted by root")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


async def test_a_disk_that_is_full_in_the_middle(small_disk: Path) -> None:
    content = os.urandom(900 * 1024)
    (small_disk / "ballast").write_bytes(b"x" * 500 * 1024)
    digest = hashlib.sha256(content).hexdigest()
    async with serve(Files(small_disk, writable=True)) as served, raw_client(served) as client:
        client.write(b"PUT;size=%d;upload=u big\n" % len(content) + content)
        header, _ = await client.answer()
        assert header == b"ERR NO_SPACE no space left for 'big'\n"
        assert (await client.ask(b"GET ballast"))[1] == b"x" * 500 * 1024  # it serves on
        received = int((await client.ask(b"STAT;upload=u big"))[0].split(b"=")[1])
        assert 0 < received < len(content)
        assert (await client.ask(b"MKDIR directory"))[0][:3] in (b"OK ", b"ERR")
        assert not (small_disk / "big").exists()
        assert (await client.ask(b"DELETE ballast"))[0] == b"OK 0\n"
        client.write(b"PUT;size=%d;upload=u;offset=%d big\n" % (len(content) - received, received) + content[received:])
        assert (await client.answer())[0] == b"OK 0;received=%d\n" % len(content)
        assert (await client.ask(f"COMMIT;upload=u;total={len(content)};digest={digest} big".encode()))[0][:3] == b"OK "
        assert served.failures == []
    assert (small_disk / "big").read_bytes() == content


SERVER = """
import sys
from aionet import Router
from aionet.running import serve
from aionet.services.files.handler import Files
router = Router()
router.add("tcp://127.0.0.1:0", Files(sys.argv[1], writable=True))
serve(router, loop=sys.argv[2], on_started=lambda server: print(server.addresses[0].port, flush=True))
"""


def this_loop() -> str:
    """The name of the loop that runs, for a server in a process of its own."""
    return "uvloop" if type(asyncio.get_running_loop()).__module__.startswith("uvloop") else "asyncio"


async def send_versions(port: int, name: str, versions: list[bytes]) -> int:
    """Commit one version of a file after the other, until the server is gone; how many it has taken."""
    number = 0
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return number
    client = RawClient(reader, writer)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        for number in range(10_000):
            content = versions[number % len(versions)]
            digest = hashlib.sha256(content).hexdigest()
            client.write(b"PUT;size=%d;upload=u%d %s\n" % (len(content), number, name.encode()) + content)
            await client.answer()
            header, _ = await client.ask(
                f"COMMIT;upload=u{number};total={len(content)};digest={digest} {name}".encode()
            )
            assert header.startswith(b"OK ")
    with contextlib.suppress(OSError):
        await client.close()
    return number


@contextlib.asynccontextmanager
async def killed_at(root: Path, seconds: float) -> AsyncIterator[int]:
    """A server in a process of its own, which is killed after so many seconds of the block."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", SERVER, str(root), this_loop()],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    killer = asyncio.get_running_loop().call_later(seconds, process.send_signal, signal.SIGKILL)
    try:
        yield port
    finally:
        killer.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.timeout(3600 if in_soak() else 60)
@pytest.mark.asyncio(loop_factories=LOOPS)
async def test_killed_at_any_moment_what_is_there_is_right(tmp_path: Path, record_property: Record) -> None:
    draw = random.Random(3)
    versions = {f"file {number}": [draw.randbytes(size) for size in (1, 5_000, 300_000)] for number in range(4)}
    allowed = {name: {hashlib.sha256(content).digest() for content in each} for name, each in versions.items()}
    seen = committed = 0
    for _ in range(KILLS):
        async with killed_at(tmp_path, draw.uniform(0.05, 0.5)) as port:
            committed += sum(
                await asyncio.gather(*(send_versions(port, name, each) for name, each in versions.items()))
            )
        for name in set(os.listdir(tmp_path)) - {".aionet-partial"}:
            assert hashlib.sha256((tmp_path / name).read_bytes()).digest() in allowed[name]
            seen += 1
    record_property("kills, committed before, files looked at", (KILLS, committed, seen))
    assert committed >= KILLS
    assert seen > 0
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        for name, each in versions.items():  # and those that were broken off go on, or begin anew
            digest = hashlib.sha256(each[2]).hexdigest()
            received = int((await client.ask(f"STAT;upload=u2 {name}".encode()))[0].split(b"=")[1])
            rest = each[2][received:]
            client.write(f"PUT;size={len(rest)};upload=u2;offset={received} {name}\n".encode() + rest)
            assert (await client.answer())[0] == b"OK 0;received=300000\n"
            line = f"COMMIT;upload=u2;total=300000;digest={digest} {name}"
            assert (await client.ask(line.encode()))[0].startswith(b"OK ")
            assert (tmp_path / name).read_bytes() == each[2]


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.asyncio(loop_factories=LOOPS)
async def test_a_hundred_large_downloads_take_little_memory(tmp_path: Path, record_property: Record) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1024 * MIB)
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", SERVER, str(tmp_path), this_loop()],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        idle = resident(process.pid)
        loop, sockets, most = asyncio.get_running_loop(), list[socket.socket](), 0
        for _ in range(100):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setblocking(False)
            await loop.sock_sendall(sock, b"GET sparse\n")
            sockets.append(sock)
        buffer = bytearray(256 * 1024)
        for _ in range(3 if not in_soak() else 500):
            for sock in sockets:
                assert await loop.sock_recv_into(sock, buffer) > 0
            most = max(most, resident(process.pid))
        for sock in sockets:
            sock.close()
        record_property("bytes more than idle", most - idle)
        assert most - idle < 100 * MIB
    finally:
        process.kill()
        await process.wait()


async def test_holes_and_offsets_beyond_four_gib(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(5 * 1024 * MIB)
        file.write(b"the end")
    async with serve(tmp_path) as served, raw_client(served) as client:
        header, body = await client.ask(b"GET;offset=%d sparse" % (5 * 1024 * MIB - 1))
        assert body == b"\0the end"
        assert b";total=5368709127;" in header
        header, body = await client.ask(b"GET;offset=%d;length=200000 sparse" % (4 * 1024 * MIB))
        assert body == bytes(200_000)
        manifest = await client.ask(b"HASH;offset=%d;length=100 sparse" % (5 * 1024 * MIB))
        assert manifest[1].decode() == hashlib.sha256(b"the end").hexdigest() + "\n"
