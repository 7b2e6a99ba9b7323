"""The figures themselves: who is measured, how, against what goal. Another figure is another function here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.compiling import compiled
from benchmarks.idle import bytes_per_connection
from benchmarks.measuring import DISTURBED, WAITED, Figure, Goal, Role, Sample, Subject
from benchmarks.problems import MeasureError
from benchmarks.processes import Cores, LoadResult, LoadShape, run_load, serving
from benchmarks.startup import wall_seconds

__all__ = ["FIGURES", "QUICK", "Settings", "build_figures", "undisturbed"]

ECHO = LoadShape(connections=64, size=1024, pipeline=1)
LINES = LoadShape(connections=64, size=64, pipeline=16, lines=True)
TRIES = 2
"""Times a measurement under load is made, if other processes had the server's core for too much of it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how often. Durations in seconds."""

    rounds: int = 6
    warmup: float = 0.5
    duration: float = 2.5
    idle_steps: tuple[int, ...] = (0, 2000, 5000, 10_000)
    idle_rounds: int = 5
    start_rounds: int = 11
    extras: bool = True
    refill: str = "batch"


QUICK = Settings(
    rounds=6, warmup=0.3, duration=0.7, idle_steps=(0, 1000, 2500, 5000), idle_rounds=3, start_rounds=5, extras=False
)


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _peer(name: str, *arguments: str) -> tuple[str, ...]:
    return _python("-m", f"benchmarks.peers.{name}", *arguments)


def echo_figure(settings: Settings, cores: Cores) -> Figure:
    """CPU time an echo costs: what the framework adds to the loop underneath."""
    bare = _peer("uvloop_protocol")
    return Figure(
        key="echo",
        title="1 KiB messages, 64 connections, one in flight on each",
        unit="us of server CPU a message",
        subjects=[
            Subject("uvloop", "bare uvloop Protocol", bare),
            Subject("aionet", "aionet, all limits on", _peer("aionet_echo"), Role.OURS, Goal(1.15, ratio=True)),
            Subject("c", "C, epoll", (str(compiled("echo_server")),), Role.LIMIT),
            Subject("again", "bare uvloop Protocol again", bare, Role.CONTROL),
        ],
        baseline="uvloop",
        rounds=settings.rounds,
        take=_under_load(settings, cores, ECHO, lambda result: result.server_cpu * 1e6 / result.messages),
    )


def lines_figure(settings: Settings, cores: Cores) -> Figure:
    """What framing and calling a handler for each message costs when many arrive together."""
    streams = _peer("asyncio_streams", "--style", "readline")
    subjects = [
        Subject("streams", "asyncio streams on uvloop", streams),
        Subject("aionet", "aionet, on_message", _peer("aionet_lines"), Role.OURS, Goal(8, at_least=True, ratio=True)),
        Subject("drain", "streams, drain() every line", _peer("asyncio_streams", "--style", "drain"), extra=True),
        Subject("chunks", "streams, split by hand", _peer("asyncio_streams", "--style", "chunks"), extra=True),
        Subject("by-hand", "uvloop Protocol, split by hand", _peer("uvloop_lines"), extra=True),
        Subject("c", "C, epoll, bytes only", (str(compiled("echo_server")),), Role.LIMIT),
        Subject("again", "asyncio streams again", streams, Role.CONTROL),
    ]
    return Figure(
        key="lines",
        title="64-byte lines, 64 connections, 16 in flight on each",
        unit="messages a second of server CPU",
        subjects=[subject for subject in subjects if settings.extras or not subject.extra],
        baseline="streams",
        rounds=settings.rounds,
        take=_under_load(settings, cores, LINES, lambda result: result.messages / result.server_cpu),
        notes=[
            "streams: readline() and write() a line, drain() when output waits: the best its line interface allows.",
            "split by hand: whole chunks split in the handler, one write a chunk, no call a line and no checks.",
        ],
    )


def idle_figure(settings: Settings, cores: Cores) -> Figure:
    """Memory of a connection that has spoken once and is silent now."""

    def take(subject: Subject) -> Sample:
        with serving(subject.command, cores.server) as server:
            value, sizes = bytes_per_connection(server, settings.idle_steps)
        return Sample(value, {f"rss at {step}": size for step, size in zip(settings.idle_steps, sizes, strict=True)})

    steps = ", ".join(f"{step:,}" for step in settings.idle_steps)
    return Figure(
        key="idle",
        title=f"RSS of the server process: slope over {steps} connections",
        unit="bytes a connection",
        subjects=[
            Subject("uvloop", "bare uvloop Protocol", _peer("uvloop_protocol")),
            Subject("aionet", "aionet, echo", _peer("aionet_echo"), Role.OURS, Goal(2500)),
            Subject("aionet-lines", "aionet, lines", _peer("aionet_lines"), Role.OURS, Goal(2500)),
            Subject("streams", "asyncio streams on uvloop", _peer("asyncio_streams")),
        ],
        baseline="uvloop",
        rounds=settings.idle_rounds,
        take=take,
        notes=["memory of the kernel is not in it (about 3.8 kB for each end of a TCP connection)."],
    )


def start_figure(settings: Settings, cores: Cores) -> Figure:
    """What a user waits for before anything happens."""
    del cores  # not pinned: as a user starts it

    def take(subject: Subject) -> Sample:
        return Sample(wall_seconds(subject.command))

    for subject_command in (_python("-c", "import aionet"), _python("-m", "aionet", "--help")):
        _warm_files(subject_command)
    return Figure(
        key="start",
        title="from start to end of the process, wall clock, files in the cache",
        unit="seconds",
        subjects=[
            Subject("python", "python -c pass", _python("-c", "pass")),
            Subject("import", "import aionet", _python("-c", "import aionet"), Role.OURS, Goal(0.2)),
            Subject("help", "python -m aionet --help", _python("-m", "aionet", "--help"), Role.OURS, Goal(0.3)),
        ],
        baseline=None,
        rounds=settings.start_rounds,
        take=take,
    )


FIGURES: dict[str, Callable[[Settings, Cores], Figure]] = {
    "echo": echo_figure,
    "lines": lines_figure,
    "idle": idle_figure,
    "start": start_figure,
}


def build_figures(names: Sequence[str], settings: Settings, cores: Cores) -> list[Figure]:
    return [FIGURES[name](settings, cores) for name in names]


def _under_load(
    settings: Settings, cores: Cores, shape: LoadShape, value: Callable[[LoadResult], float]
) -> Callable[[Subject], Sample]:
    """Start the subject, load it, end it; the value and how busy both ends were."""

    def once(subject: Subject) -> Sample:
        with serving(subject.command, cores.server) as server:
            result = run_load(
                server,
                shape,
                core=cores.load,
                warmup=settings.warmup,
                duration=settings.duration,
                refill=settings.refill,
            )
        if not result.messages or not result.server_cpu:
            raise MeasureError(f"nothing to count in {settings.duration:g} s; measure for longer")
        details = {
            "messages/s": result.messages / result.seconds,
            "server core": result.server_cpu / result.seconds,
            WAITED: result.server_waited / result.seconds,
            "load core": result.load_cpu / result.seconds,
        }
        return Sample(value(result), details)

    return lambda subject: undisturbed(lambda: once(subject))


def undisturbed(take: Callable[[], Sample]) -> Sample:
    """The first of a few tries in which nobody else wanted the server's core; else the one least disturbed.

    What is chosen by is the disturbance, never the value.
    """
    tries: list[Sample] = []
    for _ in range(TRIES):
        tries.append(take())
        if tries[-1].details[WAITED] <= DISTURBED:
            break
    return min(tries, key=lambda sample: sample.details[WAITED])


def _warm_files(command: Sequence[str]) -> None:
    """Run it once before it counts: files into the page cache, bytecode compiled. Failures show when it counts."""
    try:
        wall_seconds(command)
    except MeasureError:
        return
