from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from aionet.services.files import manifest
from aionet.services.files.errors import Changed, TransferError
from aionet.services.files.manifest import Hashes, Part

CHUNK = 4096


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "CHUNK", CHUNK)
    monkeypatch.setattr(manifest, "_PART", 4 * CHUNK)
    monkeypatch.setattr(manifest, "_READ", 1000)
    monkeypatch.setattr(manifest, "_SETTLED", -1)


def expected(content: bytes, offset: int = 0, end: int | None = None) -> list[bytes]:
    end = len(content) if end is None else min(end, len(content))
    return [hashlib.sha256(content[at : min(at + CHUNK, end)]).digest() for at in range(offset, end, CHUNK)]


def digests(parts: list[Part]) -> list[bytes]:
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    return [digest for part in parts for digest in part.digests]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, 9 * CHUNK + 5])
def test_chunks_and_the_whole_twice(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    hashes, descriptor = Hashes(), os.open(tmp_path / "x", os.O_RDONLY)
    for _ in range(2):  # hashed, then remembered
        parts = list(hashes.manifest(descriptor, "x"))
        assert digests(parts) == expected(content)
        assert parts[-1].whole == hashlib.sha256(content).hexdigest()
        assert [part.offset for part in parts] == list(range(0, max(size, 1), 4 * CHUNK))
        assert list(hashes.manifest(descriptor, "x", chunks=False))[-1].whole == parts[-1].whole
        some = list(hashes.manifest(descriptor, "x", offset=CHUNK, length=2 * CHUNK)) if size > CHUNK else []
        assert not some or digests(some)[0] == expected(content)[1]
        assert all(not part.whole for part in some)
    os.close(descriptor)


def test_a_remembered_manifest_gives_whole_chunks_for_a_part(tmp_path: Path) -> None:
    content = os.urandom(9 * CHUNK + 5)
    (tmp_path / "x").write_bytes(content)
    hashes, descriptor = Hashes(), os.open(tmp_path / "x", os.O_RDONLY)
    first = digests(list(hashes.manifest(descriptor, "x", offset=5 * CHUNK, length=CHUNK + 1)))
    list(hashes.manifest(descriptor, "x"))
    assert digests(list(hashes.manifest(descriptor, "x", offset=5 * CHUNK, length=CHUNK + 1))) == first
    assert first == expected(content)[5:7]
    os.close(descriptor)


def test_what_was_remembered_is_not_given_for_another_version(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    hashes, descriptor = Hashes(), os.open(path, os.O_RDONLY)
    one = list(hashes.manifest(descriptor, "x"))[-1].whole
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert list(hashes.manifest(descriptor, "x"))[-1].whole == hashlib.sha256(b"two").hexdigest() != one
    os.close(descriptor)


def test_what_has_just_been_changed_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_SETTLED", 10**12)
    (tmp_path / "x").write_bytes(b"one")
    hashes, descriptor = Hashes(), os.open(tmp_path / "x", os.O_RDONLY)
    list(hashes.manifest(descriptor, "x"))
    monkeypatch.setattr("aionet.services.files.manifest.os.preadv", lambda *_: 0)
    with pytest.raises(Changed):
        list(hashes.manifest(descriptor, "x"))
    os.close(descriptor)


@pytest.mark.parametrize("change", ["shrinks", "grows", "is touched"])
def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(os.urandom(9 * CHUNK))
    descriptor = os.open(path, os.O_RDONLY)
    parts = Hashes().manifest(descriptor, "x")
    next(parts)
    if change == "is touched":
        os.utime(path, ns=(1, 1))
    else:
        os.truncate(path, CHUNK if change == "shrinks" else 10 * CHUNK)
    with pytest.raises(Changed):
        list(parts)
    os.close(descriptor)


def test_a_disk_that_fails_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    (tmp_path / "x").write_bytes(b"x")
    descriptor = os.open(tmp_path / "x", os.O_RDONLY)
    monkeypatch.setattr("aionet.services.files.manifest.os.preadv", fail)
    with pytest.raises(TransferError, match="Input/output error"):
        list(Hashes().manifest(descriptor, "x"))
    os.close(descriptor)


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_CACHED", 1500)
    hashes = Hashes()
    for number in range(20):
        (tmp_path / str(number)).write_bytes(bytes([number]) * 100)
        descriptor = os.open(tmp_path / str(number), os.O_RDONLY)
        list(hashes.manifest(descriptor, "x"))
        list(hashes.manifest(descriptor, "x", chunks=False))
        os.close(descriptor)
    assert 0 < len(hashes._known) <= 3
    assert hashes._size <= 1500
