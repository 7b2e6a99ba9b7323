from __future__ import annotations

import os
from pathlib import Path

import pytest

from aionet.services.files.client.landing import Landing, base_name, choose_target, is_component
from aionet.services.files.client.part import finish_all
from aionet.services.files.errors import NotADirectory, NotFound, RefusedName, TransferError

HOSTILE = ["..", "../x", "a/../../x", "/etc/x", "a//x", "", "./x", "a/.", "a\0b", "a\nb/x", "x/\x1b[2J"]


@pytest.mark.parametrize(
    ("name", "destination", "expected"),
    [
        ("song.ogg", None, "song.ogg"),
        ("music/song.ogg", None, "song.ogg"),
        ("../../.bashrc", "here", "here"),
        ("a/file", "nowhere/", "nowhere/file"),
    ],
)
def test_where_it_lands(name: str, destination: str | None, expected: str) -> None:
    assert choose_target(name, destination) == Path(expected)


def test_a_directory_takes_the_name(tmp_path: Path) -> None:
    assert choose_target("a/file", tmp_path) == tmp_path / "file"


@pytest.mark.parametrize(
    "name", ["", "a/", "..", "a/..", ".bashrc", "-rf", "a\\..\\b", "a\nb", "x/\x1b[2J", "\u202egpj"]
)
def test_a_strange_name_does_not_choose_where_it_lands(name: str, tmp_path: Path) -> None:
    for destination in (None, tmp_path):
        with pytest.raises(RefusedName):
            choose_target(name, destination)
    with pytest.raises(RefusedName):
        base_name(name)


def test_a_destination_with_a_nul_is_refused() -> None:
    with pytest.raises(RefusedName):
        choose_target("file", "a\0b")


def test_directories_are_made_on_the_way(tmp_path: Path) -> None:
    with Landing(tmp_path / "new", make=True) as landing:
        part = landing.part("a/b/c/file")
        part.fill(b"x")
        finish_all([part])
        part.close()
        landing.make_directory("d/e")
        landing.make_directory("d/e")
    assert (tmp_path / "new/a/b/c/file").read_bytes() == b"x"
    assert (tmp_path / "new/d/e").is_dir()


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with Landing(inside) as landing:
        for method in (landing.part, landing.look):
            with pytest.raises(TransferError):
                method(name)
        assert not landing.has(name, 0, 0)
        if name:
            with pytest.raises(TransferError):
                landing.make_directory(f"{name}/below")
    assert os.listdir(tmp_path) == ["inside"]


def test_no_link_in_the_destination_leads_out(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "file").touch()
    with Landing(inside) as landing:
        for name in ("link/x", "link/x/y", "file/x"):
            with pytest.raises(NotADirectory, match="no directory"):
                landing.part(name)
        with pytest.raises(TransferError):
            landing.part("link")
    assert os.listdir(outside) == []


def test_the_root_is_the_users_own_word(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with Landing(tmp_path / "link") as landing:
        part = landing.part("x")
        part.fill(b"x")
        part.close()
    assert len(os.listdir(tmp_path / "real")) == 1
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectory):
        Landing(tmp_path / "file", make=True)
    with pytest.raises(NotFound):
        Landing(tmp_path / "nowhere")


def test_few_descriptors_are_open_however_many_directories_there_are(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Landing(tmp_path) as landing:
        for number in range(300):
            landing.make_directory(f"{number}/below")
        assert len(os.listdir("/proc/self/fd")) - before < 100
        landing.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(os.listdir(tmp_path)) == 300


def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    os.utime(tmp_path / "file", ns=(5, 5))
    (tmp_path / "link").symlink_to("file")
    with Landing(tmp_path) as landing:
        assert landing.has("file", 4, 5)
        assert not landing.has("file", 5, 5)
        assert not landing.has("file", 4, 6)
        assert not landing.has("link", 4, 5)
        assert not landing.has("nothing", 0, 0)
        assert landing.look("nothing") is None


@pytest.mark.parametrize("name", ["a", "...", ".a", "a b", "a\\b", "ä", "-", "%2e%2e"])
def test_components(name: str) -> None:
    assert is_component(name)
    assert not is_component(f"{name}/x")
