"""A server of all four services for the client commands to talk to, and standard input as a command finds it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

Feed = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Served:
    """A running ``python -m aionet serve`` and where its services are."""

    directory: Path
    endpoints: dict[str, str]


def spawn(*args: str, cwd: Path) -> subprocess.Popen[str]:
    """``python -m aionet`` with these arguments, in ``cwd``."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "aionet", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def endpoints(process: subprocess.Popen[str]) -> dict[str, str]:
    """What ``serve --json`` says it listens on, by name; over WebSocket by ``name-ws``."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(f"serve did not start: {process.communicate()[1]}")
    told = json.loads(line)["endpoints"]
    return {each["name"] + ("-ws" if each["scheme"] == "ws" else ""): each["endpoint"] for each in told}


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """One server for the whole run; it is only read from."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        targets = ["tcp://127.0.0.1:0=echo", "udp://127.0.0.1:0=datagram", "tcp://127.0.0.1:0=chat"]
        targets.append("tcp://127.0.0.1:0=files")
        targets += [f"ws://127.0.0.1:0/{service}={service}" for service in ("echo", "chat", "files")]
        process = spawn("serve", *targets, "--directory", ".", "--json", cwd=directory)
        try:
            yield Served(directory, endpoints(process))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


@pytest.fixture(autouse=True)
def _settings_of_the_process_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command may set log levels, a descriptor limit and the path: here it shares the process with other tests."""
    monkeypatch.setattr("aionet.cli.serve.raise_descriptor_limit", lambda: None)
    monkeypatch.setattr("sys.path", sys.path[:])
    level = logging.getLogger("aionet").level
    yield
    logging.getLogger("aionet").setLevel(level)


@pytest.fixture
def feed() -> Iterator[Feed]:
    """Puts bytes, and then the end, on descriptor 0, as a shell's pipe does."""
    kept = os.dup(0)

    def put(data: bytes) -> None:
        assert len(data) <= 65_536  # what a pipe holds without a reader
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        os.dup2(reading, 0)
        os.close(reading)

    yield put
    os.dup2(kept, 0)
    os.close(kept)
