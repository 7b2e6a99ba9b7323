"""The files of Unix sockets: taken over only when dead, exact permissions, removed only when ours."""

import asyncio
import errno
import os
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from aionet.core.unix import UnixFile
from aionet.errors import BindError

from .sockets_tools import accept_one, bind, refused

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_unix_listens_and_removes_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (sock,) = await bind(f"unix://{path}")
    with sock:
        accept_one(sock).close()
        file = UnixFile.of(sock)
        assert file is not None
        assert file.remove()
        assert not path.exists()
        assert not file.remove()


async def test_unix_leaves_the_file_of_a_successor(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (old,) = await bind(f"unix://{path}")
    file = UnixFile.of(old)
    path.unlink()
    (new,) = await bind(f"unix://{path}")
    with old, new:
        assert file is not None
        assert not file.remove()
        assert path.exists()


async def test_unix_replaces_a_dead_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (old,) = await bind(f"unix://{path}")
    old.close()
    assert path.exists()
    (new,) = await bind(f"unix://{path}")
    with new:
        accept_one(new).close()


async def test_unix_does_not_steal_a_live_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (old,) = await bind(f"unix://{path}")
    with old:
        error = await refused(f"unix://{path}")
        assert error.errno == errno.EADDRINUSE
        assert "another process is listening" in str(error)
        old.accept()[0].close()  # the probe came and went
        accept_one(old).close()


async def test_unix_with_a_full_queue_counts_as_alive(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (old,) = await bind(f"unix://{path}?backlog=1")
    with ExitStack() as stack:
        stack.enter_context(old)
        for _ in range(2):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        assert (await refused(f"unix://{path}")).errno == errno.EADDRINUSE


async def test_unix_of_two_starting_at_once_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (dead,) = await bind(f"unix://{path}")
    dead.close()
    results = await asyncio.gather(*(bind(f"unix://{path}") for _ in range(8)), return_exceptions=True)
    winners = [result[0] for result in results if isinstance(result, list)]
    assert len(winners) == 1
    with winners[0]:
        file = UnixFile.of(winners[0])
        assert file is not None
        assert file.inode == path.stat().st_ino
    assert all(isinstance(result, (BindError, list)) for result in results)


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
async def test_unix_never_deletes_what_is_no_socket(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "s", tmp_path / "other"
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to(other)
    error = await refused(f"unix://{path}")
    assert error.errno == errno.EADDRINUSE
    assert "not a socket" in str(error)
    assert os.listdir(tmp_path) == ["s"]


async def test_unix_mode_is_exact_and_never_wider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "s", []
    chmod = os.chmod

    def look(target: str, mode: int) -> None:
        seen.append(stat.S_IMODE(os.stat(target).st_mode))
        chmod(target, mode)

    monkeypatch.setattr(os, "chmod", look)
    old = os.umask(0)
    try:
        (sock,) = await bind(f"unix://{path}?mode=0640")
    finally:
        os.umask(old)
    with sock:
        assert seen == [0o640]
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.unlink()
    old = os.umask(0o077)
    try:
        (sock,) = await bind(f"unix://{path}?mode=666")
    finally:
        os.umask(old)
    with sock:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666


async def test_unix_errors_say_what_to_do(tmp_path: Path) -> None:
    error = await refused(f"unix://{tmp_path}/no/such/s")
    assert error.errno == errno.ENOENT
    assert f"{tmp_path}/no/such does not exist" in str(error.hint)
    (tmp_path / "file").touch()
    assert (await refused(f"unix://{tmp_path}/file/s")).errno == errno.ENOTDIR
    error = await refused(f"unix://{tmp_path}/{'x' * 120}")
    assert error.errno == errno.ENAMETOOLONG
    assert "may have 107" in str(error)


async def test_a_failed_listen_removes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", fail)
    error = await refused(f"unix://{tmp_path}/s?mode=600")
    assert error.errno == errno.EPERM
    assert os.listdir(tmp_path) == []


def test_other_sockets_have_no_file() -> None:
    with socket.socket() as sock:
        assert UnixFile.of(sock) is None
    with socket.socket(socket.AF_UNIX) as sock:
        assert UnixFile.of(sock) is None
