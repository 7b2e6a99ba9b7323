from __future__ import annotations

import platform
from importlib.metadata import version

import pytest

from benchmarks import environment
from benchmarks.environment import describe
from benchmarks.processes import Cores


def test_a_reader_learns_where_and_with_what() -> None:
    told = describe(Cores(0, 1))
    assert told["placement"] == "server on core 0, load on core 1"
    assert platform.release() in told["kernel"]
    assert platform.python_version() in told["python"]
    assert f"uvloop {version('uvloop')}" in told["python peers"]
    assert all(told.values())


def test_one_core_is_admitted() -> None:
    assert "no second core" in describe(Cores(3, 3))["placement"]


def test_what_is_not_installed_is_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    assert describe(Cores(0, 1))["compiler"] == "absent"
    assert environment._version("no-such-distribution") == "absent"
