"""The store, and what it is made of: partial files, and what is counted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aionet.services.files.entries import tag_of
from aionet.services.files.errors import BadRequest, Busy, Code, Conflict, Exists, NotAFile, RefusedName, TransferError
from aionet.services.files.hashing import ALGORITHMS, SHA256, Algorithm
from aionet.services.files.partial import Upload
from aionet.services.files.paths import Directory
from aionet.services.files.rules import Rules
from aionet.services.files.store import Claim, Store

from .conftest import Tree


def make_store(root: Path, **rules: Any) -> Store:
    return Store(Directory(root), Rules(writable=True, **rules))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Directory(tmp_path) as directory:
        yield Store(directory, Rules(writable=True))


def received(store: Store, name: str, content: bytes, upload: str = "u") -> Upload:
    found = store.begin("", name, upload)
    found.write([content], 0)
    found.verify(len(content), SHA256.hexdigest(content), SHA256)
    return found


def commit(store: Store, *claims: Claim) -> list[str]:
    """What each came to: a code, or the tag."""
    outcomes = store.commit(claims)
    for claim in claims:
        claim.upload.close()
    return [str(each.code) if isinstance(each, TransferError) else tag_of(each) for each in outcomes]


def test_several_are_committed_together_and_each_has_its_own_end(store: Store, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "taken").write_bytes(b"old")
    claims = [
        Claim(received(store, "a", b"a")),
        Claim(received(store, "taken", b"new"), new=True),
        Claim(received(store, "d/b", b"b"), mtime_ns=5),
        Claim(received(store, "taken", b"newer", "v"), tag="0"),
        Claim(received(store, "c", b"c"), mtime_ns=2**100),
        Claim(received(store, "future", b"c"), mtime_ns=2**80),  # as late as the file system knows
    ]
    first, second, third, fourth, fifth, sixth = commit(store, *claims)
    assert first == tag_of((tmp_path / "a").stat())
    assert (second, fourth, fifth) == (Code.CONFLICT, Code.CONFLICT, Code.BAD_REQUEST)
    assert sixth == tag_of((tmp_path / "future").stat())
    assert third == tag_of((tmp_path / "d" / "b").stat())
    assert (tmp_path / "d" / "b").stat().st_mtime_ns == 5
    assert (tmp_path / "taken").read_bytes() == b"old"


def test_a_directory_that_cannot_be_synchronised_makes_all_of_them_doubtful(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [Claim(received(store, name, b"x")) for name in ("a", "b")]
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > len(claims):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("aionet.services.files.store.os.fsync", fsync)
    outcomes = commit(store, *claims)
    monkeypatch.undo()
    assert outcomes == [Code.IO_ERROR, Code.IO_ERROR]


def test_what_is_no_regular_file_is_not_replaced(tree: Tree) -> None:
    store = make_store(tree.root)
    for number, name in enumerate(("fifo", "sub", "link-outside", "link-inside", "socket")):
        with pytest.raises(NotAFile):  # before anything is sent
            store.begin("", name, "u")
        upload = received(store, f"new{number}", b"x")
        os.rename(tree.root / name, tree.root / f"new{number}")  # and it may come meanwhile
        assert commit(store, Claim(upload)) == [Code.NOT_A_FILE]
    assert (tree.outside / "secret").read_bytes() == b"secret"


def test_a_partial_file_survives_everything_but_its_removal(store: Store, tmp_path: Path) -> None:
    upload = store.begin("anna", "x", "id")
    upload.write([b"abc", b"", b"def"], 0)
    upload.close()
    assert upload.closed
    other = make_store(tmp_path)
    again = other.resume("anna", "x", "id")
    assert again is not None
    assert again.received == 6
    again.write([b"D"], 3)
    again.verify(6, SHA256.hexdigest(b"abcDef"), SHA256)
    again.close()
    assert other.resume("otto", "x", "id") is None
    assert other.resume("anna", "x", "other") is None
    other.cancel("anna", "x", "id")
    other.cancel("anna", "x", "id")
    assert other.resume("anna", "x", "id") is None


def test_two_processes_cannot_be_at_one_upload(store: Store, tmp_path: Path) -> None:
    upload = store.begin("", "x", "id")
    with pytest.raises(Busy):
        make_store(tmp_path).begin("", "x", "id")  # as another process would: it does not know the first
    with pytest.raises(Busy):
        store.begin("", "x", "id")
    upload.close()
    store.begin("", "x", "id").close()


def test_a_silent_one_gives_way_unless_it_is_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionet.services.files.partial._SILENCE", 0.0)
    upload = store.begin("", "x", "id")
    with upload.held(), pytest.raises(Busy):
        store.begin("", "x", "id")
    taken_over = store.begin("", "x", "id")
    with pytest.raises(Busy, match="another connection has gone on"):
        upload.write([b"x"], 0)
    taken_over.write([b"x"], 0)
    taken_over.close()


def test_one_that_is_slow_is_not_silent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("aionet.services.files.partial.time.monotonic", lambda: now[0])
    upload = store.begin("", "x", "id")
    for _ in range(3):
        now[0] += 4.0
        upload.heard()
    with pytest.raises(Busy):
        store.begin("", "x", "id")
    now[0] += 5.0
    store.begin("", "x", "id").close()


def test_the_hash_goes_along_or_is_caught_up(store: Store, algorithm: Algorithm) -> None:
    content = os.urandom(3_000_000)
    upload = store.begin("", "x", "id")
    upload.hash_with(algorithm)
    upload.write([content[:1000]], 0)
    upload.write([content[1000:2_000_000]], 1000)
    upload.write([content[:10]], 0)  # anew: the hash begins again
    upload.write([content[2_000_000:]], 2_000_000)
    upload.verify(len(content), algorithm.hexdigest(content), algorithm)
    upload.close()


def test_many_small_pieces_and_a_disk_that_takes_little(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev, pwrite = os.pwritev, os.pwrite
    monkeypatch.setattr("aionet.services.files.partial.os.pwritev", lambda fd, some, at: pwritev(fd, some[:3], at))
    monkeypatch.setattr("aionet.services.files.partial.os.pwrite", lambda fd, data, at: pwrite(fd, data[:100], at))
    pieces = [bytes([number % 256]) for number in range(2000)]
    upload = store.begin("", "x", "id")
    upload.write(pieces, 0)
    upload.verify(2000, SHA256.hexdigest(b"".join(pieces)), SHA256)
    upload.close()


@pytest.mark.parametrize("most", [4096, 1 << 30])
def test_a_large_one_is_the_same_past_the_page_cache(store: Store, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Blocks and what is no block, in turn; and a disk that takes less than it is given."""
    pwrite = os.pwrite
    monkeypatch.setattr("aionet.services.files.direct.os.pwrite", lambda fd, data, at: pwrite(fd, data[:most], at))
    content = os.urandom(1_000_000)
    upload = store.begin("", "x", "id")
    upload.announce(0, 20 * 1024 * 1024)
    position = 0
    for size in (65_536, 100, 200_000, 4096 - 100, 300_000):
        some = content[position : position + size]
        upload.write([some[: size // 2], some[size // 2 :]], position)
        position += size
    upload.write([content[position:]], position)
    assert [upload.digest(each) for each in ALGORITHMS.values()] == [
        each.hexdigest(content) for each in ALGORITHMS.values()
    ]
    with upload.held() as descriptor:
        assert os.pread(descriptor, len(content), 0) == content
    upload.close()


def test_old_ones_expire_and_those_in_use_do_not(tmp_path: Path) -> None:
    store = make_store(tmp_path, partial_age=10.0)
    old, used = store.begin("", "old", "id"), store.begin("", "used", "id")
    old.close()
    hidden = tmp_path / ".aionet-partial"
    for path in hidden.iterdir():
        os.utime(path, (1, 1))
    later = make_store(tmp_path, partial_age=10.0)
    later.begin("", "new", "id").close()
    assert len(list(hidden.iterdir())) == 2
    assert later.resume("", "old", "id") is None
    used.close()


def test_there_are_only_so_many(tmp_path: Path) -> None:
    store = make_store(tmp_path, max_partials=2)
    for name in "ab":
        store.begin("", name, "id").close()
    with pytest.raises(TransferError, match="2 unfinished uploads") as caught:
        store.begin("", "c", "id")
    assert caught.value.code == Code.QUOTA
    store.begin("", "a", "id").close()


def test_the_hidden_directory_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".aionet-partial").mkdir()
    (tmp_path / ".aionet-partial").chmod(0o777)
    with pytest.raises(TransferError, match="others may write"):
        make_store(tmp_path).begin("", "x", "id")
    (tmp_path / ".aionet-partial").rmdir()
    (tmp_path / ".aionet-partial").symlink_to(tmp_path)
    with pytest.raises(TransferError):
        make_store(tmp_path).begin("", "x", "id")


def test_the_power_that_went_between_two_steps(store: Store, tmp_path: Path) -> None:
    """A partial file whose final name is there already is never written to again."""
    upload = store.begin("", "x", "id")
    upload.write([b"whole"], 0)
    upload.close()
    (part,) = (tmp_path / ".aionet-partial").iterdir()
    os.link(part, tmp_path / "x")
    again = store.begin("", "x", "id")
    assert again.received == 0
    again.write([b"other"], 0)
    again.close()
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_directories_and_names(store: Store, tmp_path: Path) -> None:
    store.make_directory("d")
    with pytest.raises(Exists):
        store.make_directory("d")
    (tmp_path / "a").write_bytes(b"a")
    store.rename("a", "d/b")
    with pytest.raises(Exists):
        store.rename("d/b", "d")
    with pytest.raises(Conflict):
        store.delete("d/b", tag="0")
    store.delete("d/b", tag_of((tmp_path / "d" / "b").stat()))
    store.delete("d")
    with pytest.raises(RefusedName):
        store.delete("..")


def test_a_server_that_only_reads(tmp_path: Path) -> None:
    store = Store(Directory(tmp_path), Rules())
    (tmp_path / "a").touch()
    changes: tuple[Callable[[], object], ...] = (
        lambda: store.begin("", "x", "id"),
        lambda: store.resume("", "x", "id"),
        lambda: store.cancel("", "x", "id"),
        lambda: store.make_directory("d"),
        lambda: store.delete("a"),
        lambda: store.rename("a", "b"),
    )
    for change in changes:
        with pytest.raises(TransferError) as caught:
            change()
        assert caught.value.code == Code.FORBIDDEN
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_renamed_onto_itself_still_counts(tmp_path: Path, linked: bool) -> None:
    store = make_store(tmp_path, quota_bytes=10, quota_files=2)
    assert commit(store, Claim(received(store, "a", bytes(10))))[0].isalnum()
    if linked:
        os.link(tmp_path / "a", tmp_path / "b")
    store.rename("a", "b" if linked else "a", replace=True)  # rename(2) does nothing to two names of one file
    with pytest.raises(TransferError) as caught:
        commit(store, Claim(received(store, "c", b"x")))
    assert caught.value.code == Code.QUOTA


def test_an_upload_whose_commit_failed_is_as_young_as_its_last_byte(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    upload = received(store, "a", b"new")
    assert commit(store, Claim(upload, mtime_ns=1_000_000_000, new=True)) == ["CONFLICT"]
    (partial,) = (tmp_path / ".aionet-partial").iterdir()
    assert partial.stat().st_mtime > 1_000_000  # or it would be removed as one that nobody goes on with


def test_an_upload_that_cannot_be_made_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    store = make_store(tmp_path, quota_files=1)
    with monkeypatch.context() as patch:
        patch.setattr("aionet.services.files.partial.set_owner", full)
        patch.setattr(Rules, "has_user_quota", True)
        patch.setattr("aionet.services.files.usage.owner_of", lambda *_: "")
        before = len(os.listdir("/proc/self/fd"))
        for number in range(5):
            with pytest.raises(TransferError) as caught:
                store.begin("", f"{number}", "u")
            assert caught.value.code == Code.NO_SPACE
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # that of the hidden directory
    assert os.listdir(tmp_path / ".aionet-partial") == []
    store.begin("", "a", "u").close()


def test_a_directory_does_not_move_into_itself(store: Store, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(BadRequest, match="into itself"):
        store.rename("d", "d/e")
