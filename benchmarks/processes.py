"""The measured server in a fresh process on a core of its own, and the load against it on another."""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.compiling import compiled
from benchmarks.problems import MeasureError, Unavailable, WrongReplies

__all__ = [
    "ROOT",
    "Cores",
    "LoadResult",
    "LoadShape",
    "Serving",
    "available_cores",
    "quiet_environment",
    "raise_open_files",
    "run_load",
    "serving",
]

ROOT = Path(__file__).parent.parent
"""Where ``python -m benchmarks.peers.NAME`` and ``python -m aionet`` are found without being installed."""

START_SECONDS = 20.0
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server has, and which the load generator."""

    server: int
    load: int

    @property
    def shared(self) -> bool:
        """Whether there is only one: then throughput means little, CPU time per message still something."""
        return self.server == self.load


def available_cores() -> Cores:
    """The first two cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1] if len(usable) > 1 else usable[0])


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What the load generator does, apart from how long."""

    connections: int
    size: int
    pipeline: int
    lines: bool = False

    def arguments(self) -> list[str]:
        """As the load generator's command line."""
        numbers = {"connections": self.connections, "size": self.size, "pipeline": self.pipeline}
        arguments = [text for key, value in numbers.items() for text in (f"--{key}", str(value))]
        return [*arguments, "--lines"] if self.lines else arguments


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of it, within the window between warm-up and end.

    Attributes:
        messages: Replies received and found right.
        seconds: Length of the window.
        server_cpu: Seconds of CPU time the server used, user and system, all threads.
        server_waited: Seconds it was ready to run and another process had its core.
        load_cpu: Seconds of CPU time of the load generator itself.
    """

    messages: int
    seconds: float
    server_cpu: float
    server_waited: float
    load_cpu: float


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is up."""

    pid: int
    port: int

    def rss(self) -> int:
        """Resident bytes, exactly (the cheaper files lag by some pages per CPU)."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        raise MeasureError(f"the system does not say how much memory process {self.pid} has")


def raise_open_files() -> int:
    """Let this process, and the servers it starts, open as many files as the system allows; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def quiet_environment() -> dict[str, str]:
    """The environment of a measured process: without the variables that make Python or asyncio slower."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MALLOC_"))}


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started meanwhile run, with all threads they will have, on this core: they inherit it from us."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(command: Sequence[str], core: int) -> Iterator[Serving]:
    """Start a server, wait for its line ``ready HOST:PORT``, and end it at last.

    Raises:
        Unavailable: it cannot be started, ends early, or is not ready in time; with the last thing it said.
    """
    with tempfile.TemporaryFile("w+") as said:
        try:
            with pinned(core):
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    cwd=ROOT,
                    env=quiet_environment(),
                )
        except OSError as error:
            raise Unavailable(f"cannot start {command[0]}: {error.strerror}") from None
        with process:
            try:
                assert process.stdout is not None
                yield Serving(process.pid, _wait_ready(process.stdout, said))
            finally:
                _end(process)


def run_load(
    server: Serving,
    shape: LoadShape,
    *,
    core: int,
    warmup: float,
    duration: float,
    refill: str = "batch",
    stall: float = 5.0,
) -> LoadResult:
    """Put load on a server and check its replies.

    Times are in seconds: ``warmup`` is not counted, ``duration`` is; after ``stall`` without a reply it gives up.

    Raises:
        WrongReplies: a reply was wrong, missing, or too much.
        MeasureError: the load generator could not run, or the kernel does not tell CPU times.
    """
    command = [str(compiled("load")), "--port", str(server.port), "--server-pid", str(server.pid), *shape.arguments()]
    command += ["--warmup", str(warmup), "--duration", str(duration), "--refill", refill]
    command += ["--stall", str(stall)]
    patience = warmup + duration + stall + 60
    with pinned(core):
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience)
    if result.returncode not in (0, 1):
        raise MeasureError(result.stderr.strip() or f"the load generator ended with code {result.returncode}")
    told = json.loads(result.stdout)
    if told["error"]:
        raise WrongReplies(told["error"])
    if told["server_cpu_seconds"] is None:
        raise MeasureError("the kernel does not tell the CPU time of a process (/proc/PID/task/TID/schedstat)")
    return LoadResult(
        messages=told["messages"],
        seconds=told["seconds"],
        server_cpu=told["server_cpu_seconds"],
        server_waited=told["server_waited_seconds"],
        load_cpu=told["load_cpu_seconds"],
    )


def _wait_ready(stdout: IO[str], said: IO[str]) -> int:
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        if not selector.select(deadline - time.monotonic()):
            raise Unavailable(f"it was not ready within {START_SECONDS:.0f} s")
    line = stdout.readline()
    word, _, place = line.strip().partition(" ")
    if not word:
        raise Unavailable(_last_line(said) or "it ended without a word")
    if word != "ready":
        raise Unavailable(f"it said {line.strip()!r} instead of 'ready HOST:PORT'")
    return int(place.rpartition(":")[2])


def _last_line(said: IO[str]) -> str:
    said.seek(0)
    lines = said.read().strip().splitlines()
    return lines[-1].strip() if lines else ""


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
