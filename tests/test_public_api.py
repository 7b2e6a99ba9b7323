from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import aionet

PROMISED = (
    "CloseReason Codec Connection DatagramHandler DatagramPort Endpoint FixedSizeCodec Group JsonCodec "
    "LengthPrefixCodec Limits LineCodec NetstringCodec RawCodec Route Router Server ServerState StreamHandler Timeouts "
    "VarintCodec connect open_datagram run"
).split()


def test_all_holds_each_name_once_and_in_order() -> None:
    names = list(aionet.__all__)
    assert len(names) == len(set(names))
    # ruff's order: constants, classes, then the rest; each sorted.
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_all_is_complete() -> None:
    bound = {
        name for name, value in vars(aionet).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert bound - {"TYPE_CHECKING", "Any", "annotations"} <= set(aionet.__all__)
    assert set(PROMISED) <= set(aionet.__all__)


@pytest.mark.parametrize("name", getattr(aionet, "__all__", []))
def test_each_name_is_there(name: str) -> None:
    assert hasattr(aionet, name)


def test_the_version_is_one_pip_reads() -> None:
    assert [part.isdigit() for part in aionet.__version__.split(".")][:2] == [True, True]


def test_importing_aionet_loads_no_service_no_test_kit_and_no_cli() -> None:
    code = "import sys, aionet; print(*(name for name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {"aionet.services", "aionet.testing", "aionet.cli", "click", "rich", "pytest", "blake3"}
    assert unwanted.isdisjoint(loaded)
