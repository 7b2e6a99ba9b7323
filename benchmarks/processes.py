"""The measured server: fresh processes on cores of their own."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.problems import MeasureError, Unavailable
from benchmarks.programs import Program

__all__ = [
    "ROOT",
    "Cores",
    "Serving",
    "available_cores",
    "pinned",
    "quiet_environment",
    "raise_open_files",
    "serving",
]

ROOT = Path(__file__).parent.parent
"""Where ``python -m benchmarks.peers.NAME`` and ``python -m aionet`` are found without being installed."""

START_SECONDS = 20.0
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server has, and which the load generator, of those that this process may use."""

    server: int
    load: int
    usable: tuple[int, ...] = (0, 1)

    @property
    def shared(self) -> bool:
        """Whether there is only one: then throughput means little, CPU time per message still something."""
        return self.server == self.load


def available_cores() -> Cores:
    """The first two cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1] if len(usable) > 1 else usable[0], tuple(usable))


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is up."""

    pids: tuple[int, ...]
    ports: tuple[int, ...]
    cores: tuple[int, ...] = ()

    def rss(self) -> int:
        """Resident bytes, exactly (the cheaper files lag by some pages per CPU)."""
        return sum(map(_rss, self.pids))


def _rss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    raise MeasureError(f"the system does not say how much memory process {pid} has")


def raise_open_files() -> int:
    """Let this process, and the servers it starts, open as many files as the system allows; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def quiet_environment() -> dict[str, str]:
    """The environment of a measured process: without the variables that make Python or asyncio slower."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MALLOC_"))}


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Processes started meanwhile run, with all threads they will have, on this core: they inherit it from us.

    ``None``: on any of ours.
    """
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(
    program: Program, cores: Sequence[int] | None, places: Mapping[str, object] | None = None
) -> Iterator[Serving]:
    """Start a server, wait until it is ready, and end it at last.

    Args:
        program: What to start; copy number n goes to core n of ``cores``, modulo their number.
        cores: ``None``: nothing is bound to a core.
        places: Further values for the places in its arguments.

    Raises:
        Unavailable: it cannot be started, ends early, or is not ready in time; with the last thing it said.
    """
    found = program.find()
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        os.chmod(scratch, 0o755)  # some servers give up their rights before they look
        port = _free_port()
        values = {**program.values, **(places or {}), "port": port, "scratch": scratch, "config": f"{scratch}/config"}
        if program.config is not None:
            Path(scratch, "config").write_text(_filled(program.config.read_text(), values))
        command = (*found, *(_filled(argument, values) for argument in program.arguments))
        pids = []
        ports: tuple[int, ...] = ()
        for copy in range(program.copies):
            process, said = _start(stack, command, None if cores is None else cores[copy % len(cores)])
            ports = _wait_ready(process, said, port, program.announces)
            pids.append(process.pid)
        yield Serving(tuple(pids), ports, tuple(dict.fromkeys((cores or ())[: program.copies])))


def _filled(text: str, values: Mapping[str, object]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text


def _free_port() -> int:
    """A port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _start(stack: ExitStack, command: Sequence[str], core: int | None) -> tuple[subprocess.Popen[str], IO[str]]:
    said = stack.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 - the stack closes it
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
    stack.enter_context(process)
    stack.callback(_end, process)
    return process, said


def _wait_ready(process: subprocess.Popen[str], said: IO[str], port: int, announces: bool) -> tuple[int, ...]:
    """The ports it serves."""
    deadline = time.monotonic() + START_SECONDS
    if not announces:
        _wait_accepting(process, said, port, deadline)
        return (port,)
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(deadline - time.monotonic()):
            raise Unavailable(f"it was not ready within {START_SECONDS:.0f} s")
    line = process.stdout.readline()
    word, _, place = line.strip().partition(" ")
    if not word:
        raise Unavailable(_last_line(said) or "it ended without a word")
    if word != "ready":
        raise Unavailable(f"it said {line.strip()!r} instead of 'ready HOST:PORT'")
    return tuple(map(int, place.rpartition(":")[2].split(",")))


def _wait_accepting(process: subprocess.Popen[str], said: IO[str], port: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(_last_line(said) or f"it ended with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Unavailable(f"it was not ready within {START_SECONDS:.0f} s")


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
