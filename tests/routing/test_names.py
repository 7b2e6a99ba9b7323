"""Host names and their one wildcard."""

from __future__ import annotations

import pytest

from aionet.errors import ConfigError
from aionet.routing.names import checked_name, name_covers, name_fits


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("example.com", "example.com", True),
        ("example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "a.b.example.com", False),
    ],
)
def test_one_label_more(pattern: str, name: str, fits: bool) -> None:
    assert name_fits(pattern, name) is fits


def test_which_pattern_means_more() -> None:
    assert name_covers("*.example.com", "a.example.com")
    assert name_covers("*.example.com", "*.example.com")
    assert not name_covers("*.example.com", "*.a.example.com")
    assert not name_covers("a.example.com", "*.example.com")


def test_names_are_written_as_they_are_sent() -> None:
    assert checked_name("B\u00fccher.Example") == "xn--bcher-kva.example"
    assert checked_name("[::1]") == "[::1]"
    assert checked_name("127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize("pattern", ["", "*", "a b", "example.com:80", "a..b", "*a.example.com", "\u00fc" * 70])
def test_what_is_no_name(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is no host name"):
        checked_name(pattern)
