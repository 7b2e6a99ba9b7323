"""Fixtures of the core's tests."""

from collections.abc import Iterator

import pytest

from .sockets_tools import open_sockets


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Whatever a test opens, it, or what it tests, closes."""
    before = open_sockets()
    yield
    assert open_sockets() <= before
