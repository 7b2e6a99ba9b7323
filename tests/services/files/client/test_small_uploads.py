"""Many small files, sent over one connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.services.files.client.progress import Progress
from aionet.services.files.client.remote import Remote
from aionet.services.files.client.results import Item, Results
from aionet.services.files.client.small_downloads import SMALL
from aionet.services.files.client.small_uploads import send_small
from aionet.services.files.disk import Disk
from aionet.services.files.errors import NotFound
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS, Algorithm
from aionet.testing import Fault, FaultKind, FaultProxy

from ..serving import serve
from .scripted import ok, scripted


async def sent(
    remote: Remote, items: list[Item], wanted: Algorithm | None = None
) -> tuple[Results, list[Item], Progress]:
    results, progress = Results(), Progress()
    return results, await send_small(remote, items, Disk(2), progress, results, wanted), progress


def make_items(root: Path, sizes: dict[str, int]) -> list[Item]:
    for name, size in sizes.items():
        (root / name).write_bytes(os.urandom(size))
        os.utime(root / name, ns=(1, 10**18 + size))
    return [Item(name, str(root / name), name, size, 0) for name, size in sizes.items()]


async def test_all_of_them_over_one_connection(served_root: Path, landing: Path, algorithm: Algorithm) -> None:
    sizes = {f"{number}": number * 37 for number in range(500)} | {"large": SMALL}
    items = make_items(landing, sizes)
    async with serve(Files(served_root, writable=True)) as served, Remote(served.endpoint) as remote:
        results, later, progress = await sent(remote, items, algorithm)
    assert len(served.closed) <= 1
    assert (later, results.failures) == ([], [])
    assert [file.name for file in results.files] == list(sizes)
    for file in results.files:
        there = served_root / file.name
        assert there.read_bytes() == file.path.read_bytes()
        assert (file.hash, file.digest) == (algorithm.name, algorithm.hexdigest(there.read_bytes()))
        assert there.stat().st_mtime_ns == file.mtime_ns == 10**18 + file.size
    assert (progress.files_done, progress.done) == (len(sizes), sum(sizes.values()))


async def test_a_failure_is_of_one_alone(served_root: Path, landing: Path) -> None:
    items = make_items(landing, dict.fromkeys(["a", "gone", "no.exe", "grown", "z"], 5))
    (landing / "gone").unlink()
    (landing / "grown").write_bytes(bytes(SMALL + 1))
    files = Files(served_root, writable=True, name_pattern="[a-z]+")
    async with serve(files) as served, Remote(served.endpoint) as remote:
        results, later, _ = await sent(remote, items)
    assert [file.name for file in results.files] == ["a", "z"]
    assert [item.name for item in later] == ["grown"]
    assert [(failure.name, getattr(failure.error, "code", "")) for failure in results.failures] == [
        ("gone", NotFound.code),
        ("no.exe", "FORBIDDEN"),
    ]


async def test_what_did_not_arrive_as_it_was_sent_is_sent_the_long_way(landing: Path) -> None:
    items = make_items(landing, {"a": 5, "b": 5})

    def answer(line: str) -> bytes:
        return b"ERR MISMATCH no\n" if line.startswith("COMMIT") and line.endswith("a") else ok(received=5)

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        results, later, _ = await sent(remote, items)
    assert [item.name for item in later] == ["a"]
    assert [file.name for file in results.files] == ["b"]


async def test_nothing(landing: Path) -> None:
    async with Remote("tcp://127.0.0.1:1") as remote:
        assert (await sent(remote, []))[1] == []


@pytest.mark.parametrize("old", ALGORITHMS)
async def test_a_server_that_is_replaced_by_one_with_another_algorithm(
    served_root: Path, landing: Path, pauses: list[float], old: str
) -> None:
    items = make_items(landing, {f"{number}": 1000 + number for number in range(200)})
    both, one = Files(served_root, writable=True), Files(served_root, writable=True, algorithms=["sha256"])
    first, second = (both, one) if old == "blake3" else (one, both)
    async with serve(first) as before, serve(second) as later:

        def faults() -> Iterator[Fault]:
            yield Fault(FaultKind.CUT, after=90_000)
            proxy.target = later.endpoint

        async with FaultProxy(before.endpoint, faults()) as proxy, Remote(proxy.endpoint, retries=20) as remote:
            results, left, _ = await sent(remote, items)
            assert proxy.happened == 1
    assert (left, results.failures, len(results.files)) == ([], [], 200)
    assert results.files[-1].hash == ("sha256" if old == "blake3" else "blake3")
    for file in results.files:
        assert ALGORITHMS[file.hash].hexdigest((served_root / file.name).read_bytes()) == file.digest
