from __future__ import annotations

import pytest

from aionet.services.files.web.guard import Guard, comes_from_here


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:8000",
        "10.1.2.3:80",
        "localhost",
        "LOCALHOST.:8000",
        "a.localhost",
        "files.example.com",
        "Files.Example.com:8000",
        "a.b.example.org",
    ],
)
def test_hosts_that_are_answered_to(host: str) -> None:
    assert Guard(["files.example.com", "*.example.org"]).knows(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "example.org",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "2130706433",
        "0x7f.1",
        "",
        ":80",
        "a b",
        "127.0.0.1:80:80",
        "[::1",
        "user@127.0.0.1",
        "127.0.0.1, evil.example.com",
        "127.0.0.1/x",
        "\u0661",
    ],
)
def test_hosts_that_are_not(host: str) -> None:
    assert not Guard(["files.example.com", "*.example.org"]).knows(host)


def test_any_host_if_that_is_wanted() -> None:
    assert Guard(["*"]).knows("whatever.example.com")


@pytest.mark.parametrize(
    ("fields", "here"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://a:1", "host": "a:1"}, False),
        ({"origin": "http://a:1", "host": "A:1"}, True),
        ({"origin": "http://a:2", "host": "a:1"}, False),
        ({"origin": "http://a:1.example.com", "host": "a:1"}, False),
        ({"origin": "null", "host": "a:1"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_whose_pages_may_change_something(fields: dict[str, str], here: bool) -> None:
    assert comes_from_here(fields) is here
