"""One large file, sent: in pieces, after cuts, on top of what the server has, while it changes."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aionet.events import TransferFinished
from aionet.services.files.client.original import upload_id
from aionet.services.files.client.progress import Progress
from aionet.services.files.client.remote import Remote
from aionet.services.files.client.upload import PIECE, send_file
from aionet.services.files.errors import Changed, Code, Mismatch, TransferError
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS, SHA256, Algorithm, Digest
from aionet.testing import Direction, Fault, FaultKind, FaultProxy

from ..serving import raw_client, serve
from .conftest import overwrite
from .scripted import HELLO_BLAKE3, ok, scripted

MIB = 1024 * 1024
FOUR = 4 * MIB


def writable(root: Path, **rules: Any) -> Files:
    return Files(root, writable=True, **rules)


def partials(root: Path) -> list[Path]:
    return [path for path in (root / ".aionet-partial").iterdir() if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, PIECE, 9 * MIB + 5])
async def test_files_of_all_sizes(served_root: Path, tmp_path: Path, size: int, algorithm: Algorithm) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    os.utime(tmp_path / "file", ns=(7, 1234567890123456789))
    progress = Progress()
    async with serve(writable(served_root)) as served, Remote(served.endpoint) as remote:
        sent = await send_file(remote, str(tmp_path / "file"), "copy", progress=progress, wanted=algorithm)
    assert sent == (size, 1234567890123456789, Digest(algorithm, algorithm.hexdigest(data)))
    assert (served_root / "copy").read_bytes() == data
    assert (served_root / "copy").stat().st_mtime_ns == 1234567890123456789
    assert (progress.done, progress.files_done, progress.under_way) == (size, 1, [])


@pytest.mark.parametrize(("seconds", "puts"), [(0.0, [1, 1, 1, 1, 2, 4, 8, 16, 6]), (2.0, [1] * 40)])
async def test_a_put_grows_as_long_as_the_server_is_quick(
    served_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, puts: list[int]
) -> None:
    times = count()
    clock = SimpleNamespace(monotonic=lambda: next(times) * seconds)
    monkeypatch.setitem(send_file.__globals__, "time", clock)  # the package has a function of the module's name
    finished: list[TransferFinished] = []
    data = os.urandom(40 * MIB)
    (tmp_path / "file").write_bytes(data)
    async with serve(writable(served_root)) as served, Remote(served.endpoint) as remote:
        served.server.events.subscribe(finished.append, TransferFinished)
        await send_file(remote, str(tmp_path / "file"), "copy")
    assert [event.bytes // PIECE for event in finished if event.verb == "PUT"] == puts
    assert (served_root / "copy").read_bytes() == data


async def test_twenty_cuts(served_root: Path, tmp_path: Path, pauses: list[float]) -> None:
    data = os.urandom(30 * MIB)
    (tmp_path / "file").write_bytes(data)
    draw = random.Random(3)
    kinds = [FaultKind.CUT, FaultKind.RESET]
    faults = [Fault(draw.choice(kinds), after=draw.randrange(200, 2 * MIB)) for _ in range(20)]
    async with serve(writable(served_root)) as served, FaultProxy(served.endpoint, faults) as proxy:
        async with Remote(proxy.endpoint, retries=20) as remote:
            await send_file(remote, str(tmp_path / "file"), "copy")
        assert proxy.happened >= 19
    assert (served_root / "copy").read_bytes() == data
    assert partials(served_root) == []


async def test_what_the_server_has_is_proven_and_only_the_rest_is_sent(
    served_root: Path, tmp_path: Path, pauses: list[float]
) -> None:
    data = os.urandom(10 * FOUR)
    (tmp_path / "file").write_bytes(data)
    fault = Fault(FaultKind.CUT, after=6 * FOUR + 5000, direction=Direction.UP)
    async with serve(writable(served_root)) as served, FaultProxy(served.endpoint, [fault]) as proxy:
        async with Remote(proxy.endpoint, retries=0) as remote:
            with pytest.raises(TransferError):
                await send_file(remote, str(tmp_path / "file"), "copy")
        (part,) = partials(served_root)
        overwrite(part, 2 * FOUR + 17, bytes([data[2 * FOUR + 17] ^ 1]))
        before = proxy.passed
        progress = Progress()
        async with Remote(proxy.endpoint) as remote:
            await send_file(remote, str(tmp_path / "file"), "copy", progress=progress)
        assert proxy.passed - before < 6 * FOUR + 10_000
        assert progress.skipped > 4 * FOUR
    assert (served_root / "copy").read_bytes() == data


async def test_damage_is_found_by_the_hash_and_sent_again_by_chunk(
    served_root: Path, tmp_path: Path, pauses: list[float]
) -> None:
    data = os.urandom(4 * FOUR)
    (tmp_path / "file").write_bytes(data)
    damaged: list[Path] = []

    def damage(progress: Progress) -> None:
        if not damaged and progress.done >= 2 * FOUR:
            damaged.extend(partials(served_root))
            overwrite(damaged[0], FOUR + 1, b"damaged")

    # The server hashes what it receives; on another connection, what its disk has made of it.
    fault = Fault(FaultKind.CUT, after=3 * FOUR, direction=Direction.UP)
    async with serve(writable(served_root)) as served, FaultProxy(served.endpoint, [fault]) as proxy:
        async with Remote(proxy.endpoint) as remote:
            await send_file(remote, str(tmp_path / "file"), "copy", progress=Progress(damage))
        assert 5 * FOUR < proxy.passed < 6 * FOUR + 2 * MIB
    assert damaged
    assert (served_root / "copy").read_bytes() == data


async def test_a_file_that_changes_meanwhile_is_started_anew(served_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(12 * MIB))
    changed = False

    def change(progress: Progress) -> None:
        nonlocal changed
        if not changed and progress.done > MIB:
            changed = True
            overwrite(tmp_path / "file", 0, b"changed")

    async with serve(writable(served_root)) as served, Remote(served.endpoint) as remote:
        await send_file(remote, str(tmp_path / "file"), "copy", progress=Progress(change))
    assert (served_root / "copy").read_bytes() == (tmp_path / "file").read_bytes()
    assert partials(served_root) == []


async def test_a_file_that_never_stays_the_same(served_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(4 * MIB))
    count = 0

    def change(progress: Progress) -> None:
        nonlocal count
        count += 1
        os.utime(tmp_path / "file", ns=(count, count))

    async with serve(writable(served_root)) as served, Remote(served.endpoint) as remote:
        with pytest.raises(Changed, match="while it was sent"):
            await send_file(remote, str(tmp_path / "file"), "copy", progress=Progress(change))
    assert partials(served_root) == []
    assert not (served_root / "copy").exists()


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({"max_file": 3 * MIB}, Code.TOO_LARGE),
        ({"quota_bytes": 3 * MIB}, Code.QUOTA),
        ({"name_pattern": r"[a-z]+\.txt"}, Code.FORBIDDEN),
    ],
)
async def test_what_the_server_refuses_is_said_in_its_words(
    served_root: Path, tmp_path: Path, rules: dict[str, object], code: Code
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(5 * MIB))
    async with serve(writable(served_root, **rules)) as served, Remote(served.endpoint) as remote:
        with pytest.raises(TransferError) as caught:
            await send_file(remote, str(tmp_path / "file"), "copy")
    assert (caught.value.code, caught.value.remote) == (code, True)


@pytest.mark.parametrize("first", ALGORITHMS.values(), ids=ALGORITHMS)
async def test_an_upload_goes_on_by_another_algorithm(
    served_root: Path, tmp_path: Path, pauses: list[float], first: Algorithm, algorithm: Algorithm
) -> None:
    data = os.urandom(9 * MIB)
    (tmp_path / "file").write_bytes(data)
    line = f"PUT;size={6 * MIB};upload={upload_id((tmp_path / 'file').stat())};hash={first.name} copy\n"
    async with serve(writable(served_root)) as served, FaultProxy(served.endpoint) as proxy:
        async with raw_client(served) as client:
            client.write(line.encode() + data[: 6 * MIB])
            assert await client.answer() == (b"OK 0;received=%d\n" % (6 * MIB), b"")
        async with Remote(proxy.endpoint) as remote:
            _, _, digest = await send_file(remote, str(tmp_path / "file"), "copy", wanted=algorithm)
        assert proxy.passed < 4 * MIB
    assert digest == Digest(algorithm, algorithm.hexdigest(data))
    assert (served_root / "copy").read_bytes() == data


@pytest.mark.parametrize("after", [2000, 6 * MIB])
@pytest.mark.parametrize("old", ALGORITHMS)
async def test_a_server_that_is_replaced_by_one_with_another_algorithm(
    served_root: Path, tmp_path: Path, pauses: list[float], old: str, after: int
) -> None:
    data = os.urandom(9 * MIB)
    (tmp_path / "file").write_bytes(data)
    both, one = writable(served_root), writable(served_root, algorithms=["sha256"])
    first, second = (both, one) if old == "blake3" else (one, both)
    async with serve(first) as before, serve(second) as later:

        def faults() -> Iterator[Fault]:
            yield Fault(FaultKind.CUT, after=after)
            proxy.target = later.endpoint

        async with FaultProxy(before.endpoint, faults()) as proxy, Remote(proxy.endpoint, retries=20) as remote:
            _, _, digest = await send_file(remote, str(tmp_path / "file"), "copy")
            assert proxy.happened == 1
    assert digest.algorithm is (SHA256 if old == "blake3" else ALGORITHMS["blake3"])
    assert digest.value == digest.algorithm.hexdigest(data)
    assert (served_root / "copy").read_bytes() == data


async def test_a_server_that_takes_nothing(served_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        with pytest.raises(TransferError) as caught:
            await send_file(remote, str(tmp_path / "file"), "copy")
    assert caught.value.remote


async def test_a_server_that_says_another_hash_and_proves_all_chunks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest().encode()

    def answer(line: str) -> bytes:
        if line.startswith("COMMIT"):
            return b"ERR MISMATCH it is another\n"
        if line.startswith("HASH"):
            return ok(digest + b"\n", total=5)
        return ok(received=5 if line.startswith("PUT") else 0)

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        with pytest.raises(Mismatch):
            await send_file(remote, str(tmp_path / "file"), "copy")
        assert sum(line.startswith("COMMIT") for line in server.lines) == 1


async def test_a_server_that_has_more_of_it_than_there_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    received = iter([100, 0])

    def answer(line: str) -> bytes:
        return ok(received=next(received, 5)) if line.startswith("STAT") else ok(received=5)

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        await send_file(remote, str(tmp_path / "file"), "copy")
        assert [line.partition(";")[0] for line in server.lines] == ["STAT", "CANCEL", "STAT", "PUT", "COMMIT"]
        assert not any("hash=" in line for line in server.lines)  # it would not know that


async def test_a_server_of_today_is_told_the_algorithm_with_each_piece(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2 * PIECE))
    answers = iter([0, 0, PIECE, 2 * PIECE, 2 * PIECE])
    async with (
        scripted(lambda line: ok(received=next(answers)), HELLO_BLAKE3) as server,
        Remote(server.endpoint) as remote,
    ):
        await send_file(remote, str(tmp_path / "file"), "copy")
        assert [line.partition(";")[0] for line in server.lines] == ["STAT", "STAT", "PUT", "PUT", "COMMIT"]
        assert ["hash=blake3" in line for line in server.lines] == [False, False, True, True, True]
