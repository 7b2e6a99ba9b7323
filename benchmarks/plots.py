"""Pictures of a run: bars with intervals, latency by percentile, cost against connections and group size.

matplotlib draws them; without it there are none, and the report stands by its tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import CaseResult, Curve, Metric, Report, Role, Row
from benchmarks.stats import median_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

__all__ = ["MAIN", "draw"]

MAIN = {
    "echo-1024-64-1": "Echo of 1 KiB",
    "lines-16": "Lines of 64 B, 16 in flight",
    "fanout-200-1-32-speakers": "Fan-out to 200 members, 32 speakers",
    "datagram-64-16": "Datagrams of 64 B, 16 peers",
    "tls-1024": "Echo of 1 KiB over TLS",
    "files-large": "A large file",
    "websocket-16": "WebSocket, 16 in flight",
    "churn": "Connect, one message, close",
    "idle-10000": "An idle connection",
}
"""Cases of the main picture, with their titles there; those that a run does not have are left out."""

COLORS = {Role.OURS: "#0b6e4f", Role.PEER: "#8da9c4", Role.LIMIT: "#4a4a4a", Role.CONTROL: "#c9d6e2"}
LINES = ("#4878a8", "#d1813e", "#8a63a8", "#b04a5a", "#7a7a52", "#3f9aa5", "#b59b3b", "#777777")
PERCENTILES = ("p50", "p75", "p90", "p99", "p99.9", "p99.99")
MOST_LINES = 7
DPI = 130


def draw(report: Report, directory: Path) -> dict[str, list[str]]:
    """All pictures that this run has data for: their file names by scenario, and under ``""`` the main one."""
    if find_spec("matplotlib") is None:
        return {}
    pictures: dict[str, list[str]] = {}

    def add(scenario: str, name: str, figure: Figure | None) -> None:
        if figure is not None:
            figure.savefig(directory / f"{name}.png", dpi=DPI)
            pictures.setdefault(scenario, []).append(f"{name}.png")

    shown = [(case, MAIN[case.key]) for case in report.cases if case.key in MAIN]
    if len(shown) > 1:
        add("", "overview", _bars(shown, columns=3, most=9))
    for scenario in report.scenarios:
        cases = report.of_scenario(scenario)
        add(scenario, scenario, _bars([(case, _wrapped(case.title)) for case in cases], columns=2))
        add(scenario, f"{scenario}-latency", _latencies(cases))
        add(scenario, f"{scenario}-curve", _curves(cases))
    return pictures


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # late: it takes a second, and may not be there

    return Figure(figsize=(width, height), layout="constrained")


# ---- bars -----------------------------------------------------------------------------------------------------------


def _bars(cases: Sequence[tuple[CaseResult, str]], *, columns: int, most: int | None = None) -> Figure | None:
    """A panel a case, a bar a row, best on top; whiskers are the 95 % interval of the median."""
    drawn = [(case, title, rows) for case, title in cases if (rows := _best(case, most))]
    if not drawn:
        return None
    columns = min(columns, len(drawn))
    lines = math.ceil(len(drawn) / columns)
    heights = [
        0.9 + 0.27 * max(len(rows) for _, _, rows in drawn[line * columns : (line + 1) * columns])
        for line in range(lines)
    ]
    figure = _figure(5.2 * columns, sum(heights) + 0.6)
    axes = figure.subplots(lines, columns, squeeze=False, gridspec_kw={"height_ratios": heights}).flatten()
    for panel, (case, title, rows) in zip(axes, drawn, strict=False):
        _bar_panel(panel, case.metric, title, rows)
    for panel in axes[len(drawn) :]:
        panel.axis("off")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _legend() -> list[Patch]:
    from matplotlib.patches import Patch

    words = {Role.OURS: "aionet", Role.LIMIT: "the limit: the same in C", Role.PEER: "others"}
    return [Patch(color=COLORS[role], label=text) for role, text in words.items()]


def _best(case: CaseResult, most: int | None) -> list[Row]:
    """Rows to show, best first; where there are too many, ours and the limit stay."""
    key = case.metric.key
    rows = [row for row in case.rows if row.measured and row.values(key) and row.role is not Role.CONTROL]
    rows.sort(key=lambda row: row.value(key) or 0, reverse=case.metric.more)
    if most is None or len(rows) <= most:
        return rows
    always = [row for row in rows if row.role in (Role.OURS, Role.LIMIT)]
    others = [row for row in rows if row not in always][: max(0, most - len(always))]
    return [row for row in rows if row in always or row in others]


def _bar_panel(panel: Axes, metric: Metric, title: str, rows: Sequence[Row]) -> None:
    values = [row.value(metric.key) or 0 for row in rows]
    intervals = [median_interval(row.values(metric.key)) for row in rows]
    below = [value - low for value, (low, _) in zip(values, intervals, strict=True)]
    above = [high - value for value, (_, high) in zip(values, intervals, strict=True)]
    places = range(len(rows))
    panel.barh(places, values, color=[COLORS[row.role] for row in rows], height=0.72)
    panel.errorbar(values, places, xerr=[below, above], fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
    panel.set_yticks(places, [row.label for row in rows], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlim(0, max(high for _, high in intervals) * 1.18)
    for place, value, (_, high) in zip(places, values, intervals, strict=True):
        panel.annotate(
            _short(value),
            (max(value, high), place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    panel.set_title(title, fontsize=9.5, loc="left")
    panel.xaxis.set_major_formatter(lambda value, _: _short(value))
    panel.set_xlabel(f"{metric.unit} ({'more' if metric.more else 'less'} is better)", fontsize=8)
    _quiet(panel, grid="x")


# ---- latencies ------------------------------------------------------------------------------------------------------


def _latencies(cases: Sequence[CaseResult]) -> Figure | None:
    """Latency by percentile: of the cases judged by it, else of the first that has any."""
    having = [case for case in cases if any(_has_latency(row) for row in case.rows)]
    chosen = [case for case in having if case.metric.key in PERCENTILES] or having[:1]
    if not chosen:
        return None
    figure = _figure(7.5 * len(chosen), 4.2)
    for panel, case in zip(figure.subplots(1, len(chosen), squeeze=False).flatten(), chosen, strict=True):
        rows = [row for row in _best(case, MOST_LINES) if _has_latency(row)]
        for row, style in zip(rows, _styles(rows), strict=True):
            points = [row.value(name) or 0 for name in PERCENTILES]
            panel.plot(range(len(points)), points, label=row.label, marker="o", markersize=3, **style)
        panel.set_xticks(range(len(PERCENTILES)), [name.removeprefix("p") for name in PERCENTILES], fontsize=8)
        panel.set_yscale("log")
        panel.set_xlabel("percentile", fontsize=8)
        panel.set_ylabel("latency, us", fontsize=8)
        panel.set_title(_wrapped(case.title), fontsize=9.5, loc="left")
        panel.legend(fontsize=7.5, frameon=False)
        _quiet(panel, grid="y")
    return figure


def _has_latency(row: Row) -> bool:
    return row.measured and all(row.value(name) for name in PERCENTILES)


# ---- curves ---------------------------------------------------------------------------------------------------------


def _curves(cases: Sequence[CaseResult]) -> Figure | None:
    """The metric against what the cases of a curve differ in, for every row that is in two of them at least."""
    curves: dict[str, list[tuple[CaseResult, Curve]]] = {}
    for case in cases:
        if case.curve is not None:
            curves.setdefault(case.curve.name, []).append((case, case.curve))
    drawn = {name: lines for name, points in curves.items() if (lines := _lines(points))}
    if not drawn:
        return None
    figure = _figure(5.6 * len(drawn), 4.0)
    for panel, (name, lines) in zip(
        figure.subplots(1, len(drawn), squeeze=False).flatten(), drawn.items(), strict=True
    ):
        case, curve = curves[name][0]
        _curve_panel(panel, case.metric, curve, lines)
    return figure


Line = tuple[Row, list[float], list[float]]
"""A row, where it was measured, and what came of it there."""


def _lines(points: Sequence[tuple[CaseResult, Curve]]) -> list[Line]:
    found: dict[str, Line] = {}
    for case, curve in sorted(points, key=lambda point: point[1].at):
        for row in _best(case, None):
            _, xs, ys = found.setdefault(row.key, (row, [], []))
            xs.append(curve.at)
            ys.append(row.value(case.metric.key) or 0)
    return [line for line in found.values() if len(line[1]) > 1]


def _curve_panel(panel: Axes, metric: Metric, curve: Curve, lines: Sequence[Line]) -> None:
    for (row, xs, ys), style in zip(lines, _styles([line[0] for line in lines]), strict=True):
        panel.plot(xs, ys, label=row.label, marker="o", markersize=3, **style)
    at = sorted({x for _, xs, _ in lines for x in xs})
    panel.set_xscale("log")
    panel.set_xticks(at, [f"{place:,.0f}" for place in at], fontsize=8)
    panel.minorticks_off()
    panel.set_ylim(bottom=0)
    panel.set_xlabel(curve.axis, fontsize=8)
    panel.set_ylabel(metric.unit, fontsize=8)
    panel.yaxis.set_major_formatter(lambda value, _: _short(value))
    panel.set_title(curve.name, fontsize=9.5, loc="left")
    panel.legend(fontsize=7.5, frameon=False)
    _quiet(panel, grid="y")


# ---- small things ---------------------------------------------------------------------------------------------------


def _styles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A colour each: ours and the limit always theirs."""
    left = iter(LINES * (1 + len(rows) // len(LINES)))
    ours = iter(("-", "--", ":", "-."))
    limits = iter(("-", "--", ":", "-."))
    styles: list[dict[str, Any]] = []
    for row in rows:
        if row.role is Role.OURS:
            styles.append({"color": COLORS[Role.OURS], "linewidth": 2.2, "linestyle": next(ours, "-")})
        elif row.role is Role.LIMIT:
            styles.append({"color": COLORS[Role.LIMIT], "linewidth": 1.4, "linestyle": next(limits, "-")})
        else:
            styles.append({"color": next(left), "linewidth": 1.4})
    return styles


def _short(value: float) -> str:
    if value >= 999_500:
        return f"{value / 1e6:.3g} M"
    if value >= 9995:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _wrapped(text: str, width: int = 46) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def _quiet(panel: Axes, *, grid: str) -> None:
    panel.grid(axis=grid, color="#dddddd", linewidth=0.6)  # type: ignore[arg-type]
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
