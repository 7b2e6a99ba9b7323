from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.services.files.disk import Disk
from aionet.services.files.entries import tag_of
from aionet.services.files.errors import Changed, NotFound
from aionet.services.files.paths import Directory
from aionet.services.files.web.conditions import Answer
from aionet.services.files.web.sending import SMALL, Outgoing, changed_since, open_outgoing


def whole(info: os.stat_result, tag: str) -> Answer:
    return Answer(200, 0, info.st_size)


@pytest.fixture(params=[True, False], ids=["from memory", "by thread"])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Directory]:
    with Directory(tmp_path, follow_links=request.param) as directory:
        yield directory


async def opened(directory: Directory, name: str, *, body: bool = True) -> Outgoing:
    return await open_outgoing(directory, Disk(), name, whole, body=body)


async def test_a_small_file_is_read_and_closed(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * SMALL)
    outgoing = await opened(directory, "a")
    assert outgoing.body == b"x" * SMALL
    assert outgoing.lease is None
    assert outgoing.tag == tag_of((tmp_path / "a").stat())


async def test_a_larger_one_stays_open(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (SMALL + 1))
    outgoing = await opened(directory, "a")
    assert outgoing.lease is not None
    with outgoing.lease.use() as descriptor:
        assert os.pread(descriptor, 2, SMALL) == b"x"
        assert not changed_since(descriptor, outgoing.info)
        (tmp_path / "a").write_bytes(b"y")
        assert changed_since(descriptor, outgoing.info)
    outgoing.lease.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_what_is_not_wanted_is_not_read(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (SMALL + 1))
    outgoing = await opened(directory, "a", body=False)
    assert (outgoing.body, outgoing.lease, outgoing.answer.count) == (b"", None, SMALL + 1)


async def test_what_is_not_there(directory: Directory) -> None:
    with pytest.raises(NotFound):
        await opened(directory, "nothing")


async def test_what_changes_while_it_is_read(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"long")

    def choose(info: os.stat_result, tag: str) -> Answer:
        (tmp_path / "a").write_bytes(b"short, or longer")
        return whole(info, tag)

    with pytest.raises(Changed):
        await open_outgoing(directory, Disk(), "a", choose)
