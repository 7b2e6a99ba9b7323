"""``AIONET_SWAPPED=1``: the tests run on what they do not run on otherwise.

That is asyncio with our native transports and uvloop with its own, and what Cython compiles as plain Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["SWAPPED", "swap"]

COMPILED: Final = ("message_path", "tls_path")
"""The modules of ``aionet.core`` that are compiled as they stand."""

WITH_PLAIN_FORM: Final = frozenset(
    "aionet.codecs._lengths aionet.codecs._lines aionet.core._awaiting aionet.services.files._memory".split()
)
"""Modules in whose place others serve where there is no compiler."""

SWAPPED: Final = os.environ.get("AIONET_SWAPPED") == "1"


class _Plain(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in WITH_PLAIN_FORM:
            raise ModuleNotFoundError("the tests run without it", name=fullname)
        package, _, name = fullname.rpartition(".")
        if package != "aionet.core" or name not in COMPILED or not path:
            return None
        return spec_from_file_location(fullname, Path(path[0], f"{name}.py"))


def swap() -> None:
    """Before aionet is imported."""
    if SWAPPED:
        sys.meta_path.insert(0, _Plain())
