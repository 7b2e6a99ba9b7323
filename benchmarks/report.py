"""Cases as aligned tables for the terminal, and a whole run as a Markdown document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.measuring import DISTURBED, OTHERS
from benchmarks.results import CaseResult, Outcome, Report, Role, Row, Verdict

__all__ = ["environment_block", "goals_table", "markdown", "number", "table"]

COLUMNS = {
    "rate": "messages/s",
    "cpu": "CPU us",
    "GB/s": "GB/s",
    "accepted/s": "accepted/s",
    "p50": "p50 us",
    "p99": "p99 us",
    "p99.9": "p99.9 us",
    "rss": "RSS MB",
    "syscalls": "calls/msg",
    "lost": "lost",
    "slow_closed": "slow closed",
    "server core": "server",
    OTHERS: OTHERS,
    "load core": "load",
}
"""Values shown beside the metric itself, where there are any, with their titles."""

SHARES = frozenset({"server core", OTHERS, "load core"})
ENOUGH = 1.5
"""Times the fastest server's rate that the load generator shall be able to make."""


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, min(digits, 3))}f}"


def environment_block(environment: Mapping[str, str]) -> str:
    width = max(map(len, environment))
    return "\n".join(f"{key:<{width}}  {value}" for key, value in environment.items())


def table(case: CaseResult) -> str:
    """The case as text: title, one line a row, what to beware of, notes."""
    base = case.row(case.baseline)
    text = [f"{case.key}: {case.title}", f"  {case.metric.unit}" + (f"; ratio to {base.label}" if base else "")]
    text += _aligned(_cells(case), left=(0,))
    text += [f"  {line}" for line in _remarks(case)]
    return "\n".join(text)


def goals_table(outcomes: Sequence[Outcome]) -> str:
    """Every goal with its verdict."""
    return "\n".join(["goals", *_aligned(_goal_cells(outcomes), left=(0, 4))])


def markdown(report: Report, pictures: Mapping[str, Sequence[str]]) -> str:
    """The report. ``pictures`` are file names by scenario, and under ``""`` those of the whole."""
    text = ["# Measurements", ""]
    text += [f"* {key}: {value}" for key, value in report.environment.items()]
    if report.quick:
        text += ["", "A quick run: few rounds, short windows. Intervals are wide."]
    text += _images(pictures.get("", ()))
    text += ["", "## Goals", "", *_markdown_table(_goal_cells(report.outcomes))]
    if report.absent:
        text += ["", "## Absent", ""]
        text += [f"* {label}: {problem.splitlines()[0]}" for label, problem in report.absent.items()]
    for scenario in report.scenarios:
        text += ["", f"## {scenario}", *_images(pictures.get(scenario, ()))]
        for case in report.of_scenario(scenario):
            text += ["", f"### {case.title}", "", *_markdown_table(_cells(case)), ""]
            base = case.row(case.baseline)
            text += [f"* {case.metric.unit}" + (f"; ratios to {base.label}, with 95 % intervals" if base else "")]
            text += [f"* {line}" for line in _remarks(case)]
    return "\n".join(text) + "\n"


def _images(files: Sequence[str]) -> list[str]:
    return [line for file in files for line in ("", f"![{file.partition('.')[0]}]({file})")]


def _cells(case: CaseResult) -> list[list[str]]:
    """Header and rows: what was measured, best first, then who is absent."""
    shown = [key for key in COLUMNS if key != case.metric.key and any(row.value(key) is not None for row in case.rows)]
    with_ratio = case.row(case.baseline) is not None
    header = ["", "median", "min .. max", *(["ratio", "95 %"] if with_ratio else []), *(COLUMNS[key] for key in shown)]
    key = case.metric.key
    rows = sorted(case.rows, key=lambda row: (not row.measured, _rank(case, row)))
    return [header, *(_row_cells(case, row, key, shown, with_ratio) for row in rows)]


def _rank(case: CaseResult, row: Row) -> float:
    value = row.value(case.metric.key) or 0.0
    return -value if case.metric.more else value


def _row_cells(case: CaseResult, row: Row, key: str, shown: Sequence[str], with_ratio: bool) -> list[str]:
    label = row.label + (f" ({row.role.value})" if row.role in (Role.OURS, Role.LIMIT) else "")
    if not row.measured:
        return [label, "absent" if not row.wrong else "wrong", *[""] * (len(shown) + (3 if with_ratio else 1))]
    values = row.values(key)
    cells = [label, number(row.value(key) or 0), f"{number(min(values))} .. {number(max(values))}" if values else "-"]
    if with_ratio:
        ratio = case.ratio(row)
        cells += [f"{ratio[0]:.2f}", _interval(ratio[1])] if ratio else ["1" if row.key == case.baseline else "-", ""]
    for name in shown:
        value = row.value(name)
        cells.append("" if value is None else _detail(name, value))
    return cells


def _detail(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value:.0%}"
    return number(value / 1e6 if name == "rss" else value)


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f} .. {interval[1]:.2f}"


def _remarks(case: CaseResult) -> Iterator[str]:
    for row in case.rows:
        if row.problem:
            yield f"{row.label}: not measured: {row.problem.splitlines()[0]}"
    if case.noise is not None:
        yield f"noise: {case.noise:.0%}, by the baseline measured twice; differences below that mean nothing"
    load = case.load_generator
    if load is not None:
        beside = "" if load.of_fastest_but_limits is None else f" ({load.of_fastest_but_limits:.2f} x without C)"
        yield (
            f"load generator: {number(load.capacity)} messages a second of its core, "
            f"{load.of_fastest:.2f} x the fastest server{beside}"
            + ("" if load.of_fastest >= ENOUGH else f"; less than {ENOUGH} x: judge by CPU time, not by rates")
        )
    if any((row.value(OTHERS) or 0) > DISTURBED for row in case.rows if row.measured):
        yield "others: the server's core was busy with others meanwhile; measure again when the machine is idle"
    yield from case.notes


def _goal_cells(outcomes: Sequence[Outcome]) -> list[list[str]]:
    cells = [["goal", "wanted", "measured", "95 %", "verdict"]]
    for outcome in outcomes:
        goal = outcome.goal
        unit = " x" if goal.against is not None else ""
        wanted = f"{'>=' if goal.at_least else '<='} {goal.limit:,g}{unit}"
        measured = "-" if outcome.value is None else f"{number(outcome.value)}{unit}"
        verdict = outcome.verdict.value + (" (close)" if outcome.close else "")
        if outcome.verdict is Verdict.NOT_MEASURED and outcome.reason:
            verdict += f": {outcome.reason.splitlines()[0]}"
        interval = " .. ".join(map(number, outcome.interval)) if outcome.interval else ""
        cells.append([goal.text, wanted, measured, interval, verdict])
    return cells


def _aligned(lines: Sequence[Sequence[str]], *, left: Sequence[int]) -> list[str]:
    """Columns apart by two spaces: some flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _markdown_table(lines: Sequence[Sequence[str]]) -> list[str]:
    header, *rows = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
