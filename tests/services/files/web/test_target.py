from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.web.target import Target, href, parse_target


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", Target("", True, {})),
        ("/a", Target("a", False, {})),
        ("/a/", Target("a", True, {})),
        ("/a%20b/c+d", Target("a b/c+d", False, {})),
        ("/%C3%A9", Target("é", False, {})),
        ("/%252e", Target("%2e", False, {})),  # decoded once
        ("/../a", Target("../a", False, {})),  # as it is: .paths refuses it
        ("//a", Target("/a", False, {})),
        ("/a?json", Target("a", False, {"json": ""})),
        ("/?sort=size&order=desc", Target("", True, {"sort": "size", "order": "desc"})),
        ("/a?x=%2F", Target("a", False, {"x": "/"})),
        ("/a?", Target("a", False, {})),
        ("http://host:80/a/b", Target("a/b", False, {}, "host:80")),
        ("HTTP://host", Target("", True, {}, "host")),
        ("http://host?json", Target("", True, {"json": ""}, "host")),
    ],
)
def test_targets(target: str, expected: Target) -> None:
    assert parse_target(target) == expected


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "a",
        "host:443",
        "ftp://host/",
        "//",
        "/%",
        "/%2",
        "/%zz",
        "/a%2fb",
        "/a%2Fb",
        "/%00",
        "/%ff",
        "/%c3",
        "/?%",
        "/%ed%a0%80",
        "/%c0%ae",
    ],
)
def test_what_is_no_target_or_means_more_than_one_thing(target: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_target(target)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_name_comes_back_from_its_path(name: str) -> None:
    if name.endswith("/"):
        name += "x"
    assert parse_target(href(name)) == Target(name, False, {})
    assert parse_target(href(name, is_directory=True)) == Target(name, True, {})
    assert href(name).isascii()
    assert not set(href(name)) & set(' "<>\\^`{|}\r\n?#')


def test_the_path_of_the_directory_itself() -> None:
    assert href("", is_directory=True) == "/"
