"""The figures the first release answers for: ``python -m benchmarks.figures``.

* ``echo``: server CPU time a message, 1 KiB on 64 connections, one in flight, beside a bare uvloop Protocol.
* ``lines``: messages a second of server CPU, 64-byte lines, 16 in flight on 64 connections, beside asyncio streams.
* ``idle``: bytes of RSS a connection that does nothing.
* ``start``: seconds until ``import aionet`` and ``python -m aionet --help`` are done.

Server and load generator run on cores of their own; each measurement has a fresh server process and drops a
warm-up; subjects are interleaved, in turned order every other round; the baseline is measured twice (A/A).
A goal that is not met is no failure of the run: the table says so. Exit codes: 0 measured; 1 something with a
goal could not be measured, or a server answered wrongly; 2 usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.definitions import FIGURES, QUICK, Settings, build_figures
from benchmarks.environment import describe
from benchmarks.measuring import Figure, Row, Subject, Verdict, measure
from benchmarks.problems import MeasureError
from benchmarks.processes import available_cores, raise_open_files
from benchmarks.report import as_json, environment_block, table

__all__ = ["main"]


class Progress:
    """One line on a terminal, overwritten; nothing elsewhere."""

    def __init__(self, figure: Figure) -> None:
        self._key = figure.key
        self._begin = time.monotonic()
        self._shown = sys.stderr.isatty()

    def __call__(self, done: int, total: int, subject: Subject) -> None:
        if not self._shown:
            return
        left = (time.monotonic() - self._begin) / done * (total - done) if done else 0.0
        text = f"{self._key}: {done}/{total}, {subject.label}" + (f", {left:.0f} s left" if done else "")
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FIGURES:
            raise argparse.ArgumentTypeError(f"unknown figure '{name}'; there are {', '.join(FIGURES)}")
    return names


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.figures", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="about a minute: shorter windows, fewer peers")
    parser.add_argument(
        "--only", type=_names, default=list(FIGURES), metavar="NAMES", help=f"comma-separated, of: {', '.join(FIGURES)}"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything measured, with the environment, here"
    )
    parser.add_argument(
        "--refill",
        choices=("batch", "sliding"),
        default="batch",
        help="when 16 are in flight: send the next 16 once all replies are in (batch), or one for each reply (sliding)",
    )
    parsed = parser.parse_args(arguments)
    if parsed.json is not None and not parsed.json.parent.is_dir():
        parser.error(f"--json: there is no directory {parsed.json.parent}")
    return parsed


def _failed(rows: Sequence[Row]) -> bool:
    return any(row.verdict is Verdict.NOT_MEASURED or row.wrong for row in rows)


def _run(parsed: argparse.Namespace) -> int:
    settings = replace(QUICK if parsed.quick else Settings(), refill=parsed.refill)
    cores = available_cores()
    raise_open_files()
    environment = describe(cores)
    print(environment_block(environment), flush=True)
    results = []
    failed = False
    for figure in build_figures(parsed.only, settings, cores):
        progress = Progress(figure)
        try:
            rows = measure(figure, progress)
        finally:
            progress.clear()
        print(f"\n{table(figure, rows)}", flush=True)
        results.append(as_json(figure, rows))
        failed = failed or _failed(rows)
    if parsed.json is not None:
        parsed.json.write_text(json.dumps({"environment": environment, "figures": results}, indent=1) + "\n")
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is described at the top of this file."""
    parsed = _parse(arguments)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server outlives us
    try:
        return _run(parsed)
    except MeasureError as error:
        print(f"figures: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("figures: interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
