"""What ``aionet.client`` offers, and that servers do not pay for it."""

import inspect
import subprocess
import sys

import pytest

import aionet.client


@pytest.mark.parametrize("name", aionet.client.__all__)
def test_each_name_is_there(name: str) -> None:
    assert callable(getattr(aionet.client, name))


def test_look_ups_and_scans_are_coroutine_functions() -> None:
    for name in ("find_services", "find_targets", "local_host", "resolve", "scan"):
        assert inspect.iscoroutinefunction(getattr(aionet.client, name))


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(aionet.client, "nothing")  # noqa: B009 - mypy knows that it is not there


def test_importing_aionet_loads_neither() -> None:
    code = "import sys, aionet; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"aionet.client.scanning", "aionet.client.resolving", "aionet.core.probing"}.isdisjoint(loaded)
