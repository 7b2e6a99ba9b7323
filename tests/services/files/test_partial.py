"""What of partial files does not need a store; the rest is in test_store."""

from __future__ import annotations

import os
from pathlib import Path

from aionet.services.files.partial import Partials
from aionet.services.files.paths import Directory
from aionet.services.files.rules import Rules
from aionet.services.files.usage import Usage


def make(root: Path) -> Partials:
    directory, rules = Directory(root), Rules(writable=True)
    return Partials(directory, rules, Usage(directory, rules))


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    assert make(tmp_path).open("", "x", "id", create=False) is None
    assert os.listdir(tmp_path) == []


def test_names_on_the_disk_tell_nothing_and_do_not_collide(tmp_path: Path) -> None:
    partials = make(tmp_path)
    ids = [("", "a", "b"), ("", "ab", ""), ("a", "b", ""), ("a", "", "b"), ("", "../x", "y")]
    uploads = [partials.open(*each, create=True) for each in ids]
    names = os.listdir(tmp_path / ".aionet-partial")
    assert len(names) == len(ids)
    assert all(len(name) == 45 and name.endswith(".part") for name in names)
    assert (tmp_path / ".aionet-partial").stat().st_mode & 0o777 == 0o700
    for upload in uploads:
        assert upload is not None
        partials.remove(upload)
        upload.close()
    assert os.listdir(tmp_path / ".aionet-partial") == []
