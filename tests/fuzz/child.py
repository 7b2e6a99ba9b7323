"""One target in this process: ``python -m tests.fuzz.child TARGET CORPUS [OPTION]...``; with a file: that input alone.

Nothing of aionet is imported before it is instrumented. libFuzzer ends the process.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

__all__ = ["PARSERS", "main"]

PARSERS: Final = ["aionet.matching", "aionet.routing", "aionet.codecs", "aionet.services"]
"""Packages whose coverage leads the way: where bytes are read. To instrument all the others takes seconds."""


def main(target: str, corpus: Path, options: list[str]) -> None:
    """Try one input, or as many as the options say, beginning with the target's seeds."""
    name = f"tests.fuzz.fuzz_{target}"
    if corpus.is_file():
        importlib.import_module(name).check(corpus.read_bytes())
        return
    atheris: Any = importlib.import_module("atheris")  # it has no types
    with atheris.instrument_imports(include=PARSERS, enable_loader_override=False):
        module: Any = importlib.import_module(name)
    for number, seed in enumerate(module.SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(corpus), *options], module.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
