"""``aionet bench``: load for any server, and what it makes of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from ..errors import ConfigError
from ..load.comparison import compare
from ..load.outcome import Outcome
from ..load.plan import Plan
from ..load.result import Result
from ..load.running import run_load
from ..load.search import Promise, find_max, parse_promises
from .bench_plan import Options, make_plan, unescape
from .bench_report import comparison_lines, result_lines, trial_line, warnings
from .bench_screen import watching
from .codecs import GRAMMAR
from .failures import DEFECT, INTERRUPTED, CommandError
from .options import debug_option, json_option, tls_options

__all__ = ["bench"]

SECONDS: Final = click.FloatRange(min=0, min_open=True, max=1e6)


def _read_escaped(ctx: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
    try:
        return None if value is None else unescape(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc


def _read_promises(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Promise, ...] | None:
    try:
        return None if value is None else parse_promises(value)
    except ConfigError as exc:
        raise click.BadParameter(f"{exc}; {exc.hint}", ctx, parameter) from exc


@click.command(
    epilog="""\b
Examples:
  python -m aionet bench tcp://127.0.0.1:8080 --pipeline 16
  python -m aionet bench tcp://127.0.0.1:8080 --rate 20000 --size 1024
  python -m aionet bench tcp://127.0.0.1:8080 --find-max 'p99<5ms'
  python -m aionet bench tcp://127.0.0.1:6379 --payload 'PING\\r\\n' --expect '+PONG\\r\\n'
  python -m aionet bench udp://127.0.0.1:8080 --rate 5000 --connections 4
  python -m aionet bench tls://localhost:7443 --ca ca.pem --codec line --processes 2
  python -m aionet bench chat tcp://127.0.0.1:9999 --connections 200 --speakers 5
  python -m aionet bench files tcp://127.0.0.1:5000 song.ogg --connections 8
  python -m aionet bench tcp://127.0.0.1:8080 --json > before.json
  python -m aionet bench tcp://127.0.0.1:8080 --compare before.json --plot after.png
\b
Exit codes: 0 all was answered and right, 1 something was not, 2 usage, 3 not reached, 4 bad endpoint or
configuration, 130 ended early by Ctrl+C (with the results so far)."""
)
@click.argument("words", nargs=-1, required=True, metavar="[chat|files] ENDPOINT [NAME]")
@click.option(
    "-c",
    "--connections",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Connections, or datagram ports, or members of a chat.",
)
@click.option(
    "--pipeline",
    type=click.IntRange(min=1, max=65_536),
    default=1,
    show_default=True,
    metavar="N",
    help="Messages under way on each connection (closed loop).",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True, max=1e7),
    metavar="N",
    help="Messages a second in all, by the clock (open loop). [chat default: 4 a speaker]",
)
@click.option(
    "--find-max", callback=_read_promises, metavar="LIMIT", help="Search for the highest rate that keeps it: 'p99<5ms'."
)
@click.option("--duration", type=SECONDS, default=10.0, show_default=True, metavar="SECONDS", help="What is measured.")
@click.option("--messages", type=click.IntRange(min=1), metavar="N", help="Send so many, instead of for a time.")
@click.option(
    "--warmup",
    type=click.FloatRange(min=0, max=1e6),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Before that, not measured.",
)
@click.option(
    "--ramp",
    type=click.FloatRange(min=0, max=1e6),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Before that: open connections one by one, or let the rate rise.",
)
@click.option("--codec", default="raw", show_default=True, metavar="CODEC", help=GRAMMAR)
@click.option(
    "--size", type=click.IntRange(min=1), default=64, show_default=True, metavar="BYTES", help="Of generated messages."
)
@click.option("--payload", callback=_read_escaped, metavar="TEXT", help=r"Send this; \r \n \t \0 \\ \xHH are known.")
@click.option(
    "--payload-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Send what is in it, as one message.",
)
@click.option("--expect", callback=_read_escaped, metavar="TEXT", help="The right reply.  [default: what was sent]")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Compare each reply, or only count.")
@click.option("--speakers", type=click.IntRange(min=1), metavar="N", help="chat: members that speak.  [default: 4]")
@click.option("--sha256", metavar="HEX", help="files: of the file.  [default: that of the first download]")
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="To connect, for an answer, until a datagram is lost.  [default: 5; udp: 1]",
)
@click.option("--reconnect", is_flag=True, help="Open a connection that ended anew.  [default: it stays ended]")
@click.option(
    "--processes",
    type=click.IntRange(min=1, max=64),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that generate the load.",
)
@json_option("One JSON object instead of a table.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw rate and latencies (needs matplotlib): a .png, .svg or .pdf.",
)
@click.option(
    "--compare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Say what changed since this --json.",
)
@tls_options
@debug_option
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    ca: str | None,
    cert: str | None,
    key: str | None,
    insecure: bool,
    **given: Any,
) -> int:
    """Put load on the server at ENDPOINT: count, time and check what it answers.

    Messages go out and are expected back as they were, or as --expect says. Without --rate each connection sends
    when it was answered (closed loop): what the server can do at most. With --rate messages leave by the clock (open
    loop), and latencies count from when they were due: what users would see.

    chat: members join a room of the chat service, some speak, and all check what they hear. files: downloads of
    the file NAME from the file service, hashed. Only use it on servers that are yours.
    """
    options = Options(**given)
    plan = make_plan(ctx, words, options, (ca, cert, key, insecure))
    before = None if options.compare is None else _read_result(options.compare)
    if options.plot is not None:
        from .bench_plot import check_plot

        check_plot(options.plot)
    result = _run(plan, options)
    click.echo(result.to_json() if options.as_json else "\n".join(result_lines(result)))
    for warning in warnings(result):
        click.echo(f"warning: {warning}", err=True)
    if before is not None:
        click.echo("\n".join(comparison_lines(compare(before, result))), err=options.as_json)
    if options.plot is not None:
        from .bench_plot import draw

        draw(result, options.plot)
    if result.interrupted:
        return INTERRUPTED
    return 0 if result.sound and (result.search.get("rate") or not options.find_max) else DEFECT


def _run(plan: Plan, options: Options) -> Result:
    promises = options.find_max
    with interruptible() as stop, watching() as screen:

        def run(plan: Plan) -> Outcome:
            screen.begin(plan)
            return run_load(plan, options.processes, watch=screen.show, stop=stop)

        if promises is None:
            return Result.of(run(plan))
        search = find_max(plan, promises, run, lambda trial: screen.say(trial_line(trial, promises)))
    if not search.trials or (search.outcome is None and search.trials[-1].why == "interrupted"):
        raise KeyboardInterrupt
    if search.outcome is None:
        raise CommandError(
            f"no rate keeps {', '.join(promise.text for promise in promises)}",
            hint=f"at {search.trials[-1].rate:g} a second: {search.trials[-1].why}",
        )
    return Result.of(search.outcome, search.facts())


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come. The first ends the run with the results so far, the second at once."""
    seen = 0

    def count(number: int, frame: object) -> None:
        nonlocal seen
        seen += 1

    def stop() -> bool:
        if seen > 1:
            raise KeyboardInterrupt
        return seen > 0

    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_result(path: Path) -> Result:
    try:
        return Result.from_json(path.read_bytes())
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}", hint=exc.hint) from exc
