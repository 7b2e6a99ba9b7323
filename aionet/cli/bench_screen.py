"""What is seen while ``bench`` runs: rate, percentiles and the time left, on a terminal's standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..load.latency import Latencies
from ..load.outcome import Outcome
from ..load.plan import Plan
from .bench_report import count_text, latency_text
from .options import escape_controls

__all__ = ["Screen", "watching"]


class Screen:
    """Nothing is shown. Where somebody looks, it is :class:`_Live`."""

    def begin(self, plan: Plan) -> None:
        """A run begins."""

    def show(self, outcome: Outcome) -> None:
        """There is something new."""

    def say(self, line: str) -> None:
        """A line that stays."""


class _Live(Screen):
    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task: Any = None

    def begin(self, plan: Plan) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        total = None if plan.duration is None else plan.lead + plan.duration
        if plan.messages is not None:
            total = plan.messages
        rate = "" if plan.rate is None else f" at {count_text(plan.rate)}/s"
        self._task = self._progress.add_task(f"{escape_controls(plan.endpoint.location)}{rate}", total=total, told="")

    def show(self, outcome: Outcome) -> None:
        interval = outcome.latest()
        done = interval.at + interval.seconds
        if outcome.plan.messages is not None:
            done = outcome.phases["measured"].answered
        self._progress.update(self._task, completed=done, told=_told(outcome))

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)


def _told(outcome: Outcome) -> str:
    interval = outcome.latest()
    latencies = Latencies(interval.tally.latencies)
    rate = interval.tally.answered / interval.seconds if interval.seconds else 0
    figures = [f"{count_text(rate)}/s"]
    figures += [f"p{percent:g} {latency_text(latencies.percentile(percent))}" for percent in (50, 99)]
    if not outcome.phases["measured"].sent:
        figures.append("warming up")
    total = outcome.total()
    for name, count in (("wrong", total.wrong), ("lost", total.lost), ("failed", sum(total.failures.values()))):
        if count:
            figures.append(f"{count} {name}")
    return ", ".join(figures)


@contextmanager
def watching() -> Iterator[Screen]:
    """A screen; an empty one where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield Screen()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Live(progress)
