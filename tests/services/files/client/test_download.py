"""One large file: in ranges, after cuts, from a part that was left, from servers that lie."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from aionet.services.files.client.download import download, fetch_digest, fetch_manifest
from aionet.services.files.client.landing import Landing
from aionet.services.files.client.part import part_name
from aionet.services.files.client.progress import Progress
from aionet.services.files.client.remote import Remote
from aionet.services.files.errors import Changed, Code, Interrupted, Mismatch, NotAFile, NotFound, TransferError
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS, Algorithm, Digest
from aionet.testing import Direction, Fault, FaultKind, FaultProxy

from ..serving import serve
from .conftest import overwrite
from .scripted import CHUNK, HELLO, HELLO_BLAKE3, ok, scripted

MIB = 1024 * 1024
FOUR = 4 * MIB  # a chunk of our server
BLAKE3 = ALGORITHMS["blake3"]


async def fetched(
    remote: Remote,
    landing: Path,
    *,
    parallel: int = 1,
    progress: Progress | None = None,
    wanted: Algorithm | None = None,
) -> Digest:
    """``file`` of the server, as ``copy``; its digest."""
    with Landing(landing) as there:
        open_part = partial(there.part, "copy")
        return (await download(remote, "file", open_part, parallel=parallel, progress=progress, wanted=wanted))[1]


@pytest.mark.parametrize("size", [0, 1, FOUR - 1, FOUR, 9 * MIB + 5])
@pytest.mark.parametrize("parallel", [1, 3])
async def test_files_of_all_sizes(
    served_root: Path, landing: Path, size: int, parallel: int, algorithm: Algorithm
) -> None:
    data = os.urandom(size)
    (served_root / "file").write_bytes(data)
    progress = Progress()
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        digest = await fetched(remote, landing, parallel=parallel, progress=progress, wanted=algorithm)
    assert digest == Digest(algorithm, algorithm.hexdigest(data))
    assert (landing / "copy").read_bytes() == data
    assert (landing / "copy").stat().st_mtime_ns == (served_root / "file").stat().st_mtime_ns
    assert os.listdir(landing) == ["copy"]
    assert (progress.done, progress.files_done, progress.under_way) == (size, 1, [])


@pytest.mark.parametrize("parallel", [1, 4])
async def test_twenty_cuts(served_root: Path, landing: Path, pauses: list[float], parallel: int) -> None:
    data = os.urandom(30 * MIB)
    (served_root / "file").write_bytes(data)
    draw = random.Random(1)
    kinds = [FaultKind.CUT, FaultKind.RESET]
    faults = [Fault(draw.choice(kinds), after=draw.randrange(200, 2 * MIB)) for _ in range(20)]
    async with serve(served_root) as served, FaultProxy(served.endpoint, faults) as proxy:
        async with Remote(proxy.endpoint, retries=20) as remote:
            await fetched(remote, landing, parallel=parallel)
        # All faults together let less pass than the file has, so one connection outlives them; beside it the others may
        # still have theirs before them when all has come.
        assert sum(fault.after for fault in faults) < len(data)
        assert 20 - parallel < proxy.happened <= 20
        if parallel == 1:  # what had come was not fetched again
            assert proxy.passed < 36 * MIB
    assert (landing / "copy").read_bytes() == data


async def test_a_part_that_was_left_is_proven_and_only_the_rest_is_fetched(
    served_root: Path, landing: Path, algorithm: Algorithm
) -> None:
    data = os.urandom(10 * FOUR)
    (served_root / "file").write_bytes(data)
    damaged = bytearray(data[: 6 * FOUR + 1000])
    damaged[2 * FOUR + 17] ^= 1
    (landing / part_name("copy")).write_bytes(damaged)
    progress = Progress()
    async with serve(served_root) as served, FaultProxy(served.endpoint) as proxy, Remote(proxy.endpoint) as remote:
        await fetched(remote, landing, progress=progress, wanted=algorithm)
        assert 5 * FOUR <= proxy.passed < 5 * FOUR + 10_000  # chunk 2, and 6 to 9
    assert (landing / "copy").read_bytes() == data
    assert (progress.skipped, progress.done) == (5 * FOUR, 10 * FOUR)


async def test_a_part_of_something_else_does_no_harm(served_root: Path, landing: Path) -> None:
    data = os.urandom(2 * FOUR)
    (served_root / "file").write_bytes(data)
    (landing / part_name("copy")).write_bytes(os.urandom(5 * FOUR))
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        await fetched(remote, landing)
    assert (landing / "copy").read_bytes() == data


async def test_a_transfer_that_is_given_up_leaves_its_part_and_the_next_one_takes_it_up(
    served_root: Path, landing: Path, pauses: list[float]
) -> None:
    data = os.urandom(5 * FOUR)
    (served_root / "file").write_bytes(data)
    faults = [Fault(FaultKind.CUT, after=3 * FOUR + 5000, direction=Direction.DOWN)]
    async with serve(served_root) as served, FaultProxy(served.endpoint, faults) as proxy:
        async with Remote(proxy.endpoint, retries=0) as remote:
            with pytest.raises(Interrupted):
                await fetched(remote, landing)
        assert os.listdir(landing) == [part_name("copy")]
        before = proxy.passed
        async with Remote(proxy.endpoint) as remote:
            await fetched(remote, landing)
        assert proxy.passed - before < 3 * FOUR
    assert (landing / "copy").read_bytes() == data


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("after", [2000, 6 * MIB])
@pytest.mark.parametrize("old", ALGORITHMS)
async def test_a_server_that_is_replaced_by_one_with_another_algorithm(
    served_root: Path, landing: Path, pauses: list[float], old: str, after: int, resumed: bool
) -> None:
    data = os.urandom(3 * FOUR)
    (served_root / "file").write_bytes(data)
    if resumed:
        (landing / part_name("copy")).write_bytes(data[:FOUR] + bytes(FOUR))
    both, one = Files(served_root), Files(served_root, algorithms=["sha256"])
    first, second = (both, one) if old == "blake3" else (one, both)

    async with serve(first) as before, serve(second) as later:

        def faults() -> Iterator[Fault]:
            yield Fault(FaultKind.CUT, after=after)
            proxy.target = later.endpoint
            yield from [Fault(FaultKind.CUT, after=after + MIB)] * 2

        async with FaultProxy(before.endpoint, faults()) as proxy, Remote(proxy.endpoint) as remote:
            digest = await fetched(remote, landing)
            assert proxy.happened
    assert digest.value == digest.algorithm.hexdigest(data)
    assert (landing / "copy").read_bytes() == data


async def test_a_sparse_file_stays_one(served_root: Path, landing: Path) -> None:
    (served_root / "file").touch()
    os.truncate(served_root / "file", 40 * MIB)
    overwrite(served_root / "file", 20 * MIB, b"in the middle")
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        await fetched(remote, landing)
    assert (landing / "copy").stat().st_size == 40 * MIB
    assert (landing / "copy").stat().st_blocks * 512 < 5 * MIB
    assert (landing / "copy").read_bytes() == (served_root / "file").read_bytes()


async def test_a_file_that_changes_meanwhile_is_started_anew(served_root: Path, landing: Path) -> None:
    old, new = os.urandom(70 * MIB), os.urandom(8 * MIB)
    new = old[: 4 * MIB] + new
    (served_root / "file").write_bytes(old)
    changed = False

    def change(progress: Progress) -> None:
        nonlocal changed
        if not changed and progress.done > MIB:
            changed = True
            (served_root / "next").write_bytes(new)
            os.replace(served_root / "next", served_root / "file")

    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        assert (await fetched(remote, landing, progress=Progress(change))).value == BLAKE3.hexdigest(new)
    assert (landing / "copy").read_bytes() == new


async def test_a_directory_or_nothing(served_root: Path, landing: Path) -> None:
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        with pytest.raises(NotFound):
            await fetched(remote, landing)
        (served_root / "file").mkdir()
        with pytest.raises(NotAFile) as caught:
            await fetched(remote, landing)
        assert "fetch_tree" in str(caught.value.hint)
    assert os.listdir(landing) == []


async def test_manifests(served_root: Path, algorithm: Algorithm) -> None:
    data = os.urandom(2 * FOUR + 1)
    (served_root / "file").write_bytes(data)
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        manifest, tag = await fetch_manifest(remote, "file", len(data), wanted=algorithm)
        assert await fetch_digest(remote, "file", len(data), wanted=algorithm) == (manifest.digest, tag)
    assert manifest.digest == Digest(algorithm, algorithm.hexdigest(data))
    assert manifest.unproven(lambda at, size: data[at : at + size]) == []
    assert (manifest.size, len(manifest.chunks)) == (len(data), 3)


# ── servers that lie ─────────────────────────────────────────────────────────────────────────────────────────────────

DATA = bytes(random.Random(2).randbytes(3 * CHUNK + 10))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def liar(**lies: bytes | Callable[[int, int], bytes]) -> Callable[[str], bytes]:
    """A server of :data:`DATA` that says something else than the truth: by verb, the whole answer."""
    chunks = "".join(sha256(DATA[at : at + CHUNK]) + "\n" for at in range(0, len(DATA), CHUNK)).encode()
    truth: dict[str, bytes] = {
        "STAT": ok(kind="file", size=len(DATA), mtime="5.0", tag="v1"),
        "HASH;chunks=0": ok(total=len(DATA), tag="v1", digest=sha256(DATA)),
        "HASH": ok(chunks, total=len(DATA), tag="v1", digest=sha256(DATA)),
    }

    def answer(line: str) -> bytes:
        head = line.partition(" ")[0]
        if head.startswith("GET"):
            options = dict(pair.split("=") for pair in head.split(";")[1:])
            start, length = int(options["offset"]), int(options["length"])
            get = lies.get("GET")
            if isinstance(get, bytes):
                return get
            body = get(start, length) if get is not None else DATA[start : start + length]
            return ok(body, offset=start, total=len(DATA), tag="v1")
        lie = lies.get(head.replace(";", "_").replace("=", "_")) or truth[head]
        assert isinstance(lie, bytes)
        return lie

    return answer


async def told(answer: Callable[[str], bytes], landing: Path) -> TransferError:
    """What becomes of a fetch from it."""
    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        with pytest.raises(TransferError) as caught:
            await fetched(remote, landing)
    assert not (landing / "copy").exists()
    return caught.value


async def test_a_server_that_tells_the_truth(landing: Path) -> None:
    async with scripted(liar()) as server, Remote(server.endpoint) as remote:
        await fetched(remote, landing)
    assert (landing / "copy").read_bytes() == DATA
    assert (landing / "copy").stat().st_mtime_ns == 5 * 10**9


async def test_bytes_damaged_on_the_way_are_fetched_again_by_chunk(landing: Path) -> None:
    asked: list[tuple[int, int]] = []

    def damaged_once(start: int, length: int) -> bytes:
        asked.append((start, length))
        body = bytearray(DATA[start : start + length])
        if len(asked) == 1:
            body[2 * CHUNK + 7] ^= 1
        return bytes(body)

    async with scripted(liar(GET=damaged_once)) as server, Remote(server.endpoint) as remote:
        await fetched(remote, landing)
    assert (landing / "copy").read_bytes() == DATA
    assert asked == [(0, len(DATA)), (2 * CHUNK, CHUNK)]


async def test_bytes_that_are_always_wrong_name_their_chunk(landing: Path) -> None:
    wrong = DATA[:CHUNK] + bytes(CHUNK) + DATA[2 * CHUNK :]
    error = await told(liar(GET=lambda start, length: wrong[start : start + length]), landing)
    assert isinstance(error, Mismatch)
    assert "chunk 1 (bytes 1000 to 1999)" in str(error)


async def test_a_hash_that_is_not_that_of_the_chunks(landing: Path) -> None:
    chunks = liar()("HASH file").partition(b"\n")[2]
    lie = ok(chunks, total=len(DATA), tag="v1", digest="0" * 64)
    short = ok(total=len(DATA), tag="v1", digest="0" * 64)
    error = await told(liar(HASH=lie, HASH_chunks_0=short), landing)
    assert isinstance(error, Mismatch)
    assert "not that of its chunks" in str(error)


async def test_a_manifest_by_another_algorithm_than_the_digest_is_believed(landing: Path) -> None:
    """A byte was damaged on the way; before the client has asked where, the server is replaced."""
    manifest = "".join(BLAKE3.hexdigest(DATA[at : at + CHUNK]) + "\n" for at in range(0, len(DATA), CHUNK)).encode()
    old, replaced = liar(GET=lambda start, length: bytes(9) + DATA[9:]), False
    new = liar(HASH_hash_blake3=ok(manifest, total=len(DATA), tag="v1", digest=BLAKE3.hexdigest(DATA)))

    def answer(line: str) -> bytes | None:
        nonlocal replaced
        if line == "HASH file":
            replaced = True
            return None
        return new(line) if replaced else old(line)

    async with (
        scripted(answer, lambda: HELLO_BLAKE3 if replaced else HELLO) as server,
        Remote(server.endpoint) as remote,
    ):
        assert await fetched(remote, landing) == Digest(BLAKE3, BLAKE3.hexdigest(DATA))
        assert server.lines[-2:] == ["HASH;hash=blake3 file", "GET;offset=0;length=1000;tag=v1 file"]
    assert (landing / "copy").read_bytes() == DATA


async def test_two_hashes_of_one_version(landing: Path) -> None:
    error = await told(liar(HASH_chunks_0=ok(total=len(DATA), tag="v1", digest="0" * 64)), landing)
    assert (error.code, "two different hashes" in str(error)) == (Code.BAD_REPLY, True)


@pytest.mark.parametrize(
    ("lies", "said"),
    [
        ({"GET": ok(DATA[:5], offset=0, total=len(DATA), tag="v1")}, "other bytes"),
        ({"GET": ok(DATA, offset=7, total=len(DATA), tag="v1")}, "other bytes"),
        ({"GET": ok(DATA, offset=0, total=7, tag="v1")}, "other bytes"),
        ({"GET": ok(DATA)}, "lacks offset"),
        ({"STAT": ok(kind="file", size=len(DATA), mtime="5.0")}, "lacks its tag"),
        ({"STAT": ok(kind="door", size=1)}, "neither a file nor a directory"),
        ({"STAT": ok(kind="file")}, "lacks size"),
        ({"STAT": ok(b"", kind="file", size=2 * len(DATA), mtime="5.0", tag="v1")}, "other bytes"),
        ({"HASH": ok(b"", total=len(DATA), tag="v1"), "HASH_chunks_0": ok(tag="v1")}, "0 digests"),
    ],
)
async def test_answers_that_make_no_sense(landing: Path, lies: dict[str, bytes], said: str) -> None:
    error = await told(liar(**lies), landing)
    assert error.code == Code.BAD_REPLY
    assert said in str(error)


async def test_a_file_that_never_stays_the_same(landing: Path, pauses: list[float]) -> None:
    error = await told(liar(GET=b"ERR CHANGED again\n"), landing)
    assert isinstance(error, Changed)
    error = await told(liar(HASH_chunks_0=ok(total=len(DATA), tag="v2", digest=sha256(DATA))), landing)
    assert isinstance(error, Changed)


class SlowWrite:
    """A pwrite whose first call waits, for at most ``patience`` seconds."""

    patience = 10.0

    def __init__(self, write: Callable[[int, memoryview, int], int]) -> None:
        self.go_on = threading.Event()
        self.hangs = threading.Event()
        self.written: list[bytes] = []
        self._write = write

    def __call__(self, descriptor: int, piece: memoryview, at: int) -> int:
        if not self.hangs.is_set():
            self.hangs.set()
            self.go_on.wait(self.patience)
        count = self._write(descriptor, piece, at)
        self.written.append(bytes(piece[:1]))
        if len(self.written) == 1:
            self.go_on.set()
        return count


@pytest.fixture
def slow_write(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowWrite]:
    """The first write hangs in the disk; it is let go in the end."""
    slow = SlowWrite(os.pwrite)
    monkeypatch.setattr("aionet.services.files.client.part.os.pwrite", slow)
    yield slow
    slow.go_on.set()


async def test_a_write_that_hangs_lands_before_the_next_attempt_begins(landing: Path, slow_write: SlowWrite) -> None:
    """The file changes while a thread writes the old one: that write must not come upon the new one."""
    slow_write.patience = 0.3  # the next attempt waits for it; one that does not has written long before
    versions = {"v1": b"1" * CHUNK, "v2": b"2" * CHUNK}
    now = "v1"

    async def change_while_it_is_written() -> bytes:
        nonlocal now
        assert await asyncio.to_thread(slow_write.hangs.wait, 10)
        now = "v2"
        return ok(total=CHUNK, tag=now, digest=sha256(versions[now]))

    def answer(line: str) -> bytes | Awaitable[bytes]:
        data = versions[now]
        if line.startswith("STAT"):
            return ok(kind="file", size=len(data), mtime="5.0", tag=now)
        if line.startswith("GET"):
            return ok(data, offset=0, total=len(data), tag=now)
        return change_while_it_is_written()

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        await fetched(remote, landing)
    assert slow_write.written == [b"1", b"2"]
    assert (landing / "copy").read_bytes() == versions["v2"]


async def test_a_disk_that_hangs_does_not_hold_a_transfer_that_is_cancelled(
    landing: Path, slow_write: SlowWrite
) -> None:
    async with scripted(liar()) as server, Remote(server.endpoint) as remote:
        transfer = asyncio.create_task(fetched(remote, landing))
        assert await asyncio.to_thread(slow_write.hangs.wait, 10)
        transfer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await transfer
        assert slow_write.written == []


async def test_a_full_disk_keeps_the_part_and_the_next_one_goes_on(
    served_root: Path, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(4 * FOUR)
    (served_root / "file").write_bytes(data)
    write, room = os.pwrite, 2 * FOUR + 100

    def full(descriptor: int, piece: bytes, at: int) -> int:
        if at + len(piece) > room:
            raise OSError(28, "No space left on device")
        return write(descriptor, piece, at)

    async with serve(served_root) as served, FaultProxy(served.endpoint) as proxy, Remote(proxy.endpoint) as remote:
        with monkeypatch.context() as patch:
            patch.setattr("aionet.services.files.client.part.os.pwrite", full)
            with pytest.raises(TransferError, match="no space left") as caught:
                await fetched(remote, landing)
        assert (caught.value.code, caught.value.remote) == (Code.NO_SPACE, False)
        assert os.listdir(landing) == [part_name("copy")]
        before = proxy.passed
        await fetched(remote, landing)
        assert proxy.passed - before < 3 * FOUR
    assert (landing / "copy").read_bytes() == data
