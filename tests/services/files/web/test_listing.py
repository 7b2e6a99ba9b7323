from __future__ import annotations

from pathlib import Path

import pytest

from aionet.services.files.errors import NotADirectory, NotFound, RefusedName
from aionet.services.files.paths import Directory
from aionet.services.files.web import listing
from aionet.services.files.web.listing import MAX_PAGES, View, read_listing, read_view

from ..conftest import Tree


def names(root: Path, view: View, name: str = "") -> list[str]:
    with Directory(root) as directory:
        return [entry.name for entry in read_listing(directory, name, view).entries]


@pytest.fixture
def some(tmp_path: Path) -> Path:
    for name, size in (("b", 3), ("A", 1), ("c", 2)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "z").mkdir()
    return tmp_path


def test_directories_come_first_and_case_does_not_count(some: Path) -> None:
    assert names(some, View()) == ["z", "A", "b", "c"]
    assert names(some, View(descending=True)) == ["c", "b", "A", "z"]


def test_by_size_and_time(some: Path) -> None:
    assert names(some, View("size")) == ["z", "A", "c", "b"]
    assert names(some, View("size", True)) == ["b", "c", "A", "z"]
    assert sorted(names(some, View("time"))) == ["A", "b", "c", "z"]


def test_pages(some: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PER_PAGE", 3)
    assert names(some, View()) == ["z", "A", "b"]
    assert names(some, View(page=2)) == ["c"]
    assert names(some, View(page=3)) == []
    with Directory(some) as directory:
        second = read_listing(directory, "", View(page=2))
    assert (second.count, second.size, second.pages) == (4, 6, 2)


def test_what_cannot_be_asked_for_is_counted(tree: Tree) -> None:
    with Directory(tree.root) as directory:
        found = read_listing(directory, "", View())
        assert found.count == len(found.entries)
        assert found.left_out > 0
        assert ".hidden" not in [entry.name for entry in found.entries]
        for name, error in (("nothing", NotFound), ("hello.txt", NotADirectory), ("..", RefusedName)):
            with pytest.raises(error):
                read_listing(directory, name, View())


def test_an_empty_directory_has_a_page(tmp_path: Path) -> None:
    with Directory(tmp_path) as directory:
        assert read_listing(directory, "", View()).pages == 1


def test_views() -> None:
    assert read_view({}) == View()
    assert read_view({"sort": "size", "order": "desc", "page": "2", "json": ""}) == View("size", True, 2)
    for query in (
        {"sort": "x"},
        {"order": "up"},
        {"page": "0"},
        {"page": str(MAX_PAGES + 1)},
        {"page": "-1"},
        {"page": "٣"},
    ):
        with pytest.raises(ValueError, match="is"):
            read_view(query)
