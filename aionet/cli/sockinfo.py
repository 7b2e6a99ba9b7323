"""``aionet sockinfo``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click

from ..client.sockinfo import SocketInfo, SocketOption, inspect
from ..core.connecting import ConnectTimings
from ..core.loop import run
from ..core.tcp_info import TCP_INFO_FIELDS
from .describe import address_text, duration, tcp_dict, tcp_state, tls_dict, tls_lines
from .options import debug_option, json_option, parse_endpoint, timeout_option, tls_options

__all__ = ["sockinfo"]

Row = tuple[str, str, str]
"""Name, value, what it means."""


@click.command(
    epilog="""\b
Examples:
  python -m aionet sockinfo tcp://127.0.0.1:8080
  python -m aionet sockinfo 'tcp://127.0.0.1:8080?nodelay=0&rcvbuf=65536'
  python -m aionet sockinfo --insecure tls://localhost:7443
  python -m aionet sockinfo unix:///run/app.sock
  python -m aionet sockinfo tcp://127.0.0.1:8080 --json
\b
Exit codes: 0 shown, 2 usage, 3 not reached, or TLS refused, 4 bad endpoint."""
)
@click.argument("endpoint")
@json_option("One JSON object instead: socket, options, tcp_info, tls, timings (seconds).")
@timeout_option(10.0)
@tls_options
@debug_option
def sockinfo(
    endpoint: str, as_json: bool, timeout: float, ca: str | None, cert: str | None, key: str | None, insecure: bool
) -> None:
    """Connect to ENDPOINT, show the socket as the kernel sees it, and close.

    The options in force, each with what it means and the endpoint option that sets it (?nodelay=0); TCP_INFO; what
    TLS agreed on, and the certificate; on Unix sockets, who listens. Nothing is sent. --insecure also shows a
    certificate that cannot be trusted.
    """
    place = parse_endpoint(endpoint, ca, cert, key, insecure)
    info = run(inspect(place, timeout=timeout), loop="auto")
    if as_json:
        click.echo(json.dumps(to_dict(info)))
        return
    for line in to_lines(info):
        click.echo(line)


def to_dict(info: SocketInfo) -> dict[str, Any]:
    """What was found, for programs."""
    facts = info.socket
    return {
        "endpoint": str(info.endpoint),
        "family": facts.family,
        "local": _plain(facts.local),
        "peer": _plain(facts.peer),
        "options": [asdict(option) for option in facts.options],
        "tcp_info": tcp_dict(facts),
        "peer_credentials": facts.credentials and asdict(facts.credentials),
        "tls": tls_dict(info.tls, info.certificate),
        "timings": info.timings and dict(_phases(info.timings)),
    }


def to_lines(info: SocketInfo) -> list[str]:
    """What was found, for people."""
    facts = info.socket
    head: list[Row] = [("family", facts.family, ""), ("local", address_text(facts.local), "our own address")]
    head.append(("peer", address_text(facts.peer), "the other's"))
    if facts.credentials is not None:
        who = facts.credentials
        head.append(("listener", f"pid {who.pid}, uid {who.uid}, gid {who.gid}", "who listens there (SO_PEERCRED)"))
    if info.timings is not None:
        head += [(name, duration(seconds), "taken") for name, seconds in _phases(info.timings)]
    lines = [str(info.endpoint), *_table(head), "", "options", *_table(map(_option_row, facts.options))]
    if facts.tcp:
        lines += ["", "TCP_INFO", *_table(_tcp_rows(info))]
    if info.tls is not None:
        rows: list[Row] = [(name, value, "") for name, value in tls_lines(info.tls, info.certificate)]
        lines += ["", "TLS", *_table(rows)]
    return lines


def _plain(address: object) -> object:
    return address.decode("utf-8", "backslashreplace") if isinstance(address, bytes) else address


def _phases(timings: ConnectTimings) -> Iterator[tuple[str, float]]:
    last = timings.started
    for name, done in (("look-up", timings.resolved), ("connect", timings.connected), ("TLS", timings.secured)):
        if done is not None and last is not None:
            yield name, done - last
            last = done


def _option_row(option: SocketOption) -> Row:
    value = ("on" if option.value else "off") if isinstance(option.value, bool) else f"{option.value} {option.unit}"
    setting = f"  [?{option.key}=]" if option.key else ""
    return option.name, value.rstrip(), option.meaning + setting


def _tcp_rows(info: SocketInfo) -> Iterator[Row]:
    for field in TCP_INFO_FIELDS:
        number = info.socket.tcp.get(field.name)
        if number is None:
            continue
        if field.name == "state":
            value = tcp_state(number)
        else:
            value = duration(number / 1e6) if field.unit == "us" else f"{number} {field.unit}".rstrip()
        yield field.name, value, field.meaning


def _table(rows: Iterable[Row]) -> list[str]:
    kept = list(rows)
    name_width = max((len(name) for name, _, _ in kept), default=0)
    value_width = min(max((len(value) for _, value, _ in kept), default=0), 32)
    return [f"  {name:<{name_width}}  {value:<{value_width}}  {meaning}".rstrip() for name, value, meaning in kept]
