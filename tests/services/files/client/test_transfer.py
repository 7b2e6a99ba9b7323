"""What users call, against the server: one file, trees up and down, cut and compared."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from aionet import Router, Server
from aionet.errors import ConfigError, ConnectError
from aionet.services.files import Remote, fetch, fetch_tree, list_directory, list_tree, upload, upload_tree
from aionet.services.files.client.part import part_name
from aionet.services.files.client.progress import Progress
from aionet.services.files.client.results import Failed, Transferred
from aionet.services.files.errors import (
    AccessDenied,
    BadRequest,
    Code,
    Mismatch,
    NotADirectory,
    NotFound,
    RefusedName,
    TransferError,
)
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS, Algorithm
from aionet.testing import Direction, Fault, FaultKind, FaultProxy

from ....conftest import TLSFiles
from ....tools import in_soak
from ..serving import serve
from .conftest import content_of, overwrite
from .scripted import ok, scripted

MIB = 1024 * 1024
MANY = 10_000 if in_soak() else 500
LARGE = (5 * 1024 if in_soak() else 40) * MIB


def make_tree(root: Path) -> None:
    """Many small files, one large one with a hole, empty ones, odd names."""
    draw = random.Random(4)
    for number in range(MANY):
        directory = root / f"d{number % 20}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number}").write_bytes(draw.randbytes(4096))
    (root / "large").touch()
    os.truncate(root / "large", LARGE)
    for at in range(0, LARGE, LARGE // 5):
        overwrite(root / "large", at, draw.randbytes(2 * MIB + 17))
    (root / "medium").write_bytes(draw.randbytes(300_000))
    (root / "empty").touch()
    (root / "nothing in it" / "ä").mkdir(parents=True)
    (root / "nothing in it" / " with ; and\\ = 100%").write_bytes(b"odd")
    os.utime(root / "empty", ns=(5, 1_000_000_000_123_456_789))


def assert_equal(one: Path, other: Path) -> None:
    """The same files and directories, bytes and times."""
    if LARGE > 100 * MIB:
        subprocess.run(["diff", "-r", one, other], check=True)
    else:
        assert content_of(one) == content_of(other)
    for path in one.rglob("*"):
        if path.is_file():
            assert path.stat().st_mtime_ns == (other / path.relative_to(one)).stat().st_mtime_ns


@pytest.mark.timeout(3600 if in_soak() else 600)
async def test_a_tree_goes_up_and_comes_back_through_twenty_cuts(
    served_root: Path, tmp_path: Path, pauses: list[float], record_property: Callable[[str, object], None]
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    make_tree(source)
    draw = random.Random(5)
    proxies: list[FaultProxy] = []

    def faults() -> Iterator[Fault]:
        while proxies[-1].happened < 20:
            kind = draw.choice([FaultKind.CUT, FaultKind.RESET])
            yield Fault(kind, after=draw.randrange(500, LARGE // 40))

    async with serve(Files(served_root, writable=True)) as served:
        proxies.append(FaultProxy(served.endpoint, faults()))
        async with proxies[-1] as proxy, Remote(proxy.endpoint, retries=10) as remote:
            sent = await upload_tree(remote, source)
            assert (sent.failures, len(sent.files)) == ((), MANY + 4)
            assert proxy.happened >= 20
        assert_equal(source, served_root / "source")
        proxies.append(FaultProxy(served.endpoint, faults()))
        async with proxies[-1] as proxy, Remote(proxy.endpoint, retries=10) as remote:
            got = await fetch_tree(remote, "source", back)
            assert (got.failures, len(got.files)) == ((), MANY + 4)
            assert proxy.happened >= 20
    assert_equal(source, back)
    record_property("files, bytes of the large one, faults", (len(got.files), LARGE, [it.happened for it in proxies]))
    assert {file.name: file.digest for file in got.files} == {file.name: file.digest for file in sent.files}


async def test_what_is_there_is_left_alone(served_root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (source / name).write_bytes(name.encode())
    async with serve(Files(served_root, writable=True)) as served, Remote(served.endpoint) as remote:
        for expected in (False, True):
            sent = await upload_tree(remote, source)
            got = await fetch_tree(remote, "source", f"{tmp_path}/back/")
            assert [file.unchanged for file in (*sent.files, *got.files)] == [expected] * 6
        (source / "a").write_bytes(b"A")
        sent = await upload_tree(remote, source)
        assert [file.name for file in sent.files if not file.unchanged] == ["source/a"]
        got = await fetch_tree(remote, "source", f"{tmp_path}/back/")
        assert [file.path for file in got.files if not file.unchanged] == [tmp_path / "back" / "source" / "a"]
        sent = await upload_tree(remote, source, again=True)
        got = await fetch_tree(remote, "source", f"{tmp_path}/back/", again=True)
        assert not any(file.unchanged for file in (*sent.files, *got.files))


async def test_two_trees_are_compared_by_hash(served_root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("same", "differs", "lacks", "lacks there"):
        (source / name).write_bytes(name.encode())
    (source / "large").write_bytes(bytes(2 * MIB))
    files = Files(served_root, writable=True)
    async with serve(files) as served, FaultProxy(served.endpoint) as proxy, Remote(proxy.endpoint) as remote:
        await upload_tree(remote, source)
        found = (source / "differs").stat()
        (source / "differs").write_bytes(b"DIFFERS")
        os.utime(source / "differs", ns=(found.st_atime_ns, found.st_mtime_ns))
        (source / "lacks").unlink()
        (served_root / "source" / "lacks there").unlink()
        before = proxy.passed
        down = await fetch_tree(remote, "source", source.parent, verify=True)
        up = await upload_tree(remote, source, verify=True)
        assert proxy.passed - before < 10_000
    for result in (down, up):
        assert sorted(file.path.name for file in result.files) == ["large", "same"]
    assert all(file.digest for file in (*down.files, *up.files))
    assert sorted((failure.name, type(failure.error)) for failure in down.failures) == [
        ("source/differs", Mismatch),
        ("source/lacks", NotFound),
    ]
    assert sorted((failure.name, type(failure.error)) for failure in up.failures) == [
        ("source/differs", Mismatch),
        ("source/lacks there", NotFound),
    ]
    assert not (source / "lacks").exists()


async def test_one_that_fails_does_not_stop_the_others(served_root: Path, landing: Path) -> None:
    for name in ("a", "b", "c", "large"):
        (served_root / name).write_bytes(name.encode() * (MIB if name == "large" else 1))
    (landing / "b").mkdir()
    (landing / "large").symlink_to("elsewhere")
    told: list[Transferred | Failed] = []
    async with serve(served_root) as served:
        found = await fetch_tree(served.endpoint, ["a", "b", "c", "large"], landing, on_file=told.append)
    assert [file.name for file in found.files] == ["a", "c"]
    assert [(failure.name, failure.error.__class__.__name__) for failure in found.failures] == [
        ("b", "NotAFile"),
        ("large", "NotAFile"),
    ]
    assert sorted(each.name for each in told) == ["a", "b", "c", "large"]


async def test_uploads_that_are_refused_do_not_stop_the_others(served_root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ".git").mkdir(parents=True)
    (source / ".git" / "config").write_bytes(b"x")
    (source / ".hidden").write_bytes(b"x")
    (source / "a.txt").write_bytes(b"x")
    (source / "b.exe").write_bytes(b"x")
    (source / "big.txt").write_bytes(bytes(3 * MIB))
    (source / "gone.txt").write_bytes(b"x")
    files = Files(served_root, writable=True, name_pattern=r"source(/[^/]+\.txt)?|source/\.git", max_file=2 * MIB)

    def remove(progress: Progress) -> None:
        (source / "gone.txt").unlink(missing_ok=True)

    async with serve(files) as served:
        found = await upload_tree(served.endpoint, source, progress=remove)
    assert [file.name for file in found.files] == ["source/a.txt"]
    assert sorted((failure.name, failure.error.__class__.__name__) for failure in found.failures) == [
        ("source/.git", "RefusedName"),
        ("source/.hidden", "TransferError"),
        ("source/b.exe", "TransferError"),
        ("source/big.txt", "TransferError"),
        ("source/gone.txt", "NotFound"),
    ]


async def test_a_server_that_takes_nothing_says_so_once(served_root: Path, tmp_path: Path) -> None:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (tmp_path / "source" / name).write_bytes(b"x")
    async with serve(served_root) as served:
        with pytest.raises(TransferError, match="takes no files") as caught:
            await upload_tree(served.endpoint, tmp_path / "source")
        assert (caught.value.code, caught.value.remote) == (Code.FORBIDDEN, True)
        with pytest.raises(TransferError, match="takes no files"):
            await upload(served.endpoint, tmp_path / "source" / "a")
        assert len((await upload_tree(served.endpoint, tmp_path / "source", verify=True)).failures) == 2


async def test_hostile_trees_land_nowhere_else(tmp_path: Path, landing: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (landing / "tree").mkdir()
    (landing / "tree" / "a").symlink_to(outside)
    digest = hashlib.sha256(b"x").hexdigest()

    def answer(line: str) -> bytes:
        if line.startswith("STAT"):
            return ok(kind="dir", size=0, mtime="0")
        if line == "LIST tree":
            return ok(b"dir 0;mtime=0 a\nfile 1;mtime=0;tag=t b\n", left_out=0)
        if line == "LIST tree/a":
            return ok(b"file 1;mtime=0;tag=t x\n", left_out=0)
        return ok(b"x", offset=0, total=1, mtime="0", tag="t", digest=digest, checked=1)

    async with scripted(answer) as server:
        found = await fetch_tree(server.endpoint, "tree", landing)
    assert [file.name for file in found.files] == ["tree/b"]
    assert {type(failure.error) for failure in found.failures} == {NotADirectory}
    assert os.listdir(outside) == []


async def test_small_files_that_arrive_damaged_are_fetched_the_long_way(landing: Path) -> None:
    digest = hashlib.sha256(b"hello").hexdigest()

    def answer(line: str) -> bytes:
        if line.startswith("STAT"):
            return ok(kind="file", size=5, mtime="0", tag="t")
        if line.startswith("HASH"):
            return ok(total=5, tag="t", digest=digest)
        body = b"HELLO" if line == "GET file" else b"hello"
        return ok(body, offset=0, total=5, mtime="0", tag="t", digest=digest, checked=1)

    async with scripted(answer) as server:
        found = await fetch_tree(server.endpoint, "file", landing)
        assert [line.partition(" ")[0] for line in server.lines] == [
            *("STAT", "GET", "STAT", "GET;offset=0;length=5;tag=t", "HASH;chunks=0")
        ]
    assert (landing / "file").read_bytes() == b"hello"
    assert (found.files[0].hash, found.files[0].digest) == ("sha256", digest)


async def test_a_file_that_has_grown_since_it_was_listed(landing: Path) -> None:
    data = os.urandom(3 * MIB)

    def answer(line: str) -> bytes:
        head = line.partition(" ")[0]
        if head == "STAT":
            size = 5 if not asked else len(data)
            asked.append(line)
            return ok(kind="file", size=size, mtime="0", tag="t")
        if head.startswith("HASH"):
            return ok(total=len(data), tag="t", digest=hashlib.sha256(data).hexdigest())
        options = dict(pair.split("=") for pair in head.split(";")[1:])
        start = int(options.get("offset", 0))
        return ok(data[start : start + int(options.get("length", len(data)))], offset=start, total=len(data), tag="t")

    asked: list[str] = []
    async with scripted(answer) as server:
        await fetch_tree(server.endpoint, "file", landing)
    assert (landing / "file").read_bytes() == data


async def test_no_space_here_ends_it_at_once(served_root: Path, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        (served_root / f"{number:03}").write_bytes(b"x")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with serve(served_root) as served:
        with monkeypatch.context() as patch:
            patch.setattr("aionet.services.files.client.part.os.pwrite", full)
            with pytest.raises(TransferError, match="no space left") as caught:
                await fetch_tree(served.endpoint, ".", landing)
            assert caught.value.code == Code.NO_SPACE
        assert (await fetch_tree(served.endpoint, ".", landing)).failures == ()
    assert len(os.listdir(landing)) == 300


async def test_no_permission_here(served_root: Path, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (served_root / "a").write_bytes(b"x")
    open_file = os.open

    def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == part_name("a"):
            raise PermissionError(13, "Permission denied")
        return open_file(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr("aionet.services.files.client.part.os.open", refusing)
    async with serve(served_root) as served:
        found = await fetch_tree(served.endpoint, "a", landing)
    assert [type(failure.error) for failure in found.failures] == [AccessDenied]


async def test_one_file_each_way(served_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = os.urandom(5 * MIB)
    (tmp_path / "song.ogg").write_bytes(data)
    seen: list[int] = []
    async with serve(Files(served_root, writable=True)) as served:
        sent = await upload(served.endpoint, "song.ogg", progress=lambda progress: seen.append(progress.done))
        assert seen[-1] == len(data)
        assert (sent.name, sent.path, sent.size) == ("song.ogg", Path("song.ogg"), len(data))
        async with Remote(served.endpoint) as remote:
            got = await fetch(remote, "song.ogg", "copy.ogg", parallel=2)
            with pytest.raises(RefusedName):
                await fetch(remote, "..")
            with pytest.raises(NotFound):
                await fetch(remote, "nothing")
            with pytest.raises(NotFound, match="nowhere"):
                await fetch(remote, "song.ogg", "nowhere/copy.ogg")
            with pytest.raises(NotFound):
                await upload(remote, "nothing")
    assert (tmp_path / "copy.ogg").read_bytes() == data
    assert got.hash == sent.hash == "blake3"
    assert got.digest == sent.digest == ALGORITHMS["blake3"].hexdigest(data)
    assert got.mtime_ns == sent.mtime_ns


async def test_a_certificate_that_is_wanted_is_asked_for_once(
    served_root: Path, tls_files: TLSFiles, pauses: list[float]
) -> None:
    (served_root / "file").write_bytes(b"x")
    router = Router()
    router.add(
        f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}&client_ca={tls_files.ca}",
        Files(served_root),
    )
    async with Server(router) as server:
        endpoint = f"tls://127.0.0.1:{server.addresses[0].port}?ca={tls_files.ca}"
        with pytest.raises(TransferError, match="wants a certificate of yours") as caught:
            await list_directory(endpoint)
        assert caught.value.hint is not None
        assert "--cert" in caught.value.hint
        other = f"&cert={tls_files.other_cert}&key={tls_files.other_key}"
        with pytest.raises(TransferError, match="wants a certificate of yours"):
            await list_directory(f"{endpoint}{other}")
        own = f"&cert={tls_files.client_cert}&key={tls_files.client_key}"
        assert [entry.name for entry in (await list_directory(f"{endpoint}{own}")).entries] == ["file"]
    assert pauses == []  # to try again would have been in vain


async def test_over_tls(served_root: Path, tmp_path: Path, tls_files: TLSFiles) -> None:
    (served_root / "file").write_bytes(os.urandom(3 * MIB))
    router = Router()
    router.add(
        f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}", Files(served_root, writable=True)
    )
    async with Server(router) as server:
        endpoint = f"tls://127.0.0.1:{server.addresses[0].port}?ca={tls_files.ca}"
        await fetch(endpoint, "file", tmp_path / "copy", parallel=2)
        await upload(endpoint, tmp_path / "copy", "back")
    assert (served_root / "back").read_bytes() == (served_root / "file").read_bytes()


async def test_listings(served_root: Path) -> None:
    (served_root / "music").mkdir()
    for name in ("one", "music/two", "music/.hidden"):
        (served_root / name).write_bytes(b"x")
    (served_root / "link").symlink_to("/etc/passwd")
    async with serve(served_root) as served, Remote(served.endpoint) as remote:

        async def names(name: str, *, recursive: bool = False) -> list[str]:
            listing = await list_tree(remote, name, recursive=recursive)
            return [entry.name for entry in listing.entries]

        assert await names("") == ["music", "one"]
        assert await names("music/") == ["two"]
        assert await names("one") == ["one"]
        assert await names("*/t*") == ["music/two"]
        assert await names("", recursive=True) == ["music", "music/two", "one"]
        assert await names("*", recursive=True) == ["music", "music/two", "one"]
        assert (await list_directory(remote)).left_out == 1
        for wrong in ("nothing", "../x"):
            with pytest.raises(TransferError):
                await names(wrong)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    async with scripted(lambda line: ok()) as server:
        pass
    with pytest.raises(ConnectError):
        await fetch(server.endpoint, "x", tmp_path)
    with pytest.raises(ConnectError):
        await fetch_tree(server.endpoint, "x", tmp_path)
    (tmp_path / "x").touch()
    with pytest.raises(ConnectError):
        await upload_tree(server.endpoint, tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_a_client_that_is_killed_leaves_what_the_next_one_takes_up(
    served_root: Path, landing: Path, how: signal.Signals
) -> None:
    data = os.urandom(24 * MIB)
    (served_root / "file").write_bytes(data)
    stall = Fault(FaultKind.STALL, after=17 * MIB, direction=Direction.DOWN)
    async with serve(served_root) as served, FaultProxy(served.endpoint, [stall]) as proxy:
        command = [sys.executable, "-m", "aionet", "get", str(proxy.endpoint), "file", str(landing)]
        process = await anyio.open_process(command, env={**os.environ, "PYTHONPATH": os.getcwd()}, stderr=-1)
        part = landing / part_name("file")
        while not part.exists() or part.stat().st_blocks * 512 < 15 * MIB:  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.01)
        process.send_signal(how)
        assert await process.wait() == (130 if how is signal.SIGINT else -how)
        assert process.stderr is not None
        if how is signal.SIGINT:
            said = b"".join([chunk async for chunk in process.stderr])
            assert b"the same command goes on" in said
            assert b"Traceback" not in said
        await process.aclose()
        assert os.listdir(landing) == [part_name("file")]
        before = proxy.passed
        await fetch(proxy.endpoint, "file", landing)
        assert proxy.passed - before < 13 * MIB
    assert (landing / "file").read_bytes() == data


async def test_a_part_that_somebody_serves_does_not_become_another_file(served_root: Path, landing: Path) -> None:
    (served_root / "a").write_bytes(b"right")
    (served_root / part_name("a")).write_bytes(b"wrong")
    (served_root / "large").write_bytes(random.Random(5).randbytes(2 * MIB))
    (served_root / part_name("large")).write_bytes(b"wrong")
    async with serve(Files(served_root, hidden=True)) as served:
        result = await fetch_tree(served.endpoint, ".", landing)
        assert (result.failures, result.left_out) == ((), 2)
        assert {found.name for found in result.files} == {"a", "large"}
        result = await fetch_tree(served.endpoint, ".*", landing)
        assert (result.files, result.left_out) == ((), 2)
    assert content_of(landing) == {name: (served_root / name).read_bytes() for name in ("a", "large")}


@pytest.mark.parametrize("size", [2**62, 10**19 - 1])
async def test_a_size_that_no_file_has_is_an_error(landing: Path, size: int) -> None:
    def answer(line: str) -> bytes:
        return ok(kind="file", size=size, total=size, offset=0, mtime="1.0", tag="t", digest="0" * 64)

    async with scripted(answer) as server:
        with pytest.raises(TransferError) as caught:
            await fetch(server.endpoint, "a", landing / "a")
    assert caught.value.code == Code.TOO_LARGE
    assert content_of(landing) == {}


async def test_the_algorithm_that_is_wanted(served_root: Path, tmp_path: Path, algorithm: Algorithm) -> None:
    data = os.urandom(2 * MIB)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(data if name == "a" else b"b")
    paths, expected = [tmp_path / "a", tmp_path / "b"], {algorithm.hexdigest(data), algorithm.hexdigest(b"b")}
    async with serve(Files(served_root, writable=True)) as served, Remote(served.endpoint) as remote:
        one = await upload(remote, tmp_path / "a", hash=algorithm.name)
        other = await fetch(remote, "a", tmp_path / "c", hash=algorithm.name)
        assert one.digest == other.digest == algorithm.hexdigest(data)
        for verify in (False, True):
            up = await upload_tree(remote, paths, again=True, hash=algorithm.name, verify=verify)
            down = await fetch_tree(remote, ["a", "b"], tmp_path, again=True, hash=algorithm.name, verify=verify)
            assert {file.digest for file in up.files} == {file.digest for file in down.files} == expected
            assert {file.hash for file in (*up.files, *down.files)} == {algorithm.name}


async def test_an_algorithm_that_one_side_does_not_have(served_root: Path, tmp_path: Path) -> None:
    for root in (served_root, tmp_path):
        (root / "a").write_bytes(b"x")
    for wanted, error, said in (
        ("md5", ConfigError, "hash 'md5' is not to be had here: it is one of blake3, sha256"),
        ("blake3", BadRequest, "the server does not have BLAKE3"),
    ):
        files = Files(served_root, writable=True, algorithms=["sha256"])
        async with serve(files) as served, Remote(served.endpoint) as remote:
            for attempt in (
                fetch(remote, "a", tmp_path / "b", hash=wanted),
                upload(remote, tmp_path / "a", hash=wanted),
                fetch_tree(remote, "a", tmp_path, hash=wanted, again=True),
                upload_tree(remote, tmp_path / "a", hash=wanted),
                upload_tree(remote, tmp_path / "a", hash=wanted, verify=True),
            ):
                with pytest.raises(error, match=said):
                    await attempt
            assert (await fetch(remote, "a", tmp_path / "b")).hash == "sha256"
            assert (await upload(remote, tmp_path / "a")).hash == "sha256"
