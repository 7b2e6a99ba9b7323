"""How many system calls a message costs, counted by strace in a run of its own: it makes a server many times slower."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable

from benchmarks.loads import LoadResult
from benchmarks.problems import MeasureError, Unavailable
from benchmarks.processes import Serving

__all__ = ["calls_in_summary", "syscalls_per_message"]

ATTACH_SECONDS = 5.0


def syscalls_per_message(server: Serving, load: Callable[[], LoadResult]) -> float:
    """System calls of all the server's threads while ``load`` runs, over the messages it had verified at its end.

    Raises:
        Unavailable: no strace.
        MeasureError: it may not trace, or said nothing.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise Unavailable("strace is not installed")
    with tempfile.NamedTemporaryFile("r") as summary:
        pids = [part for pid in server.pids for part in ("-p", str(pid))]
        command = [strace, "-f", "-c", "-o", summary.name, *pids]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                first = process.stderr.readline()
                if "attached" not in first:
                    raise MeasureError(f"strace: {first.strip() or 'it said nothing'}")
                verified = load().verified
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=ATTACH_SECONDS)
        return calls_in_summary(summary.read()) / verified


def calls_in_summary(text: str) -> int:
    """The sum that ``strace -c`` writes at its end, in the column of calls; which columns are filled varies.

    Raises:
        MeasureError: there is none.
    """
    lines = text.splitlines()
    ruler = next((line for line in lines if line.startswith("------")), "")
    columns = [match.span() for match in re.finditer("-+", ruler)]
    total = next((line for line in lines if line.rstrip().endswith(" total")), "")
    if len(columns) < 4 or not total[slice(*columns[3])].strip().isdigit():
        raise MeasureError("strace wrote no summary")
    return int(total[slice(*columns[3])])
