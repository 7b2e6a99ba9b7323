"""Pictures of a result: rate and latency over time, and the distribution of the latencies. Needs matplotlib."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import click

from ..load.latency import Latencies
from ..load.result import Result
from .failures import CommandError

__all__ = ["check_plot", "draw"]

KINDS: Final = (".png", ".svg", ".pdf")

_TICKS: Final = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


def check_plot(path: Path) -> None:
    """Say what is missing before the run, not after it.

    Raises:
        click.UsageError: no kind of picture that is known.
        CommandError: no matplotlib, or no such directory.
    """
    if path.suffix not in KINDS:
        raise click.UsageError(f"--plot {path}: the name ends with one of {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise CommandError(f"--plot {path}: there is no directory {path.parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise CommandError("--plot needs matplotlib", hint="pip install 'aionet[plot]'") from exc


def draw(result: Result, path: Path) -> None:
    """Draw three pictures into one file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, (rates, percentiles, distribution) = pyplot.subplots(3, 1, figsize=(9, 10), layout="constrained")
    figure.suptitle(f"{result.target}: {result.rate:,.0f} {result.unit} a second")
    times = [interval["at"] + interval["seconds"] / 2 for interval in result.intervals]
    rates.plot(times, [interval["answered"] / (interval["seconds"] or 1) for interval in result.intervals])
    rates.set(ylabel=f"{result.unit} a second", xlabel="seconds", ylim=(0, None))
    for name in ("p50", "p99"):
        percentiles.plot(times, [interval[name] / 1000 for interval in result.intervals], label=name)
    percentiles.set(ylabel="latency, ms", xlabel="seconds", ylim=(0, None))
    percentiles.legend()
    _draw_distribution(distribution, Latencies.decode(result.histogram))
    distribution.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    distribution.yaxis.set_major_formatter("{x:g}")
    for axes in (rates, percentiles, distribution):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_distribution(axes: Any, latencies: Latencies) -> None:
    """Latency by percentile, stretched towards 100 %: each nine takes as much room as the one before it."""
    pairs = list(latencies)
    total = latencies.count or 1
    passed = list(accumulate(count for _, count in pairs))
    below = [0, *passed[:-1]]
    axes.plot(
        [1 / (1 - before / total) for before in below], [value / 1000 for value, _ in pairs], drawstyle="steps-post"
    )
    most = max(10.0, float(total))
    ticks = [percent for percent in _TICKS if 1 / (1 - percent / 100) <= most]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1 / (1 - percent / 100) for percent in ticks], [f"{percent:g} %" for percent in ticks])
    axes.minorticks_off()
    axes.set(ylabel="latency, ms", xlabel="percentile")
