from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aionet.services.files import manifest
from aionet.services.files.errors import Changed, TransferError
from aionet.services.files.hashing import ALGORITHMS, SHA256, Algorithm
from aionet.services.files.manifest import Hashes, Part

CHUNK = 4096


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "CHUNK", CHUNK)
    monkeypatch.setattr(manifest, "_PART", 4 * CHUNK)
    monkeypatch.setattr(manifest, "_READ", 1000)
    monkeypatch.setattr(manifest, "_SETTLED", -1)


def expected(content: bytes, algorithm: Algorithm = SHA256) -> list[bytes]:
    return [bytes.fromhex(algorithm.hexdigest(content[at : at + CHUNK])) for at in range(0, len(content), CHUNK)]


def digests(parts: list[Part]) -> list[bytes]:
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    return [digest for part in parts for digest in part.digests]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, 9 * CHUNK + 5])
def test_chunks_and_the_whole_twice(tmp_path: Path, size: int, algorithm: Algorithm) -> None:
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    hashes, descriptor = Hashes(), os.open(tmp_path / "x", os.O_RDONLY)
    for _ in range(2):  # hashed, then remembered
        parts = list(hashes.manifest(descriptor, "x", algorithm))
        assert digests(parts) == expected(content, algorithm)
        assert parts[-1].whole == algorithm.hexdigest(content)
        assert [part.offset for part in parts] == list(range(0, max(size, 1), 4 * CHUNK))
        assert list(hashes.manifest(descriptor, "x", algorithm, chunks=False))[-1].whole == parts[-1].whole
        some = list(hashes.manifest(descriptor, "x", algorithm, offset=CHUNK, length=2 * CHUNK)) if size > CHUNK else []
        assert not some or digests(some)[0] == expected(content, algorithm)[1]
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
    assert list(hashes.manifest(descriptor, "x"))[-1].whole == SHA256.hexdigest(b"two") != one
    os.close(descriptor)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the sizes of chunks are the same each time
@given(st.binary(max_size=5 * CHUNK), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 5 * CHUNK)))
def test_chunks_are_what_the_library_says(content: bytes, first: int, length: int | None) -> None:
    offset = min(first * CHUNK, len(content) // CHUNK * CHUNK)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        for algorithm, library in ((ALGORITHMS["blake3"], blake3), (SHA256, hashlib.sha256)):
            parts = list(Hashes().manifest(file.fileno(), "x", algorithm, offset=offset, length=length))
            end = len(content) if length is None else min(len(content), -(-(offset + length) // CHUNK) * CHUNK)
            assert digests(parts) == [library(content[at : at + CHUNK]).digest() for at in range(offset, end, CHUNK)]
            assert parts[-1].whole == ("" if offset or length is not None else library(content).hexdigest())


def test_what_is_remembered_of_one_algorithm_is_not_given_for_another(tmp_path: Path) -> None:
    content = os.urandom(2 * CHUNK)
    (tmp_path / "x").write_bytes(content)
    hashes, descriptor = Hashes(), os.open(tmp_path / "x", os.O_RDONLY)
    for algorithm in [*ALGORITHMS.values()] * 2:
        (part,) = hashes.manifest(descriptor, "x", algorithm)
        assert (part.whole, list(part.digests)) == (algorithm.hexdigest(content), expected(content, algorithm))
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
