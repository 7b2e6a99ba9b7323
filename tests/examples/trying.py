"""Running examples as a reader would: in this process, as a program, and by the commands in their docstrings."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from aionet import Endpoint, Router, Server

__all__ = ["ROOT", "Program", "program", "run_command", "serving", "shell", "told"]

ROOT: Final = Path(__file__).parent.parent.parent
WAIT: Final = 20.0
"""Seconds until a program that does not end counts as hanging."""


@asynccontextmanager
async def serving(router: Router, **options: Any) -> AsyncIterator[Server]:
    """The router's server, in this process and on the test's own event loop."""
    async with Server(router, drain_timeout=1.0, **options) as server:
        yield server


def told(module: ModuleType, start: str, places: Mapping[str, str]) -> str:
    """The command in a module's docstring that begins with ``start``, its comment cut off, at other places.

    Raises:
        AssertionError: there is none, or one of ``places`` does not stand in it.
    """
    lines = [line.strip() for line in (module.__doc__ or "").splitlines()]
    command = next((line for line in lines if line.startswith(start)), None)
    assert command is not None, f"{module.__name__} tells no command that starts with {start!r}"
    command = re.sub(r"\s+#[^#]*$", "", command)
    for fixed, real in places.items():
        assert fixed in command, f"{fixed!r} is not in {command!r}"
        command = command.replace(fixed, real)
    return command


async def shell(command: str, *, stdin: bytes = b"", cwd: Path = ROOT) -> str:
    """What a shell command prints on standard output. The event loop goes on meanwhile."""
    return await run_command("sh", "-c", command, stdin=stdin, cwd=cwd)


async def run_command(*command: str, stdin: bytes = b"", cwd: Path = ROOT) -> str:
    """What a command prints on standard output."""
    result = await asyncio.to_thread(
        subprocess.run, command, input=stdin, capture_output=True, cwd=cwd, timeout=WAIT, check=False
    )
    return bytes(result.stdout).decode(errors="replace")


class Program:
    """A running server program.

    Attributes:
        endpoints: Where it says that it listens.
    """

    def __init__(self, process: subprocess.Popen[str], routes: int) -> None:
        self._process = process
        self.said: list[str] = []
        self.endpoints: list[Endpoint] = []
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line)
            found = re.search(r"listening on (\w+://[^\s;]+)", line)
            if found is not None:
                self.endpoints.append(Endpoint.parse(found[1]))
            if len(self.endpoints) == routes:
                break
        assert len(self.endpoints) == routes, "".join(self.said)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        _, err = self._process.communicate(timeout=WAIT)
        self.said.append(err)
        return self._process.returncode


@contextmanager
def program(*arguments: str, routes: int = 1, cwd: Path = ROOT) -> Iterator[Program]:
    """``python arguments``, from when it listens at ``routes`` places; gone at the end, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Program(process, routes)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
