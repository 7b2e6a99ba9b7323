"""Back-offs are short, and directories are empty."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from aionet.services.files.client.retry import Backoff


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made between attempts; a hundredth of each is waited for."""
    made: list[float] = []

    async def pause(self: Backoff, exc: Exception) -> None:
        made.append(self.next_pause(exc))
        await anyio.sleep(made[-1] / 100)

    monkeypatch.setattr(Backoff, "pause", pause)
    return made


@pytest.fixture
def served_root(tmp_path: Path) -> Path:
    """An empty directory to serve; ``tmp_path`` itself is for what lands."""
    root = tmp_path / "served"
    root.mkdir()
    return root


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """An empty directory to land in."""
    root = tmp_path / "landing"
    root.mkdir()
    return root


def content_of(root: Path) -> dict[str, bytes | None]:
    """Everything below a directory: bytes of files, ``None`` for directories."""
    found: dict[str, bytes | None] = {}
    for directory, names, files in os.walk(root):
        for name in names:
            found[os.path.relpath(os.path.join(directory, name), root)] = None
        for name in files:
            path = Path(directory, name)
            found[os.path.relpath(path, root)] = path.read_bytes()
    return found


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Change some bytes of a file."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, at)
    finally:
        os.close(descriptor)
