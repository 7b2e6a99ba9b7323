"""The commands that read, without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aionet.services.files.commands import Options
from aionet.services.files.entries import parse_entries
from aionet.services.files.errors import Changed, NotAFile, TransferError
from aionet.services.files.hashing import Algorithm
from aionet.services.files.manifest import Hashes
from aionet.services.files.paths import Directory
from aionet.services.files.reading import (
    SMALL,
    Sending,
    get_facts,
    get_file,
    get_listing,
    get_manifest,
    get_small_file_at_once,
)
from aionet.services.files.wire import Reply

from .conftest import Tree


@pytest.fixture
def directory(tree: Tree) -> Directory:
    return Directory(tree.root)


def content_of(directory: Directory, name: str, options: Options) -> bytes:
    reply, content = get_file(directory, name, options)
    assert isinstance(reply, Reply)
    assert isinstance(content, bytes)
    assert reply.size == len(content)
    assert reply.facts["checked"] == "1"
    return content


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ({}, b"hello world"),
        ({"offset": 6}, b"world"),
        ({"offset": 6, "length": 2}, b"wo"),
        ({"length": 0}, b""),
        ({"offset": 11}, b""),
        ({"offset": 3, "length": 10**18}, b"lo world"),
    ],
)
def test_ranges(directory: Directory, options: Options, content: bytes) -> None:
    assert content_of(directory, "hello.txt", options) == content
    at_once = get_small_file_at_once(directory, "hello.txt", options)
    assert at_once is None or at_once[1] == content


def test_a_large_file_is_sent_by_the_loop_and_closed_behind(directory: Directory, tree: Tree) -> None:
    os.truncate(tree.root / "hello.txt", 10 * SMALL)
    answers = get_file(directory, "hello.txt", {"offset": 5})
    reply, sending = next(answers), next(answers)
    assert isinstance(reply, Reply)
    assert isinstance(sending, Sending)
    assert (sending.offset, sending.count, reply.size) == (5, 10 * SMALL - 5, 10 * SMALL - 5)
    assert "checked" not in reply.facts
    assert os.fstat(sending.file).st_size == 10 * SMALL
    assert next(answers, None) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sending.file)
    assert get_small_file_at_once(directory, "hello.txt", {}) is None


def test_another_version_is_refused(directory: Directory, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = get_facts(directory, "hello.txt").facts["tag"]
    assert content_of(directory, "hello.txt", {"tag": tag}) == b"hello world"
    pread = os.pread

    def change_and_read(descriptor: int, size: int, offset: int) -> bytes:
        (tree.root / "hello.txt").write_bytes(b"HELLO WORLD")
        os.utime(tree.root / "hello.txt", ns=(1, 1))
        return pread(descriptor, size, offset)

    monkeypatch.setattr("aionet.services.files.reading.os.pread", change_and_read)
    with pytest.raises(Changed, match="while it was read"):
        list(get_file(directory, "hello.txt", {}))
    monkeypatch.undo()
    with pytest.raises(Changed, match="another version"):
        list(get_file(directory, "hello.txt", {"tag": tag}))


@pytest.mark.parametrize("name", ["hello.txt", "nothing", "sub", "fifo", "../outside/secret", "link-outside"])
def test_at_once_gives_the_same_or_nothing(directory: Directory, name: str) -> None:
    at_once = get_small_file_at_once(directory, name, {})
    try:
        whole: Any = tuple(get_file(directory, name, {}))
    except TransferError:
        whole = None
    assert at_once in (None, whole)


def test_facts(directory: Directory) -> None:
    assert get_facts(directory, "").facts["kind"] == "dir"
    assert "tag" not in get_facts(directory, "sub").facts
    assert get_facts(directory, "link-inside").facts == get_facts(directory, "hello.txt").facts
    with pytest.raises(NotAFile):
        get_facts(directory, "fifo")


def test_pages_hold_every_name_once_and_in_order(tmp_path: Path) -> None:
    names = sorted((f"{number * 7919 % 1000} ü%" for number in range(250)), key=str.encode)
    for name in names:
        (tmp_path / name).touch()
    directory, seen, after, left = Directory(tmp_path), list[str](), "", 1
    while left:
        reply, body = get_listing(directory, "", {"limit": 60, "after": after})
        assert isinstance(reply, Reply)
        assert isinstance(body, bytes)
        seen += [entry.name for entry in parse_entries(body)]
        after, left = seen[-1], int(reply.facts["left"])
        assert left == len(names) - len(seen)
    assert seen == names


def test_a_small_file_bears_the_digest_that_was_asked_for(directory: Directory, algorithm: Algorithm) -> None:
    options: Options = {"hash": algorithm}
    reply, content = get_file(directory, "hello.txt", options)
    assert isinstance(reply, Reply)
    assert reply.facts["digest"] == algorithm.hexdigest(b"hello world")
    at_once = get_small_file_at_once(directory, "hello.txt", options)
    assert at_once in (None, (reply, content))


def test_a_manifest_in_words(directory: Directory) -> None:
    descriptor, _ = directory.open_file("hello.txt")
    reply, body = get_manifest(Hashes(), descriptor, "hello.txt", {}, {"tag": "x"})
    os.close(descriptor)
    digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    assert body == f"{digest}\n".encode()
    assert reply == Reply(65, {"offset": "0", "total": "11", "tag": "x", "digest": digest})
