"""Compiles the C programs on the spot, once a version of their source, into a directory that git ignores."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.problems import Unavailable

__all__ = ["FLAGS", "SOURCES", "compiled", "compiler"]

SOURCES = Path(__file__).parent / "load"
BUILD = SOURCES / "build"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")


def compiler() -> str:
    """The C compiler: ``$CC``, else ``cc``.

    Raises:
        Unavailable: there is none.
    """
    name = os.environ.get("CC") or "cc"
    path = shutil.which(name)
    if path is None:
        raise Unavailable(
            f"no C compiler: '{name}' was not found; the load generator is written in C. "
            "Install one (Debian, Ubuntu: apt install gcc libc6-dev), or set CC to yours"
        )
    return path


def compiled(name: str, build: Path = BUILD) -> Path:
    """The program made from ``load/NAME.c``, compiled if this version of it has not been.

    Raises:
        Unavailable: no compiler, or it refuses; with what it said.
    """
    source = SOURCES / f"{name}.c"
    cc = compiler()
    version = hashlib.sha256("\0".join((cc, *FLAGS, source.read_text())).encode()).hexdigest()[:12]
    program = build / f"{name}-{version}"
    if program.exists():
        return program
    build.mkdir(parents=True, exist_ok=True)
    unfinished = build / f".{name}-{os.getpid()}"
    result = subprocess.run(
        (cc, *FLAGS, "-o", str(unfinished), str(source)), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise Unavailable(f"{cc} cannot compile {source.name}:\n{result.stderr.strip()}")
    unfinished.replace(program)
    return program
