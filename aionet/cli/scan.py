"""``aionet scan``."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..client.ports import format_ports, parse_ports
from ..client.scanning import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PORTS,
    DEFAULT_TIMEOUT,
    Greeting,
    HostReport,
    PortReport,
    PortState,
    ScanReport,
    ScanTarget,
    find_targets,
)
from ..client.scanning import scan as scan_hosts
from ..client.sockinfo import certificate_of
from ..core.loop import run
from ..errors import ConfigError
from .describe import tls_dict, tls_line
from .failures import INTERRUPTED, NOT_STARTED, CommandError
from .options import debug_option, escape_controls, json_option, timeout_option

__all__ = ["scan"]

REFRESH = 0.1
"""Seconds between two updates of the progress bar: an update costs as much as a probe."""

SHOWN = 120
"""Characters of a banner printed; --json has all that were kept."""

SILENCE = (
    "open|filtered: no answer and no refusal. A UDP service need not answer what it does not understand, and hosts "
    "limit their refusals (Linux: about one a second to a peer), so closed ports may be among these; --rate 1 tells "
    "them apart."
)


def _read_ports(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return parse_ports(value)
    except ConfigError as exc:
        hint = f" ({exc.hint})" if exc.hint else ""
        raise click.BadParameter(f"{exc}{hint}", ctx, parameter) from exc


def _read_rate(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of probes", ctx, parameter)
    return value


@click.command(
    epilog="""\b
Examples:
  python -m aionet scan
  python -m aionet scan --ports 1-65535 --banner
  python -m aionet scan 192.168.1.10 192.168.1.11 --ports 22,80,443 --json
  python -m aionet scan ::1 --udp --ports 53,123,5000-5100 --rate 50
\b
Exit codes: 0 scanned, whatever was found, 1 stopped or declined, 2 usage, 3 a host was not reached,
4 a host that is none, 130 interrupted (what is known is printed)."""
)
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "-p",
    "--ports",
    default=DEFAULT_PORTS,
    show_default=True,
    metavar="LIST",
    callback=_read_ports,
    help="Such as 22, 1-1024,8080 or 8000- (to the highest).",
)
@click.option("--udp", is_flag=True, help="UDP ports: answered is open, refused is closed, silence may be either.")
@timeout_option(DEFAULT_TIMEOUT)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1, max=65535),
    default=DEFAULT_CONCURRENCY,
    show_default=True,
    metavar="NUMBER",
    help="Most probes in flight; fewer, where ulimit -n says so.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    callback=_read_rate,
    metavar="NUMBER",
    help="Most probes started a second.  [default: as fast as it goes]",
)
@click.option("--banner", is_flag=True, help="Show what open TCP ports say first, or their TLS certificate.")
@click.option(
    "--family", type=click.Choice(["any", "4", "6"]), default="any", show_default=True, help="Which addresses of names."
)
@click.option("--yes", is_flag=True, help="The hosts are yours to scan, though neither loopback nor private.")
@json_option("One JSON object instead: protocol, seconds, interrupted, hosts with their ports.")
@debug_option
def scan(
    hosts: tuple[str, ...],
    ports: tuple[int, ...],
    udp: bool,
    timeout: float,
    concurrency: int,
    rate: float | None,
    banner: bool,
    family: Any,
    yes: bool,
    as_json: bool,
) -> int:
    """Find out which ports of HOSTs (default: 127.0.0.1) are open.

    open: it was connected to; closed: the host refused; filtered: no answer within --timeout, so something on the way
    drops what is sent, or says it does not let it through. Of a name, its first address is scanned.

    For your own hosts: any that is not on loopback or in a private network is asked about, or needs --yes.
    """
    if banner and udp:
        raise click.UsageError("--banner is for TCP; what a UDP port answers is shown anyway")
    if math.isinf(timeout):
        raise click.UsageError("--timeout: a dropped probe would be waited for for ever")
    targets = run(find_targets(hosts or ("127.0.0.1",), family=family), loop="auto")
    confirm(targets, yes=yes)
    report = ScanReport()
    interrupted = False
    with progress_bar(shown=not as_json and sys.stderr.isatty()) as progress:
        scanning = scan_hosts(
            *targets,
            ports=ports,
            udp=udp,
            timeout=timeout,
            concurrency=concurrency,
            rate=rate,
            banner=banner,
            public=True,
            progress=progress,
            report=report,
        )
        try:
            run(scanning, loop="auto")
        except KeyboardInterrupt:
            interrupted = True
    show(report, as_json=as_json, interrupted=interrupted)
    if interrupted:
        return INTERRUPTED
    return NOT_STARTED if any(host.failure for host in report.hosts) else 0


def confirm(targets: list[ScanTarget], *, yes: bool) -> None:
    """Ask about hosts that are neither loopback nor private.

    Raises:
        click.UsageError: nobody is there to ask.
        CommandError: the answer is no.
    """
    foreign = [target for target in targets if target.address and not target.is_local]
    if not foreign or yes:
        return
    listed = escape_controls(", ".join(map(_named, foreign)))
    if not sys.stdin.isatty():
        raise click.UsageError(f"neither loopback nor private: {listed}; --yes says that you may scan it")
    if not click.confirm(f"Neither loopback nor private: {listed}. May you scan it?", err=True):
        raise CommandError("not scanned")


def show(report: ScanReport, *, as_json: bool, interrupted: bool) -> None:
    """Print what is known: data to standard output, the rest to standard error."""
    if as_json:
        click.echo(to_json(report, interrupted=interrupted))
    else:
        for host in report.hosts:
            for line in to_lines(host, report.protocol):
                click.echo(line)
        if any(host.ports(PortState.OPEN_OR_FILTERED) for host in report.hosts):
            click.echo(SILENCE, err=True)
    for host in report.hosts:
        if host.failure:
            click.echo(f"error: {escape_controls(host.failure)}", err=True)
    if interrupted:
        click.echo(f"interrupted: {report.done} of {report.total} probes done", err=True)


def to_lines(host: HostReport, protocol: str) -> list[str]:
    """What is known of a host, for people."""
    target = host.target
    counts = [f"{len(found)} {state.value}" for state in PortState if (found := host.ports(state))]
    if not counts:
        return []
    lines = [f"{escape_controls(_named(target))}: {len(host.states)} {protocol} ports: {', '.join(counts)}"]
    width = max((len(each.service or "-") for each in host.open), default=0)
    lines += [f"  {f'{each.port}/{protocol}':<9}  open  {_about(each, width)}".rstrip() for each in host.open]
    for reason, ports in host.reasons.items():
        lines.append(f"  {host.states[ports[0]].value} ({reason}): {format_ports(ports)}")
    if target.others:
        lines.append(f"  not scanned, other addresses of the name: {', '.join(target.others)}")
    return lines


def _named(target: ScanTarget) -> str:
    return target.address if target.host == target.address else f"{target.address} ({target.host})"


def _about(port: PortReport, width: int) -> str:
    words = [f"{port.service or '-':<{width}}"]
    if port.greeting is not None:
        words += greeting_words(port.greeting)
    return "  ".join(words)


def greeting_words(greeting: Greeting) -> list[str]:
    """What an open port said, safe for a terminal."""
    words = []
    if greeting.tls is not None:
        words.append(tls_line(greeting.tls, certificate_of(greeting.tls)))
    if greeting.refusal is not None:
        words.append(escape_controls(f"TLS, which refused us: {greeting.refusal}"))
    if greeting.banner:
        said = _text(greeting.banner).rstrip()
        more = " ..." if greeting.cut or len(said) > SHOWN else ""
        words.append(f"{'to a TLS hello: ' if greeting.prompted else ''}{escape_controls(said[:SHOWN])}{more}")
    return words


def to_json(report: ScanReport, *, interrupted: bool) -> str:
    """What is known, for programs; port lists as ``--ports`` takes them."""
    return json.dumps(
        {
            "protocol": report.protocol,
            "seconds": round(report.seconds, 3),
            "interrupted": interrupted,
            "hosts": [_host_json(host) for host in report.hosts],
        }
    )


def _host_json(host: HostReport) -> dict[str, object]:
    return {
        "host": host.target.host,
        "address": host.target.address or None,
        "other_addresses": list(host.target.others),
        "failure": host.failure,
        "counts": {_key(state): len(host.ports(state)) for state in PortState},
        "open": [_port_json(each) for each in host.open],
        **{_key(state): format_ports(host.ports(state)) for state in PortState if state is not PortState.OPEN},
        "reasons": {reason: format_ports(ports) for reason, ports in host.reasons.items()},
    }


def _key(state: PortState) -> str:
    return state.value.replace("|", "_or_")


def _port_json(port: PortReport) -> dict[str, object]:
    found: dict[str, object] = {"port": port.port, "service": port.service}
    greeting = port.greeting
    if greeting is not None:
        found["banner"] = _text(greeting.banner) if greeting.banner else None
        found["banner_cut"] = greeting.cut
        found["banner_answers_tls_hello"] = greeting.prompted
        found["tls"] = tls_dict(greeting.tls, certificate_of(greeting.tls))
        found["tls_refusal"] = greeting.refusal
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


@contextmanager
def progress_bar(*, shown: bool) -> Iterator[Callable[[int, int], object] | None]:
    """Probes done and time left on standard error, or nothing where nobody looks."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("probes", total=None)
        due = 0.0

        def report(done: int, total: int) -> None:
            nonlocal due
            now = time.monotonic()
            if now >= due or done == total:
                due = now + REFRESH
                progress.update(task, completed=done, total=total)

        yield report
