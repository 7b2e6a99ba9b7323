"""Small files read without waiting: the same by the compiled form and by the plain one, and only files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aionet.services.files import memory, paths
from aionet.services.files.entries import tag_of
from aionet.services.files.errors import TransferError
from aionet.services.files.opening import flags_without_waiting
from aionet.services.files.paths import Directory

from .conftest import Tree

FORMS: list[Callable[..., Any]] = [memory.read_from_memory]
with suppress(ImportError):
    from aionet.services.files._memory import read_from_memory

    FORMS.append(read_from_memory)
LIMIT = 1000


@pytest.fixture(params=FORMS, ids=lambda form: form.__module__.rpartition(".")[2], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "read_from_memory", request.param)


@pytest.fixture
def directory(tree: Tree) -> Iterator[Directory]:
    with Directory(tree.root) as opened:
        if opened.nowait_flags is None:
            pytest.skip("openat2 with RESOLVE_CACHED (Linux 5.12), on a local file system")
        yield opened


def test_the_same_bytes_and_version_or_none(directory: Directory, tree: Tree) -> None:
    (tree.root / "empty").touch()
    (tree.root / "largest").write_bytes(b"x" * LIMIT)
    (tree.root / "too large").write_bytes(b"x" * (LIMIT + 1))
    before = len(os.listdir("/proc/self/fd"))
    names = "hello.txt empty largest sub/inner.txt link-inside link-dir/inner.txt link-outside link-absolute".split()
    names += "fifo socket sub nothing ../outside/secret .hidden link-proc link-loop hello.txt/x".split()
    for name in [*names, "too large", "a\0b", ""]:
        try:
            with directory.opened(name) as (descriptor, info):
                content = os.pread(descriptor, 2 * LIMIT, 0)
        except TransferError:
            assert directory.read_cached(name, LIMIT) is None, name
            continue
        found = directory.read_cached(name, LIMIT)
        if name == "too large":
            assert found is None
        else:
            assert found is not None, name  # it was read just now
            assert (found.content, tag_of(found)) == (content, tag_of(info))
            assert (found.st_ino, found.st_size) == (info.st_ino, info.st_size)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("offset", "length", "content"),
    [
        (0, -1, b"hello world"),
        (6, -1, b"world"),
        (6, 2, b"wo"),
        (0, 0, b""),
        (11, -1, b""),
        (11, 5, b""),
        (3, 10**18, b"lo world"),
        (12, -1, None),
        (2**63 - 1, 2**63 - 1, None),
        (10**19 - 1, 1, None),
        (6, 10**19 - 1, b"world"),
    ],
)
def test_parts(directory: Directory, offset: int, length: int, content: bytes | None) -> None:
    found = directory.read_cached("hello.txt", LIMIT, offset=offset, length=length)
    assert (None if found is None else found.content) == content


def test_a_small_part_of_a_large_file(directory: Directory, tree: Tree) -> None:
    os.truncate(tree.root / "hello.txt", 2**40)
    found = directory.read_cached("hello.txt", LIMIT, offset=2**40 - 10, length=10)
    if found is not None:  # not every file system can tell of a hole whether it is in memory
        assert (found.content, found.st_size) == (bytes(10), 2**40)
    assert directory.read_cached("hello.txt", LIMIT) is None


def test_what_is_changed_while_it_is_read(directory: Directory, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv

    def change_and_read(descriptor: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        os.utime(tree.root / "hello.txt", ns=(1, 1))
        return preadv(descriptor, buffers, offset, flags)

    monkeypatch.setattr(paths, "read_from_memory", memory.read_from_memory)  # nobody gets between the compiled steps
    monkeypatch.setattr("aionet.services.files.memory.os.preadv", change_and_read)
    assert directory.read_cached("hello.txt", LIMIT) is None


def test_a_directory_that_is_gone(tree: Tree) -> None:
    with Directory(tree.root) as directory:
        shutil.rmtree(tree.root)
        assert directory.read_cached("hello.txt", LIMIT) is None
    assert directory.read_cached("hello.txt", LIMIT) is None  # closed


def test_memory_is_not_asked_whether_it_waits() -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no tmpfs")
    descriptor = os.open("/dev/shm", os.O_RDONLY)
    try:
        assert flags_without_waiting(descriptor) == 0
    finally:
        os.close(descriptor)
