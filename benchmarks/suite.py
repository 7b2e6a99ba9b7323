"""A whole run: the cases planned, measured one by one, shown as they come, and written down."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measuring import Case, Subject, measure
from benchmarks.plots import draw
from benchmarks.report import markdown, table
from benchmarks.results import CaseResult, Report, save
from benchmarks.scenarios import SCENARIOS

__all__ = ["Progress", "listing", "plan", "run", "seconds_of", "write"]


def plan(bench: Bench, scenarios: Sequence[str], peers: Sequence[str] = ()) -> list[Case]:
    """The cases of these scenarios, in order; with ``peers`` those alone, and no case that has none of them.

    A quick run has what goals are judged by, and one baseline measured twice.
    """
    cases = [case for name in scenarios for case in SCENARIOS[name](bench)]
    if bench.settings.quick:
        cases = [case for case in cases if case.goals]
        cases = [case.judged(with_control=number == 0) for number, case in enumerate(cases)]
    return [kept for case in cases if (kept := case.only(peers) if peers else case).subjects]


def seconds_of(cases: Sequence[Case]) -> float:
    """About how long these take."""
    return sum(case.measurements * case.seconds for case in cases)


def listing(cases: Sequence[Case]) -> str:
    """What would be measured, and about how long."""
    lines = [
        f"{case.key}: {case.title}\n    {', '.join(subject.key for subject in case.subjects)}\n"
        f"    {case.rounds} rounds, about {case.measurements * case.seconds:.0f} s"
        for case in cases
    ]
    return "\n".join([*lines, f"about {seconds_of(cases) / 60:.0f} minutes in all"])


class Progress:
    """One line on a terminal, overwritten; nothing elsewhere. What is left is reckoned by how the plan held so far."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._left = seconds_of(cases)
        self._planned = 0.0
        self._begin = time.monotonic()
        self._shown = sys.stderr.isatty()
        self._case: Case | None = None

    def begin(self, case: Case) -> None:
        self._case = case

    def __call__(self, subject: Subject) -> None:
        assert self._case is not None
        pace = (time.monotonic() - self._begin) / self._planned if self._planned else 1.0
        if self._shown:
            left = self._left * pace
            text = f"{self._case.key}: {subject.label}, {left // 60:.0f} min {left % 60:02.0f} s left"
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        self._planned += self._case.seconds
        self._left -= self._case.seconds

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def run(cases: Sequence[Case], results: list[CaseResult]) -> None:
    """Measure them, print each table as it is ready, and put it into ``results``, which so outlives an interruption."""
    progress = Progress(cases)
    for case in cases:
        progress.begin(case)
        try:
            result = measure(case, progress)
        finally:
            progress.clear()
        print(f"\n{table(result)}", flush=True)
        results.append(result)


def write(report: Report, directory: Path) -> list[Path]:
    """``results.json``, ``report.md`` and the pictures; what was written.

    Without matplotlib there are no pictures, and the report says so.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data, document = directory / "results.json", directory / "report.md"
    save(report, data)
    pictures: Mapping[str, Sequence[str]] = draw(report, directory)
    document.write_text(markdown(report, pictures))
    return [data, document, *(directory / file for files in pictures.values() for file in files)]
