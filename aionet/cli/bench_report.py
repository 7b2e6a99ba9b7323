"""Results of ``bench`` for people: a table, a histogram of the latencies, what changed, what to be wary of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from ..load.comparison import Comparison
from ..load.latency import Latencies
from ..load.result import Result
from ..load.search import Promise, Trial
from .describe import duration
from .options import escape_controls

__all__ = ["comparison_lines", "count_text", "latency_text", "result_lines", "trial_line", "warnings"]

BAR: Final = 40
"""Characters of the longest bar."""

_FAULTS: Final = {
    "wrong": "wrong replies",
    "lost": "lost",
    "late": "came after they were counted as lost",
    "duplicated": "came twice",
    "reordered": "came out of order",
    "unanswered": "not answered",
    "unsent": "due and not sent",
}


def latency_text(microseconds: float) -> str:
    """``1.54 ms``."""
    return duration(microseconds / 1e6)


def count_text(number: float) -> str:
    """``524,032``; of small ones a decimal."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.1f}"


def bytes_text(number: float) -> str:
    """``33.5 MB``."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def result_lines(result: Result) -> Iterator[str]:
    """The table."""
    yield _what(result)
    yield from _searched(result)
    ended = ", ended early" if result.interrupted else ""
    processes = result.generator["processes"]
    yield f"{result.seconds:.3g} s measured by {processes} process{'es' * (processes > 1)}{ended}"
    yield ""
    rate = f"{count_text(result.rate)} a second"
    flow = f"{bytes_text(result.bytes_received)}/s in"
    if result.bytes_sent:
        flow = f"{bytes_text(result.bytes_sent)}/s out, {flow}"
    yield f"{result.unit:<12} {rate}, {flow}"
    yield f"{'answered':<12} {count_text(result.answered)}, {_verdict(result)}"
    if result.answered:
        figures = [f"{name} {latency_text(value)}" for name, value in result.latency.items()]
        yield f"{'latency':<12} {', '.join(figures)}"
    cores = ", ".join(f"{part:.2f}" for part in result.generator["cpu"])
    late = result.generator["late"]
    lateness = f"; sent late by p50 {latency_text(late['p50'])}, p99 {latency_text(late['p99'])}" if late else ""
    waited = max(result.generator["waited"])
    waiting = f"; waited for one {waited:.0%} of the time" if waited >= 0.05 else ""
    yield f"{'generator':<12} {cores} of a core{waiting}{lateness}"
    yield from _faults(result)
    if result.answered:
        yield ""
        yield from _histogram(Latencies.decode(result.histogram))


def _what(result: Result) -> str:
    settings = result.settings
    unit = {"deliveries": "members", "datagrams": "ports"}.get(result.unit, "connections")
    words = [f"{result.connections} {unit}"]
    if "speakers" in settings:
        words.append(f"{settings['speakers']} of them speak")
    if settings["rate"] is not None:
        words.append(f"{count_text(settings['rate'])} messages a second")
    else:
        words.append(f"{settings['pipeline']} under way on each")
    if "size" in settings:
        words.append(f"{settings['size']} bytes")
    words.append("verified" if settings.get("verify", True) else "not verified")
    return f"{escape_controls(result.target)}: {', '.join(words)}"


def _searched(result: Result) -> Iterator[str]:
    if result.search:
        runs = len(result.search["trials"])
        rate = count_text(result.search["rate"])
        yield f"{result.search['promise']} holds up to {rate} a second ({runs} runs); the last one:"


def _verdict(result: Result) -> str:
    if result.faults or result.failures:
        return "but see below"
    return "all right" if result.settings.get("verify", True) else "nothing missing"


def _faults(result: Result) -> Iterator[str]:
    for name, count in result.faults.items():
        yield f"{count_text(count):>12} {_FAULTS[name]}"
        if name == "wrong":
            yield from _examples(result, "wrong replies")
    for kind, count in result.failures.items():
        yield f"{count_text(count):>12} failed: {escape_controls(kind)}"
        yield from _examples(result, kind)


def _examples(result: Result, kind: str) -> Iterator[str]:
    for example in result.examples.get(kind, ()):
        yield f"{'':>12}   {escape_controls(example)}"


def _histogram(latencies: Latencies) -> Iterator[str]:
    """Bars between 1, 2, 5, 10, ... microseconds."""
    bounds = [digit * 10**power for power in range(10) for digit in (1, 2, 5)]
    counts = dict.fromkeys(pairwise([0, *bounds]), 0)
    pairs = list(counts)
    position = 0
    for value, count in latencies:
        while position < len(pairs) - 1 and value > pairs[position][1]:
            position += 1
        counts[pairs[position]] += count
    shown = [pair for pair in pairs if counts[pair]]
    most, total, passed = max(counts.values()), sum(counts.values()), 0
    for pair in pairs[pairs.index(shown[0]) : pairs.index(shown[-1]) + 1]:
        passed += counts[pair]
        bar = "\u2588" * round(counts[pair] / most * BAR) or ("\u258f" if counts[pair] else "")
        part, up_to = counts[pair] / total, passed / total
        yield f"up to {latency_text(pair[1]):>7}  {bar:<{BAR}} {part:>7.2%} {up_to:>9.3%}"


def trial_line(trial: Trial, promises: Sequence[Promise]) -> str:
    """One run of a search."""
    values = ", ".join(
        f"{promise.what} {f'{value:.3%}' if promise.what == 'loss' else latency_text(value)}"
        for promise, value in zip(promises, trial.values, strict=True)
    )
    verdict = "holds" if trial.held else f"does not hold: {trial.why}"
    confirming = " (confirming)" if trial.confirms else ""
    return f"{count_text(trial.rate):>12} a second: {values}: {verdict}{confirming}"


def warnings(result: Result) -> Iterator[str]:
    """What makes the figures worth less than they seem."""
    if result.faults.get("wrong") and not result.answered and result.unit in ("messages", "datagrams"):
        yield "no reply was what was expected: --expect says what is right, --no-verify that anything is"
    if result.search.get("limited_by_generator"):
        yield "higher rates failed while the generator itself had no time left: the server may do more"
    processes = result.generator["processes"]
    cpus = os.cpu_count() or 1
    if result.generator_is_the_limit:
        starved = processes >= cpus or max(result.generator["waited"]) > 0.1  # another process would wait as well
        more = "it needs more cores, or a machine of its own" if starved else f"--processes {processes + 1}"
        yield f"the generator itself is the limit (it ran, or waited for a core, all the time): {more}"
    elif result.generator_was_late:
        late = latency_text(result.generator["late"]["p99"])
        yield f"the generator itself was late by up to {late} (p99): the latencies above contain it"
    due = result.settings["rate"]
    if due and result.unit != "deliveries" and result.answered < 0.98 * due * result.seconds:
        yield f"{count_text(due)} a second were due, {count_text(result.rate)} answered: that is more than it can do"
    if processes > cpus:
        yield f"{processes} processes on {cpus} CPUs hold each other up"


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """What changed."""
    yield ""
    yield f"{'':<6} {'before':>12} {'after':>12} {'ratio':>7}  95 % interval"
    for change in comparison.changes:
        show: Any = count_text if change.name == "rate" else latency_text
        interval = f"{change.low:.3f} .. {change.high:.3f}"
        before, after = show(change.before), show(change.after)
        yield f"{change.name:<6} {before:>12} {after:>12} {change.ratio:>7.3f}  {interval:<16} {change.verdict}"
    if comparison.differences:
        yield f"not the same test: {escape_controls('; '.join(comparison.differences))}"
