"""Fixtures of the core's tests."""

from collections.abc import Iterator

import pytest

from aionet.core import datagram_calls, udp_port

from .sockets_tools import open_sockets


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Whatever a test opens, it, or what it tests, closes."""
    before = open_sockets()
    yield
    assert open_sockets() <= before


@pytest.fixture(params=["many a call", "one by one"])
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datagrams pass by the calls that Linux has, and by those that every system has."""
    if request.param == "one by one":
        monkeypatch.setattr(udp_port, "datagram_calls", datagram_calls.OneByOne)
