"""What is on the server: directories, trees, patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from aionet.services.files.client.listing import find, find_exactly, has_wildcards, list_many, walk
from aionet.services.files.client.remote import Remote
from aionet.services.files.errors import NotFound, TransferError
from aionet.services.files.handler import Files

from ..serving import serve
from .scripted import ok, scripted

FILES = ["a.ogg", "b.txt", "music/c.ogg", "music/d.txt", "music/live/e.ogg", "music/live/f[1].ogg", "x y/z"]
HIDDEN = [".h/i", "q/.j"]


@pytest.fixture
def tree(served_root: Path) -> Path:
    for name in (*FILES, *HIDDEN):
        path = served_root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return served_root


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.ogg", ["a.ogg"]),
        ("*.ogg", ["a.ogg"]),
        ("music/*.ogg", ["music/c.ogg"]),
        ("m*/?.ogg", ["music/c.ogg"]),
        ("music/live/f[1].ogg", ["music/live/f[1].ogg"]),
        ("music/live/f[[]1].*", ["music/live/f[1].ogg"]),
        ("**/*.ogg", ["a.ogg", "music/c.ogg", "music/live/e.ogg", "music/live/f[1].ogg"]),
        ("music/**", ["music/c.ogg", "music/d.txt", "music/live", "music/live/e.ogg", "music/live/f[1].ogg"]),
        ("music/**/e.ogg", ["music/live/e.ogg"]),
        ("[!am]*", ["b.txt", "q", "x y"]),
        ("*/*", ["music/c.ogg", "music/d.txt", "music/live", "x y/z"]),
        ("", [""]),
        ("music", ["music"]),
    ],
)
async def test_patterns(tree: Path, pattern: str, expected: list[str]) -> None:
    async with serve(tree) as served, Remote(served.endpoint) as remote:
        assert [found.name for found in await find(remote, pattern)] == expected


async def test_hidden_names_match_only_a_dot(tree: Path) -> None:
    async with serve(Files(tree, hidden=True)) as served, Remote(served.endpoint) as remote:
        assert [found.name for found in await find(remote, "*")] == ["a.ogg", "b.txt", "music", "q", "x y"]
        assert [found.name for found in await find(remote, ".h/*")] == [".h/i"]
        assert [found.name for found in await find(remote, "q/.*")] == ["q/.j"]


@pytest.mark.parametrize("name", ["nothing", "nothing*", "music/*.wav", "nowhere/*"])
async def test_nothing(tree: Path, name: str) -> None:
    async with serve(tree) as served, Remote(served.endpoint) as remote:
        with pytest.raises(NotFound):
            await find(remote, name)


async def test_a_tree_with_each_directory_before_what_is_in_it(tree: Path) -> None:
    (tree / "link").symlink_to("/etc")
    async with serve(tree) as served, Remote(served.endpoint) as remote:
        found = await walk(remote, [""])
    names = [each.name for each in found.found]
    assert set(names) == {*FILES, "music", "music/live", "x y", "q"}
    for name in names:
        above = name.rpartition("/")[0]
        assert not above or names.index(above) < names.index(name)
    assert (found.left_out, found.refused) == (1, [])


async def test_directories_that_are_not_there(tree: Path) -> None:
    async with serve(tree) as served, Remote(served.endpoint) as remote:
        found = await walk(remote, ["music", "nowhere"])
        assert len(found.found) == 5
        assert [(name, type(error)) for name, error in found.refused] == [("nowhere", NotFound)]
        assert list(await list_many(remote, ["nowhere", "music", ""])) == ["music", ""]


async def test_one_entry(tree: Path) -> None:
    async with serve(tree) as served, Remote(served.endpoint) as remote:
        found = await find_exactly(remote, "music/c.ogg")
        assert (found.name, found.entry.name, found.entry.size) == ("music/c.ogg", "c.ogg", 11)
        assert found.entry.tag
        assert (await find_exactly(remote, "music")).entry.is_directory


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"file 1;mtime=0 ../../x\n", "makes no sense"),
        (b"nonsense\n", "makes no sense"),
        (b"file 1;mtime=0 x", "line feed"),
        (b"\xff\n", "makes no sense"),
    ],
)
async def test_hostile_listings(body: bytes, said: str) -> None:
    async with scripted(lambda line: ok(body)) as server, Remote(server.endpoint) as remote:
        with pytest.raises(TransferError, match=said):
            await walk(remote, [""])


async def test_a_tree_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionet.services.files.client.listing.MAX_ENTRIES", 10_000)
    names = "".join(f"dir 0 {number}\n" for number in range(500)).encode()
    async with scripted(lambda line: ok(names)) as server, Remote(server.endpoint) as remote:
        with pytest.raises(TransferError, match="10000"):
            await walk(remote, [""])


def test_wildcards() -> None:
    assert [has_wildcards(name) for name in ("a", "a*", "a?b", "[a]", "a]")] == [False, True, True, True, False]
