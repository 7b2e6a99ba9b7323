"""Rows as an aligned table for the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measuring import DISTURBED, WAITED, Figure, Goal, Role, Row

__all__ = ["as_json", "environment_block", "table"]

DETAILS = ("messages/s", "server core", WAITED, "load core")
SHARES = frozenset({"server core", WAITED, "load core"})
BUSY = 0.9


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, min(digits, 3))}f}"


def environment_block(environment: Mapping[str, str]) -> str:
    width = max(map(len, environment))
    return "\n".join(f"{key:<{width}}  {value}" for key, value in environment.items())


def table(figure: Figure, rows: Sequence[Row]) -> str:
    """The figure as text: title, one line a subject, notes."""
    details = [name for name in DETAILS if any(row.detail(name) is not None for row in rows)]
    base = next((subject.label for subject in figure.subjects if subject.key == figure.baseline), None)
    header = ["", "median", "min .. max"]
    header += ["ratio", "95 %"] if base else []
    header += [*details, "goal", "verdict"]
    lines = [_cells(row, details, with_ratio=base is not None) for row in rows]
    text = [f"{figure.key}: {figure.title}", f"  {figure.unit}" + (f"; ratio to {base}" if base else "")]
    text += _aligned([header, *lines])
    text += [f"  {row.subject.label}: not measured: {row.problem}" for row in rows if row.problem]
    text += [f"  {warning}" for warning in _warnings(rows)]
    if any(row.close for row in rows):
        text.append("  (close): the interval, or the spread, contains the goal; another run may say otherwise")
    text += [f"  {note}" for note in figure.notes]
    return "\n".join(text)


def as_json(figure: Figure, rows: Sequence[Row]) -> dict[str, Any]:
    """Everything measured, each round too."""
    return {
        "key": figure.key,
        "title": figure.title,
        "unit": figure.unit,
        "baseline": figure.baseline,
        "rounds": figure.rounds,
        "notes": list(figure.notes),
        "rows": [_row_json(row) for row in rows],
    }


def _warnings(rows: Sequence[Row]) -> list[str]:
    """What makes a measurement under load doubtful."""
    waited = [row.detail(WAITED) or 0 for row in rows]
    if any(share > DISTURBED for share in waited):
        return ["waited: other processes had the server's core meanwhile; measure again when the machine is idle"]
    if any((row.detail("server core") or 1) < BUSY for row in rows):
        return ["server core below 90 %: the load could not keep it busy; its cost a message still counts"]
    return []


def _row_json(row: Row) -> dict[str, Any]:
    goal = row.subject.goal
    return {
        "key": row.subject.key,
        "label": row.subject.label,
        "role": row.subject.role.value,
        "median": row.value if row.measured else None,
        "ratio": row.ratio,
        "ratio_interval_95": row.interval,
        "samples": [{"value": sample.value, **sample.details} for sample in row.samples],
        "goal": {"limit": goal.limit, "at_least": goal.at_least, "ratio": goal.ratio} if goal else None,
        "verdict": row.verdict.value if row.verdict else None,
        "close": row.close,
        "problem": row.problem,
    }


def _cells(row: Row, details: Sequence[str], *, with_ratio: bool) -> list[str]:
    label = row.subject.label + (f" ({row.subject.role.value})" if row.subject.role is not Role.PEER else "")
    spread = f"{number(min(row.values))} .. {number(max(row.values))}" if row.measured else "-"
    cells = [label, number(row.value) if row.measured else "-", spread]
    if with_ratio:
        cells.append(f"{row.ratio:.2f}" if row.ratio is not None else "1" if row.measured else "-")
        cells.append(f"{row.interval[0]:.2f} .. {row.interval[1]:.2f}" if row.interval else "")
    for name in details:
        value = row.detail(name)
        cells.append("" if value is None else f"{value:.0%}" if name in SHARES else number(value))
    cells.append(_goal(row.subject.goal))
    cells.append((row.verdict.value if row.verdict else "") + (" (close)" if row.close else ""))
    return cells


def _goal(goal: Goal | None) -> str:
    if goal is None:
        return ""
    return f"{'>=' if goal.at_least else '<='} {goal.limit:,g}{' x' if goal.ratio else ''}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns apart by two spaces: the first and the last flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if index in (0, last) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
