"""A directory to serve, with traps in it and around it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aionet.services.files.hashing import ALGORITHMS, Algorithm


@pytest.fixture(params=ALGORITHMS.values(), ids=list(ALGORITHMS))
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    """Each of those there are."""
    found = request.param
    assert isinstance(found, Algorithm)
    return found


@dataclass(frozen=True, slots=True)
class Tree:
    """The directory served, and what lies beside it and must never be seen."""

    root: Path
    outside: Path

    def inodes(self) -> set[tuple[int, int]]:
        """(device, inode) of everything below the root, without following links."""
        found: set[tuple[int, int]] = set()
        for directory, _, names in os.walk(self.root, followlinks=False):
            for name in (".", *names):
                info = os.stat(os.path.join(directory, name), follow_symlinks=False)
                found.add((info.st_dev, info.st_ino))
        return found


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """Files, directories, links of every kind, a FIFO and a socket."""
    root, outside = tmp_path / "served", tmp_path / "outside"
    (root / "sub" / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "hello.txt").write_bytes(b"hello world")
    (root / "empty").write_bytes(b"")
    (root / "with space.txt").write_bytes(b"space")
    (root / "back\\slash").write_bytes(b"backslash")
    (root / "sub" / "inner.txt").write_bytes(b"inner")
    (root / "sub" / "deep" / "leaf").write_bytes(b"leaf")
    (root / ".hidden").write_bytes(b"hidden")
    (root / "link-inside").symlink_to("hello.txt")
    (root / "link-dir").symlink_to("sub")
    (root / "sub" / "link-up").symlink_to("../hello.txt")
    (root / "link-outside").symlink_to("../outside/secret")
    (root / "link-out-dir").symlink_to("../outside")
    (root / "link-absolute").symlink_to(outside / "secret")
    (root / "link-absolute-inside").symlink_to(root / "hello.txt")
    (root / "link-loop").symlink_to("link-loop")
    (root / "link-nowhere").symlink_to("nothing")
    (root / "link-proc").symlink_to(Path("/proc/self", "root", "etc/passwd"))  # a magic link
    os.mkfifo(root / "fifo")
    os.link(root / "hello.txt", root / "hard")
    here = os.getcwd()
    os.chdir(root)  # the path of a Unix socket is short
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("socket")
    finally:
        os.chdir(here)
    yield Tree(root, outside)
    listener.close()
