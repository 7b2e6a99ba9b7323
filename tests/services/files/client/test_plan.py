"""Where everything goes: as ``cp`` would decide."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aionet.services.files.client.plan import plan_fetch, plan_upload
from aionet.services.files.client.remote import Remote
from aionet.services.files.client.results import Results
from aionet.services.files.disk import Disk
from aionet.services.files.errors import NotADirectory, NotFound, RefusedName, TransferError
from aionet.services.files.handler import Files

from ..serving import serve
from .scripted import ok, scripted


@pytest.fixture
def tree(served_root: Path) -> Path:
    (served_root / "music" / "live").mkdir(parents=True)
    (served_root / "empty").mkdir()
    for name in ("one", "two", "music/three", "music/live/four"):
        (served_root / name).write_bytes(name.encode())
    return served_root


async def planned(
    root: Path, names: list[str], destination: str, *, recursive: bool = False
) -> tuple[list[str], list[str], Results]:
    """Where files land, which directories are made, and what was said."""
    results = Results()
    async with serve(root) as served, Remote(served.endpoint) as remote:
        plan = await plan_fetch(remote, names, destination, recursive=recursive, disk=Disk(1), results=results)
    directories = [os.path.join(plan.root, name) for name in plan.directories]
    return sorted(item.path for item in plan.items), directories, results


@pytest.mark.parametrize(
    ("names", "destination", "files", "directories"),
    [
        (["one"], ".", ["./one"], []),
        (["one"], "copy", ["./copy"], []),
        (["one"], "new/", ["new/one"], []),
        (["music/three"], "here", ["here/three"], []),
        (["one", "two"], "here", ["here/one", "here/two"], []),
        (["one", "two"], "new/", ["new/one", "new/two"], []),
        (["music"], "here", ["here/music/live/four", "here/music/three"], ["here/music", "here/music/live"]),
        (["music/"], "here", ["here/music/live/four", "here/music/three"], ["here/music", "here/music/live"]),
        (["music"], "new", ["new/live/four", "new/three"], ["new/live"]),
        (["music"], "new/", ["new/music/live/four", "new/music/three"], ["new/music", "new/music/live"]),
        (["music/."], "here", ["here/live/four", "here/three"], ["here/live"]),
        (["music/live", "one"], "here", ["here/live/four", "here/one"], ["here/live"]),
        (["empty"], "here", [], ["here/empty"]),
        (["*o*"], "here", ["here/one", "here/two"], []),
        (["m*/*"], "here", ["here/three"], []),
    ],
)
async def test_where_it_lands(
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    destination: str,
    files: list[str],
    directories: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    found = await planned(tree, names, destination)
    assert found[:2] == (files, directories)
    assert found[2].failures == []


@pytest.mark.parametrize("name", [".", "/", ""])
async def test_all_that_is_served(tree: Path, landing: Path, name: str) -> None:
    files, directories, _ = await planned(tree, [name], str(landing))
    assert [Path(path).relative_to(landing).as_posix() for path in files] == [
        *("music/live/four", "music/three", "one", "two")
    ]
    assert len(directories) == 3


async def test_directories_that_a_pattern_matches(tree: Path, landing: Path) -> None:
    files, directories, _ = await planned(tree, ["*"], str(landing), recursive=True)
    assert (len(files), len(directories)) == (4, 3)
    with pytest.raises(TransferError, match="only directories"):
        await planned(tree, ["m*"], str(landing))


async def test_two_that_land_in_one_place(tree: Path, landing: Path) -> None:
    (tree / "music" / "one").write_bytes(b"another")
    files, _, results = await planned(tree, ["one", "music/one"], str(landing))
    assert files == [str(landing / "one")]
    assert [(failure.name, type(failure.error)) for failure in results.failures] == [("music/one", RefusedName)]


async def test_destinations_that_are_none(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for destination in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(NotADirectory, match="more than one file"):
            await planned(tree, ["one", "two"], str(destination))
    with pytest.raises(RefusedName):
        await planned(tree, ["one"], "a\0b")
    with pytest.raises(NotADirectory):
        await planned(tree, ["one/."], str(tmp_path))


async def test_names_that_are_not_there(tree: Path, landing: Path) -> None:
    with pytest.raises(NotFound):
        await planned(tree, ["nothing"], str(landing))
    files, _, results = await planned(tree, ["nothing", "one"], str(landing))
    assert len(files) == 1
    assert [failure.name for failure in results.failures] == ["nothing"]


async def test_a_server_does_not_choose_a_strange_name(landing: Path) -> None:
    listing = ok(b"file 1;mtime=0;tag=a .bashrc\nfile 1;mtime=0;tag=a -rf\n", left_out=0)

    def answer(line: str) -> bytes:
        return listing if line.startswith("LIST") else b"ERR NOT_FOUND no\n"

    async with scripted(answer) as server, Remote(server.endpoint) as remote:
        results = Results()
        plan = await plan_fetch(remote, ["*"], str(landing), recursive=False, disk=Disk(1), results=results)
    assert [item.relative for item in plan.items] == ["-rf"]  # what was asked for by a pattern, and no hidden one


# ── to the server ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("paths", "name", "files", "directories"),
    [
        (["one"], "", ["one"], []),
        (["one"], "copy", ["copy"], []),
        (["one"], "music", ["music/one"], []),
        (["one"], "new/", ["new/one"], ["new"]),
        (["one", "two"], "a/b/", ["a/b/one", "a/b/two"], ["a", "a/b"]),
        (["dir"], "", ["dir/deep/four", "dir/three"], ["dir", "dir/deep"]),
        (["dir/"], "", ["dir/deep/four", "dir/three"], ["dir", "dir/deep"]),
        (["dir/."], "", ["deep/four", "three"], ["deep"]),
        (["dir"], "other", ["other/deep/four", "other/three"], ["other", "other/deep"]),
        (["dir"], "music/", ["music/dir/deep/four", "music/dir/three"], ["music", "music/dir", "music/dir/deep"]),
        (["./dir/../one"], "/", ["one"], []),
    ],
)
async def test_what_it_is_called(
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: list[str],
    name: str,
    files: list[str],
    directories: list[str],
) -> None:
    here = tmp_path / "here"
    (here / "dir" / "deep").mkdir(parents=True)
    for path in ("one", "two", "dir/three", "dir/deep/four"):
        (here / path).write_bytes(b"x")
    monkeypatch.chdir(here)
    results = Results()
    async with serve(Files(tree, writable=True)) as served, Remote(served.endpoint) as remote:
        found = await plan_upload(remote, paths, name, disk=Disk(1), results=results)
    assert sorted(item.name for item in found.items) == files
    assert found.directories == directories
    assert results.failures == []


async def test_two_that_would_be_called_the_same(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    (tmp_path / "x").write_bytes(b"2")
    results = Results()
    async with serve(Files(tree, writable=True)) as served, Remote(served.endpoint) as remote:
        paths = [str(tmp_path / "x"), str(tmp_path / "a" / "x")]
        found = await plan_upload(remote, paths, "", disk=Disk(1), results=results)
        assert [item.path for item in found.items] == paths[:1]
        assert [str(failure.path) for failure in results.failures] == paths[1:]
        with pytest.raises(NotADirectory, match="more than one"):
            await plan_upload(remote, paths, "one", disk=Disk(1), results=results)
        with pytest.raises(NotFound):
            await plan_upload(remote, [str(tmp_path / "nothing")], "", disk=Disk(1), results=results)
