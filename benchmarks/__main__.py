"""The benchmark suite: ``python -m benchmarks``. ``docs/benchmarks.md`` is its manual.

Server and load generator run on cores of their own; each measurement has fresh processes and drops a warm-up;
subjects are interleaved, in turned order every other round; a baseline is measured twice (A/A). Tables go to stdout as
they are ready; JSON, a Markdown report and pictures into a directory.

A goal that is not reached is no failure of the run: the tables say so. Exit codes: 0 measured; 1 a server answered
wrongly, or nothing could be measured; 2 usage; 130 interrupted (what was measured until then is written).
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.compare import comparison
from benchmarks.compiling import compiled
from benchmarks.environment import describe
from benchmarks.measuring import Case
from benchmarks.problems import MeasureError
from benchmarks.processes import available_cores, raise_open_files
from benchmarks.report import environment_block, goals_table
from benchmarks.results import CaseResult, Report, load
from benchmarks.scenarios import SCENARIOS
from benchmarks.settings import FULL, QUICK, Settings
from benchmarks.suite import listing, plan, run, write
from benchmarks.workspace import workspace

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _scenarios(text: str) -> list[str]:
    names = _words(text)
    for name in names:
        if name not in SCENARIOS:
            raise argparse.ArgumentTypeError(f"unknown scenario '{name}'; there are {', '.join(SCENARIOS)}")
    return names


def _earlier(text: str) -> Report:
    try:
        return load(Path(text))
    except MeasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rounds(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"rounds are a whole number of at least 1, not '{text}'")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.01 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"seconds are a number from 0.01 to 3600, not '{text}'")
    return seconds


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes: what goals are judged by, briefly")
    names = f"comma-separated, of: {', '.join(SCENARIOS)}"
    parser.add_argument("--only", type=_scenarios, default=list(SCENARIOS), metavar="SCENARIO,...", help=names)
    parser.add_argument(
        "--peers", type=_words, default=[], metavar="PEER,...", help="these alone; --list tells their names"
    )
    parser.add_argument("--rounds", type=_rounds, metavar="N", help="instead of 5, or 3 with --quick")
    parser.add_argument(
        "--duration", type=_seconds, metavar="SECONDS", help="of each window, instead of 1, or 0.3 with --quick"
    )
    parser.add_argument("--compare", type=_earlier, metavar="OLD.json", help="say what changed since, beyond the noise")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help="for results.json, report.md and pictures"
    )
    parser.add_argument("--list", action="store_true", help="say what would be measured, and measure nothing")
    return parser.parse_args(arguments)


def _settings(parsed: argparse.Namespace) -> Settings:
    settings = QUICK if parsed.quick else FULL
    if parsed.rounds is not None:
        settings = replace(settings, rounds=parsed.rounds)
    if parsed.duration is not None:
        settings = replace(settings, duration=parsed.duration)
    return settings


def _cases(parsed: argparse.Namespace, bench: Bench) -> list[Case]:
    cases = plan(bench, parsed.only)
    known = sorted({subject.key for case in cases for subject in case.subjects})
    for name in parsed.peers:
        if name not in known:
            raise MeasureError(f"unknown peer '{name}'; there are {', '.join(known)}")
    return plan(bench, parsed.only, parsed.peers)


def _run(parsed: argparse.Namespace) -> int:
    cores = available_cores()
    raise_open_files()
    results: list[CaseResult] = []
    with workspace() as places:
        cases = _cases(parsed, Bench(_settings(parsed), cores, places))
        if parsed.list:
            print(listing(cases))
            return 0
        _check(parsed.out)
        environment = describe(cores)
        print(environment_block(environment), flush=True)
        try:
            run(cases, results)
        finally:
            _tell(Report(environment, len(cores.usable), parsed.quick, results), parsed)
    rows = [row for case in results for row in case.rows]
    return 1 if any(row.wrong for row in rows) or not any(row.measured for row in rows) else 0


def _check(directory: Path) -> None:
    """What would spoil the whole run is found before it begins.

    Raises:
        MeasureError: no compiler for the load generators, or nowhere to write to.
    """
    compiled("streams")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".writable").touch()
        (directory / ".writable").unlink()
    except OSError as error:
        raise MeasureError(f"cannot write into {directory}: {error.strerror}; --out takes another directory") from None


def _tell(report: Report, parsed: argparse.Namespace) -> None:
    if not report.cases:
        return
    if report.outcomes:
        print(f"\n{goals_table(report.outcomes)}")
    if parsed.compare is not None:
        print(f"\n{comparison(parsed.compare, report)}")
    for file in write(report, parsed.out):
        print(f"written: {file}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; the exit code is described at the top of this file."""
    parsed = _parse(arguments)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server outlives us
    try:
        return _run(parsed)
    except MeasureError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
