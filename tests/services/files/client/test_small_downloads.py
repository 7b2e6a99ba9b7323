"""Many small files, fetched over one connection and stored in groups."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.services.files.client.landing import Landing
from aionet.services.files.client.progress import Progress
from aionet.services.files.client.remote import Remote
from aionet.services.files.client.results import Item, Results
from aionet.services.files.client.small_downloads import SMALL, fetch_small
from aionet.services.files.disk import Disk
from aionet.services.files.errors import NotFound
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS, Algorithm
from aionet.testing import Fault, FaultKind, FaultProxy

from ..serving import serve
from .conftest import content_of
from .scripted import ok, scripted


def items_of(landing: Path, sizes: dict[str, int]) -> list[Item]:
    return [Item(name, str(landing / name), name, size, 0) for name, size in sizes.items()]


async def fetched(
    remote: Remote, landing: Path, items: list[Item], wanted: Algorithm | None = None
) -> tuple[Results, list[Item], Progress]:
    results, progress = Results(), Progress()
    with Landing(landing) as there:
        later = await fetch_small(remote, items, there, Disk(2), progress, results, wanted)
    return results, later, progress


async def test_all_of_them_over_one_connection(served_root: Path, landing: Path, algorithm: Algorithm) -> None:
    sizes = {f"d{number % 7}/{number}": number * 37 for number in range(700)} | {"a": 65_536, "b": 65_537, "c": SMALL}
    for name, size in sizes.items():
        (served_root / name).parent.mkdir(exist_ok=True)
        (served_root / name).write_bytes(os.urandom(size))
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        results, later, progress = await fetched(remote, landing, items_of(landing, sizes), algorithm)
    assert len(served.closed) <= 1
    assert (later, results.failures) == ([], [])
    assert content_of(landing) == content_of(served_root)
    assert [file.name for file in results.files] == list(sizes)
    for file in results.files:
        digest = algorithm.hexdigest((served_root / file.name).read_bytes())
        assert (file.hash, file.digest) == (algorithm.name, digest)
        assert file.path.stat().st_mtime_ns == file.mtime_ns == (served_root / file.name).stat().st_mtime_ns
    assert (progress.files_done, progress.done) == (len(sizes), sum(sizes.values()))


@pytest.mark.parametrize("size", [5, 70_000])
async def test_a_refusal_is_of_one_alone(served_root: Path, landing: Path, size: int) -> None:
    for name in ("a", "c"):
        (served_root / name).write_bytes(bytes(size))
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        results, later, _ = await fetched(remote, landing, items_of(landing, dict.fromkeys("abc", size)))
    assert [file.name for file in results.files] == ["a", "c"]
    assert [(failure.name, type(failure.error)) for failure in results.failures] == [("b", NotFound)]
    assert later == []


async def test_what_has_to_be_fetched_the_long_way(landing: Path) -> None:
    right, wrong = hashlib.sha256(b"hello").hexdigest(), "0" * 64
    answers = {
        "GET right": ok(b"hello", tag="t", mtime="0", digest=right),
        "GET damaged": ok(b"hello", tag="t", mtime="0", digest=wrong),
        "GET unsaid": ok(b"hello", tag="t", mtime="0"),
        "GET grown": ok(bytes(SMALL + 1), tag="t", mtime="0", digest=right),
        "GET changed": ok(b"hello", tag="t", mtime="0"),
        "HASH;chunks=0 changed": ok(tag="u", digest=right),
        "GET older": ok(b"hello", tag="t", mtime="0"),
        "HASH;chunks=0 older": ok(tag="t", digest=right),
    }
    sizes = dict.fromkeys(["right", "damaged", "unsaid", "grown"], 5) | {"changed": 70_000, "older": 70_000}
    async with scripted(answers.get) as server, Remote(server.endpoint) as remote:
        results, later, _ = await fetched(remote, landing, items_of(landing, sizes))
        assert server.connections == 1
    assert [file.name for file in results.files] == ["right", "older"]
    assert sorted(item.name for item in later) == ["changed", "damaged", "grown", "unsaid"]
    assert sorted(os.listdir(landing)) == ["older", "right"]


@pytest.mark.parametrize("old", ALGORITHMS)
async def test_a_server_that_is_replaced_by_one_with_another_algorithm(
    served_root: Path, landing: Path, pauses: list[float], old: str
) -> None:
    sizes = {f"{number}": 1000 + number for number in range(200)} | {"large": 200_000}
    for name, size in sizes.items():
        (served_root / name).write_bytes(os.urandom(size))
    both, one = Files(served_root), Files(served_root, algorithms=["sha256"])
    first, second = (both, one) if old == "blake3" else (one, both)
    async with serve(first) as before, serve(second) as later:

        def faults() -> Iterator[Fault]:
            yield Fault(FaultKind.CUT, after=90_000)
            proxy.target = later.endpoint

        async with FaultProxy(before.endpoint, faults()) as proxy, Remote(proxy.endpoint, retries=20) as remote:
            results, left, _ = await fetched(remote, landing, items_of(landing, sizes))
            assert proxy.happened == 1
    assert (left, results.failures, len(results.files)) == ([], [], 201)
    assert content_of(landing) == content_of(served_root)
    assert results.files[0].hash == old
    assert results.files[-1].hash != old
