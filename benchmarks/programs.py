"""How servers under measurement are started: found or compiled when they are needed, with words of who is absent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from benchmarks.compiling import compiled, compiled_go
from benchmarks.problems import Unavailable

__all__ = ["PEERS", "Program", "c", "go", "node", "python", "system"]

PEERS = Path(__file__).parent / "peers"
SBIN = "/usr/sbin:/usr/local/sbin"
"""Where distributions put servers, and who is not root does not look."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server's command line.

    In arguments and configuration ``{port}`` stands for a free port, ``{scratch}`` for a directory of this process
    alone, ``{config}`` for the filled-in configuration; ``{cert}``, ``{key}`` and ``{files}`` for what
    :class:`~benchmarks.workspace.Workspace` made.

    Attributes:
        find: Gives the command without its arguments, or raises ``Unavailable``.
        arguments: What follows.
        config: A template of a configuration file.
        values: Further places in it and in the arguments, with what stands there; may hold places themselves.
        announces: Whether it prints ``ready HOST:PORT``; otherwise it is ready once ``{port}`` accepts.
        copies: Processes that share ``{port}``.
    """

    find: Callable[[], Sequence[str]]
    arguments: tuple[str, ...] = ()
    config: Path | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    announces: bool = True
    copies: int = 1

    def with_arguments(self, *arguments: str) -> Program:
        return replace(self, arguments=(*self.arguments, *arguments))


def python(name: str, *arguments: str, needs: Sequence[str] = ()) -> Program:
    """``benchmarks/peers/NAME.py``; ``needs`` are the modules without which it is absent."""

    def find() -> Sequence[str]:
        for module in needs:
            if find_spec(module) is None:
                raise Unavailable(f"{module} is not installed (make bench-peers)")
        return (sys.executable, "-m", f"benchmarks.peers.{name}")

    return Program(find, arguments)


def c(name: str, *arguments: str) -> Program:
    """``benchmarks/peers/NAME.c``."""
    return Program(lambda: (str(compiled(name)),), arguments)


def go(name: str, *arguments: str) -> Program:
    """``benchmarks/peers/NAME.go``. It runs on the one core it is pinned to, as Go itself finds out."""
    return Program(lambda: (str(compiled_go(name)),), arguments)


def node(name: str, *arguments: str) -> Program:
    """``benchmarks/peers/NAME.js``."""
    return Program(lambda: (_found("node", "nodejs"), str(PEERS / f"{name}.js")), arguments)


def system(command: str, *arguments: str, package: str, config: str | None = None, **values: str) -> Program:
    """A server that the distribution has."""
    template = PEERS / config if config else None
    return Program(lambda: (_found(command, package),), arguments, template, values, announces=False)


def _found(command: str, package: str) -> str:
    path = shutil.which(command) or shutil.which(command, path=SBIN)
    if path is None:
        raise Unavailable(f"{command} is not installed (make bench-peers, or apt install {package})")
    return path
