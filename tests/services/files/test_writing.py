"""What one connection writes; most of it is tested through the handler and the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from aionet.services.files.commands import Options
from aionet.services.files.errors import BadRequest, Code, Mismatch, NotFound, TransferError
from aionet.services.files.hashing import ALGORITHMS, SHA256, Algorithm
from aionet.services.files.manifest import Hashes
from aionet.services.files.paths import Directory
from aionet.services.files.rules import Rules
from aionet.services.files.store import Store
from aionet.services.files.wire import Reply, Request
from aionet.services.files.writing import Writing


@pytest.fixture
def writing(tmp_path: Path) -> Writing:
    return Writing(Store(Directory(tmp_path), Rules(writable=True)), Hashes())


def put(writing: Writing, name: str, content: bytes, algorithm: Algorithm = SHA256) -> None:
    writing.begin("", name, {"upload": "u", "hash": algorithm})
    writing.write([content])


def verify(writing: Writing, name: str, content: bytes, algorithm: Algorithm = SHA256) -> object:
    options: Options = {"upload": "u", "total": len(content), "digest": algorithm.hexdigest(content)}
    if algorithm is not SHA256:
        options["hash"] = algorithm
    return writing.verify("", Request("COMMIT", name), options, 0.0)


def test_what_is_verified_waits_for_others(writing: Writing, tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(writing, name, name.encode())
        assert verify(writing, name, name.encode()) is writing.waiting[-1]
        assert not (tmp_path / name).exists()
    assert not writing.must_settle_before(Request("PUT", "c"))
    assert writing.must_settle_before(Request("PUT", "a"))
    assert writing.must_settle_before(Request("STAT", "c"))
    settled = writing.settle()
    assert [each.request.name for each, _ in settled] == ["a", "b"]
    assert all(isinstance(answer, Reply) for _, answer in settled)
    assert (tmp_path / "b").read_bytes() == b"b"
    assert writing.settle() == []


@pytest.mark.parametrize("arrived_by", ALGORITHMS.values(), ids=ALGORITHMS)
def test_what_was_hashed_by_one_algorithm_is_proven_by_any(
    writing: Writing, tmp_path: Path, arrived_by: Algorithm, algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(writing, "a", b"abc", arrived_by)
    if arrived_by is algorithm:  # nothing is read again
        monkeypatch.setattr("aionet.services.files.partial.os.preadv", None)
    other = next(each for each in ALGORITHMS.values() if each is not algorithm)
    wrong: Options = {"upload": "u", "total": 3, "digest": other.hexdigest(b"abc"), "hash": algorithm}
    with pytest.raises(Mismatch, match=f"the {algorithm.title} of what was received for 'a' is"):
        writing.verify("", Request("COMMIT", "a"), wrong, 0.0)
    verify(writing, "a", b"abc", algorithm)
    monkeypatch.undo()
    writing.settle()
    assert (tmp_path / "a").read_bytes() == b"abc"
    for each in ALGORITHMS.values():  # its answer was lost
        assert isinstance(verify(writing, "a", b"abc", each), Reply)
        with pytest.raises(NotFound):
            verify(writing, "a", b"abX", each)


def test_pieces_that_name_different_algorithms(writing: Writing) -> None:
    for offset, algorithm in enumerate([*ALGORITHMS.values()] * 3):
        writing.begin("", "a", {"upload": "u", "offset": offset, "hash": algorithm})
        writing.write([b"x"])
    verify(writing, "a", b"x" * 2 * 3, SHA256)


def test_only_so_many_wait(writing: Writing) -> None:
    names = [str(number) for number in range(32)]
    for name in names:
        put(writing, name, b"x")
        verify(writing, name, b"x")
    assert writing.must_settle_before(Request("PUT", "one more"))
    writing.close()
    assert writing.waiting == []


def test_an_empty_file_needs_no_put(writing: Writing, tmp_path: Path) -> None:
    verify(writing, "empty", b"")
    writing.settle()
    assert (tmp_path / "empty").read_bytes() == b""
    with pytest.raises(NotFound):
        verify(writing, "other", b"x")


def test_a_failed_proof_leaves_the_upload_at_hand(writing: Writing) -> None:
    put(writing, "a", b"abc")
    with pytest.raises(Mismatch):
        verify(writing, "a", b"abX")
    with pytest.raises(TransferError) as caught:
        writing.begin("", "a", {"upload": "u", "offset": 4})
    assert caught.value.code == Code.BAD_RANGE
    writing.begin("", "a", {"upload": "u", "offset": 2})
    writing.write([b"X"])
    verify(writing, "a", b"abX")


def test_a_new_name_is_text_with_or_without_a_line_feed(writing: Writing, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    writing.rename("a", b"b\r\n", {})
    writing.rename("b", b"c", {})
    with pytest.raises(BadRequest):
        writing.rename("c", b"\xff", {})
    assert (tmp_path / "c").exists()
