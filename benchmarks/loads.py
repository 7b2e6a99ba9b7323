"""The load generators in C, run on a core of their own, and what they tell."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.compiling import compiled
from benchmarks.problems import MeasureError, WrongReplies
from benchmarks.processes import Serving, pinned, quiet_environment

__all__ = ["Load", "LoadResult", "Window", "finished", "holding", "parse_result", "run_load", "running_load"]


HOLD_STALL = 5.0
"""Seconds without a connection being served after which a server takes no more."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator is asked for, apart from how long.

    Attributes:
        program: ``load/PROGRAM.c``.
        options: Its options by name; ``True`` for one without a value, ``False`` and ``None`` for one left out.
        port: Which of the server's ports, where it has several.
    """

    program: str
    options: Mapping[str, object] = field(default_factory=dict)
    port: int = 0

    def command(self, server: Serving) -> list[str]:
        """The command line, without the window."""
        tls = bool(self.options.get("tls"))
        command = [str(compiled(self.program, tls=tls)), "--port", str(server.ports[self.port])]
        for name, value in self.options.items():
            if value is True:
                command.append(f"--{name}")
            elif value is not None and value is not False:
                command += [f"--{name}", str(value)]
        return command


@dataclass(frozen=True, slots=True)
class Window:
    """How long, in seconds: not counted, counted, and without a reply before it gives up."""

    warmup: float
    duration: float
    stall: float = 10.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of it, within the window between warm-up and end.

    Attributes:
        messages: Replies received and found right.
        bytes: Payload of them.
        seconds: Length of the window.
        server_cpu: Seconds of CPU time the server used, user and system, all threads.
        disturbed: Seconds its core was busy with anything else, to a hundredth.
        load_cpu: Seconds of CPU time of the load generator itself.
        verified: Replies found right, those outside the window too.
        latency: Microseconds by ``p50``, ``p75``, ``p90``, ``p99``, ``p99.9``, ``p99.99``, ``mean`` and ``max``.
        extra: What only some load generators tell.
    """

    messages: int
    bytes: int
    seconds: float
    server_cpu: float
    disturbed: float
    load_cpu: float
    verified: int
    latency: Mapping[str, float]
    extra: Mapping[str, float]

    def sample(self) -> dict[str, float]:
        """As the values of a measurement, by the names that tables and goals use.

        Raises:
            MeasureError: the window was too short to count anything.
        """
        if not self.messages or self.server_cpu <= 0 or self.load_cpu <= 0:
            raise MeasureError(f"nothing to count in {self.seconds:g} s; measure for longer")
        return {
            "rate": self.messages / self.seconds,
            "cpu": self.server_cpu * 1e6 / self.messages,
            "capacity": self.messages / self.server_cpu,
            "load capacity": self.messages / self.load_cpu,
            "server core": self.server_cpu / self.seconds,
            "others": self.disturbed / self.seconds,
            "load core": self.load_cpu / self.seconds,
            **self.latency,
            **self.extra,
        }


def run_load(server: Serving, load: Load, window: Window, core: int) -> LoadResult:
    """Put load on a server and check its replies.

    Raises:
        WrongReplies: a reply was wrong, missing, or too much.
        MeasureError: the load generator could not run, or the kernel does not tell CPU times.
    """
    with running_load(server, load, window, core) as process:
        return finished(process, window)


@contextmanager
def running_load(server: Serving, load: Load, window: Window, core: int) -> Iterator[subprocess.Popen[str]]:
    """As :func:`run_load`, beside whatever the caller does meanwhile; ended at last, whatever it had to say."""
    command = [*load.command(server), "--server-pid", ",".join(map(str, server.pids))]
    command += ["--server-core", ",".join(map(str, server.cores))]
    command += ["--warmup", str(window.warmup), "--duration", str(window.duration), "--stall", str(window.stall)]
    with _popen(command, core) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def holding(server: Serving, steps: Sequence[int], core: int) -> Iterator[Iterator[float]]:
    """Open idle connections: an iterator of the seconds that each step took, held until it is asked for the next.

    Raises:
        WrongReplies: a connection was closed, or answered wrongly; from the iterator.
        MeasureError: the server takes no more.
    """
    command = Load("connections", {"hold": ",".join(map(str, steps)), "stall": HOLD_STALL}).command(server)
    with _popen(command, core) as process:
        try:
            yield _steps(process, len(steps))
        finally:
            process.kill()


def _steps(process: subprocess.Popen[str], count: int) -> Iterator[float]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    for _ in range(count):
        line = process.stdout.readline()
        if not line:
            complaint = process.stderr.read().strip() or "the load generator ended"
            raise WrongReplies(complaint) if process.wait() == 1 else MeasureError(complaint)
        yield float(json.loads(line)["seconds"])
        process.stdin.write("\n")
        process.stdin.flush()


def _popen(command: list[str], core: int) -> subprocess.Popen[str]:
    with pinned(core):
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=quiet_environment(),
        )


def finished(process: subprocess.Popen[str], window: Window) -> LoadResult:
    """What a load generator tells at its end.

    Raises:
        WrongReplies: a reply was wrong, missing, or too much.
        MeasureError: it could not run, or the kernel does not tell CPU times.
    """
    patience = window.warmup + window.duration + window.stall + 60
    try:
        told, complaint = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise MeasureError(f"the load generator did not end within {patience:.0f} s") from None
    if process.returncode not in (0, 1) or not told:
        raise MeasureError(complaint.strip() or f"the load generator ended with code {process.returncode}")
    return parse_result(json.loads(told))


KNOWN = {"messages", "bytes", "seconds", "verified", "load_cpu_seconds", "latency_us", "error"}
KNOWN |= {"server_cpu_seconds", "disturbed_seconds"}


def parse_result(told: Mapping[str, Any]) -> LoadResult:
    """From the JSON object of a load generator.

    Raises:
        WrongReplies: it tells of one.
        MeasureError: the kernel does not tell CPU times.
    """
    if told["error"]:
        raise WrongReplies(told["error"])
    if told["server_cpu_seconds"] is None:
        raise MeasureError("the kernel does not tell the CPU time of a process")
    return LoadResult(
        messages=told["messages"],
        bytes=told["bytes"],
        seconds=told["seconds"],
        server_cpu=told["server_cpu_seconds"],
        disturbed=told["disturbed_seconds"],
        load_cpu=told["load_cpu_seconds"],
        verified=told["verified"],
        latency=told["latency_us"],
        extra={key: float(value) for key, value in told.items() if key not in KNOWN},
    )
