from __future__ import annotations

import os
from pathlib import Path

import pytest

from aionet.services.files.client.local import scan_local
from aionet.services.files.errors import NotAFile, NotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "one").write_bytes(b"1")
    (root / "a" / "b" / "two").write_bytes(b"22")
    (root / "empty").mkdir()
    (root / "three").write_bytes(b"333")
    (root / ".four.aionet-part").write_bytes(b"part of a download")
    (root / "link").symlink_to("three")
    (root / "link-dir").symlink_to("a")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "fifo")
    return root


def test_a_tree(root: Path) -> None:
    tree = scan_local([(str(root), "up")])
    assert tree.directories == ["up", "up/a", "up/a/b", "up/empty"]
    assert [(item.name, item.size) for item in tree.items] == [("up/three", 3), ("up/a/one", 1), ("up/a/b/two", 2)]
    assert all(Path(item.path).stat().st_size == item.size for item in tree.items)
    assert tree.left_out == 4
    assert tree.failures == []


def test_what_is_in_it(root: Path) -> None:
    tree = scan_local([(str(root), "")])
    assert tree.directories == ["a", "a/b", "empty"]
    assert "three" in [item.name for item in tree.items]


def test_a_link_that_is_named_is_followed(root: Path) -> None:
    tree = scan_local([(str(root / "link"), "x"), (str(root / "link-dir"), "y")])
    assert [item.name for item in tree.items] == ["x", "y/one", "y/b/two"]


def test_what_cannot_be_named_fails_alone(root: Path) -> None:
    (root / "line\nfeed").touch()
    os.mkdir(os.path.join(os.fsencode(root), b"caf\xe9"))
    tree = scan_local([(str(root), "up")])
    assert len(tree.items) == 3
    assert sorted(error.message.split(" the name")[0] for _, _, error in tree.failures) == [
        "control character in",
        "the name 'up/caf\\udce9' is not UTF-8",
    ]


def test_what_cannot_be_read_fails_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("aionet.services.files.client.local.os.scandir", refusing)
    tree = scan_local([(str(root), "up")])
    assert [item.name for item in tree.items] == ["up/three"]
    assert [(name, error.message) for name, _, error in tree.failures] == [
        ("up/a", f"no permission for {str(root / 'a')!r}")
    ]


def test_a_deep_tree(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    assert len(scan_local([(str(tmp_path), "up")]).directories) == 1201


def test_what_is_not_there(root: Path) -> None:
    with pytest.raises(NotFound):
        scan_local([(str(root / "nothing"), "x")])
    with pytest.raises(NotAFile):
        scan_local([(str(root / "fifo"), "x")])
