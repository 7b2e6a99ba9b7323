from __future__ import annotations

from pathlib import Path

from aionet.services.files.client.results import Failed, Item, Results, Transferred
from aionet.services.files.errors import NotFound
from aionet.services.files.hashing import SHA256, Digest


def test_everything_is_gathered_and_told() -> None:
    told: list[Transferred | Failed] = []
    results = Results(told.append)
    item = Item("a/b", "here/b", "b", 10, 5)
    results.done(item, Digest(SHA256, "00"), size=11)
    results.unchanged(item)
    error = NotFound("nothing")
    results.failed("c", "here/c", error)
    results.left_out = 2
    found = results.result()
    assert found.files == (
        Transferred("a/b", Path("here/b"), 11, "00", "sha256", 5),
        Transferred("a/b", Path("here/b"), 10, "", "", 5, unchanged=True),
    )
    assert found.failures == (Failed("c", Path("here/c"), error),)
    assert (found.size, found.left_out) == (21, 2)
    assert told == [*found.files, *found.failures]
