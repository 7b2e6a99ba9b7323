"""Compiles the C and Go programs on the spot, once a version of their source, into a directory that git ignores."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.problems import Unavailable

__all__ = ["FLAGS", "SOURCES", "compiled", "compiled_go", "compiler"]

SOURCES = (Path(__file__).parent / "load", Path(__file__).parent / "peers")
BUILD = SOURCES[0] / "build"
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lm",)
TLS_FLAGS = ("-DTLS",)
TLS_LIBRARIES = ("-lssl", "-lcrypto")


def compiler() -> str:
    """The C compiler: ``$CC``, else ``cc``.

    Raises:
        Unavailable: there is none.
    """
    name = os.environ.get("CC") or "cc"
    path = shutil.which(name)
    if path is None:
        raise Unavailable(
            f"no C compiler: '{name}' was not found; the load generators are written in C. "
            "Install one (Debian, Ubuntu: apt install gcc libc6-dev), or set CC to yours"
        )
    return path


def compiled(name: str, *, tls: bool = False, build: Path = BUILD) -> Path:
    """The program made from ``load/NAME.c`` or ``peers/NAME.c``, compiled if this version of it has not been.

    Raises:
        Unavailable: no compiler, or it refuses; with what it said. With ``tls``: no headers of OpenSSL.
    """
    source = _source(f"{name}.c")
    flags = (*FLAGS, *TLS_FLAGS) if tls else FLAGS
    libraries = (*LIBRARIES, *TLS_LIBRARIES) if tls else LIBRARIES
    program = build / f"{name}{'-tls' if tls else ''}"
    versioned = [*sorted(source.parent.glob("*.h")), source]
    try:
        return _made(program, versioned, (compiler(), *flags), ("{out}", str(source), *libraries))
    except Unavailable as error:
        if tls and "openssl" in str(error):
            hint = "the headers of OpenSSL are missing (Debian, Ubuntu: apt install libssl-dev)"
            raise Unavailable(f"the load generator cannot speak TLS: {hint}") from None
        raise


def compiled_go(name: str, *, build: Path = BUILD) -> Path:
    """The program made from ``peers/NAME.go``.

    Raises:
        Unavailable: Go is not installed, or refuses.
    """
    go = shutil.which("go")
    if go is None:
        raise Unavailable("Go is not installed (Debian, Ubuntu: apt install golang-go)")
    source = _source(f"{name}.go")
    return _made(build / name, [source], (go, "build"), ("{out}", str(source)))


def _source(file: str) -> Path:
    return next(folder / file for folder in SOURCES if (folder / file).exists())


def _made(program: Path, sources: Sequence[Path], command: Sequence[str], rest: Sequence[str]) -> Path:
    """``program-VERSION``, made by ``COMMAND -o OUT REST`` if there is none; VERSION is of sources and command."""
    texts = "\0".join((*command, *rest, *(source.read_text() for source in sources)))
    program = program.with_name(f"{program.name}-{hashlib.sha256(texts.encode()).hexdigest()[:12]}")
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_name(f".{program.name}-{os.getpid()}")
    arguments = [part.replace("{out}", str(unfinished)) for part in ("-o", *rest)]
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off"}
    result = subprocess.run((*command, *arguments), capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        raise Unavailable(f"{command[0]} cannot compile {sources[-1].name}:\n{result.stderr.strip()}")
    unfinished.replace(program)
    return program
