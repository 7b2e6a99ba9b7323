"""A files server that takes files, in a process of its own, for ``get``, ``put`` and ``ls``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .conftest import endpoints, spawn

__all__ = ["TOKEN", "FilesServer", "files_server"]

TOKEN = "a-token-of-the-tests"

APP = """
from aionet import Router
from aionet.services.files import Files

router = Router()
router.add("tcp://127.0.0.1:0", Files("served", writable=True), name="open")
router.add("tcp://127.0.0.1:0", Files("served", token={token!r}), name="closed")
"""


@dataclass(frozen=True, slots=True)
class FilesServer:
    """A running one: what it serves, and where; ``closed`` wants :data:`TOKEN`."""

    root: Path
    endpoint: str
    closed: str


@contextmanager
def files_server(where: Path) -> Iterator[FilesServer]:
    """Serves ``where/served``."""
    root = where / "served"
    root.mkdir()
    (where / "app.py").write_text(APP.format(token=TOKEN))
    process = spawn("serve", "app:router", "--json", cwd=where)
    try:
        found = endpoints(process)
        yield FilesServer(root, found["open"], found["closed"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
