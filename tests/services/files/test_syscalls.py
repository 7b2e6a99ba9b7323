from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from aionet.services.files import syscalls
from aionet.services.files.syscalls import rename_new, start_writing


@pytest.mark.parametrize("has_it", [True, False])
def test_a_name_that_is_taken_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    if not has_it:
        monkeypatch.setattr(syscalls, "_renameat2", None)
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "taken").symlink_to("nowhere")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            rename_new("old", "taken", src_dir_fd=directory, dst_dir_fd=directory)
        rename_new("old", "new", src_dir_fd=directory, dst_dir_fd=directory)
        with pytest.raises(FileNotFoundError):
            rename_new("old", "newer", src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)
    assert (tmp_path / "new").read_bytes() == b"old"


def test_a_file_system_that_cannot_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINVAL)
        return -1

    monkeypatch.setattr(syscalls, "_renameat2", refuse)
    (tmp_path / "old").touch()
    directory = os.open(tmp_path, os.O_RDONLY)
    rename_new("old", "new", src_dir_fd=directory, dst_dir_fd=directory)
    os.close(directory)
    assert (tmp_path / "new").exists()


def test_writing_is_begun_and_nothing_is_promised(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    start_writing(descriptor, 0, 0)
    os.close(descriptor)
    start_writing(-1, 0, 0)
