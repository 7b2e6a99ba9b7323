"""How long and how often is measured. Durations in seconds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """A full run, unless said otherwise.

    Attributes:
        quick: Whether only what goals are judged by is measured.
        tries: Times a measurement under load is made, if other processes had the server's core for too much of it.
        trace: Whether system calls are counted, where strace can.
        idle: Steps of idle connections at which memory is looked at, for each case.
        file: Bytes of the large file.
    """

    quick: bool = False
    rounds: int = 5
    warmup: float = 0.3
    duration: float = 1.0
    tries: int = 2
    trace: bool = True
    idle: tuple[tuple[int, ...], ...] = ((0, 2000, 5000, 10_000), (0, 5000, 10_000, 19_000))
    file: int = 1 << 30


FULL = Settings()
QUICK = Settings(
    quick=True, rounds=3, warmup=0.1, duration=0.25, tries=1, trace=False, idle=((0, 1000, 3000),), file=1 << 28
)
