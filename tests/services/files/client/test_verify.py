"""Two trees compared by their hashes."""

from __future__ import annotations

from pathlib import Path

from aionet.services.files.client.progress import Progress
from aionet.services.files.client.remote import Remote
from aionet.services.files.client.results import Item, Results
from aionet.services.files.client.verify import verify
from aionet.services.files.disk import Disk
from aionet.services.files.errors import Mismatch, NotFound
from aionet.services.files.hashing import Algorithm

from ..serving import serve


async def test_the_same_different_and_absent_on_either_side(
    served_root: Path, landing: Path, algorithm: Algorithm
) -> None:
    for root, names in ((served_root, "abc"), (landing, "abd")):
        for name in names:
            (root / name).write_bytes(name.encode() * 100_000)
    (landing / "b").write_bytes(b"B" * 100_000)
    items = [Item(name, str(landing / name), name, 100_000, 0) for name in "abcd"]
    results, progress = Results(), Progress()
    async with serve(served_root) as served, Remote(served.endpoint) as remote:
        await verify(remote, items, Disk(1), progress, results, algorithm)
    assert [(file.name, file.hash) for file in results.files] == [("a", algorithm.name)]
    assert results.files[0].digest == algorithm.hexdigest(b"a" * 100_000)
    assert [(failure.name, type(failure.error), failure.error.remote) for failure in results.failures] == [  # type: ignore[attr-defined]
        ("b", Mismatch, False),
        ("c", NotFound, False),
        ("d", NotFound, True),
    ]
    assert (progress.files_done, progress.done) == (4, 400_000)
