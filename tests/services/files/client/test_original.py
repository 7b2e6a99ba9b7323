from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from aionet.services.files.client.original import Original, upload_id
from aionet.services.files.errors import Changed, NotAFile, NotFound
from aionet.services.files.hashing import SHA256, Algorithm, Digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"0123456789")
    return tmp_path / "file"


def test_what_is_read_in_order_is_hashed_in_passing(path: Path) -> None:
    with closing(Original(str(path))) as original:
        assert original.read(0, 4) == b"0123"
        assert original.read(8, 10) == b"89"
        assert original.read(2, 3) == b"234"
        assert original.hashed == 4
        original.hash_up_to(original.size)
        assert original.digest() == Digest(SHA256, SHA256.hexdigest(b"0123456789"))
        original.check_unchanged()


def test_a_change_is_noticed(path: Path, algorithm: Algorithm) -> None:
    with closing(Original(str(path))) as original:
        os.truncate(path, 5)
        with pytest.raises(Changed):
            original.hash_up_to(original.size)
        with pytest.raises(Changed, match="while it was sent"):
            original.check_unchanged()
        before = original.upload
        original.hash_with(algorithm)
        original.restart()
        original.hash_up_to(original.size)
        original.check_unchanged()
        assert original.upload != before
        assert original.size == 5
        assert original.digest() == Digest(algorithm, algorithm.hexdigest(b"01234"))


def test_the_upload_of_a_version_is_called_the_same_each_time(path: Path, tmp_path: Path) -> None:
    found = path.stat()
    assert upload_id(found) == upload_id(path.stat())
    (tmp_path / "other").write_bytes(b"0123456789")
    os.utime(tmp_path / "other", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert upload_id((tmp_path / "other").stat()) != upload_id(found)
    os.utime(path, ns=(1, 1))
    assert upload_id(path.stat()) != upload_id(found)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(NotAFile):
            Original(str(tmp_path / name))
    with pytest.raises(NotFound):
        Original(str(tmp_path / "nothing"))
    assert not [name for name in os.listdir("/proc/self/fd") if "fifo" in os.path.realpath(f"/proc/self/fd/{name}")]
