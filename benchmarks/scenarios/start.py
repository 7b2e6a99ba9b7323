"""What a user waits for before anything happens: import, and the command's help."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.bench import Bench
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.problems import Unavailable
from benchmarks.processes import ROOT, quiet_environment
from benchmarks.results import Goal, Metric, Role

__all__ = ["cases", "wall_seconds"]

SECONDS = Metric("seconds", "s from start to end of the process, wall clock")


def cases(bench: Bench) -> list[Case]:
    """Not pinned: as a user starts it."""
    return [
        Case(
            key="start",
            scenario="start",
            title="from start to end of the process, files in the cache",
            metric=SECONDS,
            subjects=[
                _subject("python", "python -c pass", Role.LIMIT, "-c", "pass"),
                _subject("import", "import aionet", Role.OURS, "-c", "import aionet"),
                _subject("help", "python -m aionet --help", Role.OURS, "-m", "aionet", "--help"),
            ],
            baseline=None,
            rounds=2 * bench.settings.rounds + 1,
            seconds=0.2,
            goals=[Goal("import aionet, s", "import", 0.2), Goal("python -m aionet --help, s", "help", 0.3)],
        )
    ]


def _subject(key: str, label: str, role: Role, *arguments: str) -> Subject:
    return Subject(key, label, lambda: wall_seconds(sys.executable, *arguments), role)


def wall_seconds(*command: str) -> Sample:
    """Run it once.

    Raises:
        Unavailable: it failed; with the last thing it said.
    """
    begin = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=quiet_environment())
    seconds = time.perf_counter() - begin
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise Unavailable(lines[-1].strip())
    return {"seconds": seconds}
