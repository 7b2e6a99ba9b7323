"""How long a command takes from start to end, wall clock."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from benchmarks.problems import Unavailable
from benchmarks.processes import ROOT, quiet_environment

__all__ = ["wall_seconds"]


def wall_seconds(command: Sequence[str]) -> float:
    """Run it once; seconds.

    Raises:
        Unavailable: it failed; with the last thing it said.
    """
    begin = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=quiet_environment())
    seconds = time.perf_counter() - begin
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise Unavailable(lines[-1].strip())
    return seconds
