"""What may be opened on an event loop: only what is in memory, and nothing that a thread would refuse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aionet.services.files import paths
from aionet.services.files.errors import TransferError
from aionet.services.files.opening import flags_without_waiting, open_from_memory
from aionet.services.files.paths import Directory

from .conftest import Tree


@pytest.fixture(autouse=True)
def on_a_local_disk(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        if flags_without_waiting(descriptor) is None:
            pytest.skip("openat2 with RESOLVE_CACHED (Linux 5.12), on a local file system")
    finally:
        os.close(descriptor)


def test_the_same_file_or_none(tree: Tree) -> None:
    names = ["hello.txt", "sub/inner.txt", "link-inside", "link-dir/inner.txt", "link-outside", "link-absolute", "fifo"]
    names += [
        "socket",
        "sub",
        "nothing",
        "../outside/secret",
        ".hidden",
        "a\0b",
        "",
        "link-proc",
        "link-loop",
        "hello.txt/x",
    ]
    with Directory(tree.root) as directory:
        for name in names:
            try:
                descriptor, found = directory.open_file(name)
            except TransferError:
                assert directory.open_cached(name) is None, name
                continue
            os.close(descriptor)
            cached = directory.open_cached(name)
            assert cached is not None, name  # it was opened just now
            os.close(cached[0])
            assert (cached[1].st_dev, cached[1].st_ino) == (found.st_dev, found.st_ino)


def test_what_has_to_be_looked_up_on_the_disk_is_not_waited_for(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    with Directory(tree.root) as directory:
        monkeypatch.setattr(paths, "open_from_memory", lambda directory, name, flags: -1)
        assert directory.open_cached("hello.txt") is None


def test_another_file_system_is_not_entered() -> None:
    descriptor = os.open("/", os.O_RDONLY)
    try:
        assert open_from_memory(descriptor, b"proc/version", os.O_RDONLY) < 0
    finally:
        os.close(descriptor)


def test_a_file_system_that_asks_others_is_none_of_those() -> None:
    descriptor = os.open("/proc", os.O_RDONLY)
    try:
        assert flags_without_waiting(descriptor) is None
    finally:
        os.close(descriptor)


def test_no_descriptor_is_left_open(tree: Tree) -> None:
    with Directory(tree.root) as directory:
        before = len(os.listdir("/proc/self/fd"))
        for name in ("hello.txt", "fifo", "sub", "nothing"):
            cached = directory.open_cached(name)
            if cached is not None:
                os.close(cached[0])
        assert len(os.listdir("/proc/self/fd")) == before
