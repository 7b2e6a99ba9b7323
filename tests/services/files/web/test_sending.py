from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.services.files.disk import Disk
from aionet.services.files.entries import tag_of
from aionet.services.files.errors import Changed, NotFound
from aionet.services.files.paths import Directory
from aionet.services.files.web import sending
from aionet.services.files.web.conditions import Answer
from aionet.services.files.web.sending import SMALL, Outgoing, changed_since, open_outgoing, read_at_once


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


def test_a_small_file_in_memory_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("empty", 0), ("a", SMALL), ("large", SMALL + 1)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with Directory(tmp_path) as directory:
        if directory.open_cached("a") is None:
            pytest.skip("openat2 with RESOLVE_CACHED (Linux 5.12), on a local file system")
        before = len(os.listdir("/proc/self/fd"))
        for name, size in (("empty", 0), ("a", SMALL)):
            found = read_at_once(directory, name)
            assert found is not None
            assert (bytes(found[1]), tag_of(found[0])) == (b"x" * size, tag_of((tmp_path / name).stat()))
        for name in ("large", "sub", "fifo", "nothing", "../a", "a/b", ""):
            assert read_at_once(directory, name) is None, name
        monkeypatch.setattr(sending, "changed_since", lambda descriptor, info: True)
        assert read_at_once(directory, "a") is None
        assert len(os.listdir("/proc/self/fd")) == before
