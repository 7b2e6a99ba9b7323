"""Fuzzing, led by coverage (atheris): ``python -m tests.fuzz.run [TARGET]... [--runs N] [--seconds S]``.

A target is one file here, ``fuzz_NAME.py``, with

* ``SEEDS``: some inputs of the kinds there are;
* ``check(data: bytes) -> None``: raises if something is wrong, and at nothing else.

Each runs in a process of its own. ``make test`` runs each for a fixed number of inputs from a fixed seed; ``make fuzz``
for minutes, from a new seed. What fails is kept in a file, to be tried again: ``--replay FILE``.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["TARGETS", "Outcome", "fuzz", "main"]

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
TARGETS: Final = tuple(sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")))

_DONE: Final = re.compile(r"^#(\d+)\s+DONE\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one target: inputs tried (0 if one failed), what the fuzzer says of them, and all it said."""

    runs: int
    summary: str
    output: str


def fuzz(target: str, runs: int, seconds: float, seed: int, keep: Path = ROOT) -> Outcome:
    """Fuzz one target until so many inputs have been tried, or so much time has passed.

    Args:
        target: One of :data:`TARGETS`.
        runs: Inputs at most; -1 for no bound.
        seconds: At most.
        seed: Of everything random.
        keep: Where an input that fails is kept.
    """
    with tempfile.TemporaryDirectory() as corpus:
        options = [f"-runs={runs}", f"-max_total_time={seconds:.0f}", f"-seed={seed}", f"-artifact_prefix={keep}/"]
        command = [sys.executable, "-m", "tests.fuzz.child", target, corpus, "-max_len=9000", "-timeout=10", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=False)
    output = done.stdout + done.stderr
    found = _DONE.search(output)
    if done.returncode or found is None:
        return Outcome(0, f"failed, exit code {done.returncode}", output)
    return Outcome(int(found[1]), found[2], output)


def main(args: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after another. Returns 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Fuzz, led by coverage.")
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, default=-1, help="inputs at most [no bound]")
    parser.add_argument("--seconds", type=float, default=60, help="at most, for each target [60]")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31), help="[a new one]")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this input on one target, without atheris")
    asked = parser.parse_args(args)
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if asked.replay is not None:
        if len(asked.targets) != 1:
            parser.error("--replay needs one target")
        return subprocess.call([sys.executable, "-m", "tests.fuzz.child", *asked.targets, asked.replay], cwd=ROOT)
    failed = 0
    for target in asked.targets:
        outcome = fuzz(target, asked.runs, asked.seconds, asked.seed)
        sys.stdout.write(f"{target:<16} {outcome.runs:>9} inputs, seed {asked.seed}: {outcome.summary}\n")
        if not outcome.runs:
            sys.stdout.write(outcome.output[-4000:])
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
