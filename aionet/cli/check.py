"""``aionet check``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from ..core.loop import run as run_loop
from ..limits import Timeouts
from ..routing import Port, Route
from ..server import Server
from .options import debug_option, json_option
from .probes import Reached, probe
from .targets import ServiceOptions, build_plan, target_options

__all__ = ["check"]


@click.command(
    epilog="""\b
Examples:
  python -m aionet check tcp://127.0.0.1:4000=echo,chat,files
  python -m aionet check 'auto://127.0.0.1:4000?cert=server.pem&key=server.key=echo,chat'
  python -m aionet check myapp:router --json
\b
Exit codes: 0 it could start, 2 usage, 3 it could not (certificate, import), 4 bad configuration:
routes that stand in each other's way, an endpoint, a limit.""",
)
@target_options
@json_option("The table as one line of JSON.")
@debug_option
def check(
    targets: tuple[str, ...],
    host: str,
    app_dir: str,
    as_json: bool,
    **services: Any,
) -> None:
    """Try what serve would do with the same targets, all but binding, and show which first bytes reach what.

    It reads certificates and imports modules; nothing is bound, and nothing is made.
    """
    plan = build_plan(targets, host, ServiceOptions(**services, make_directory=False), app_dir)
    run_loop(Server(plan.router, log=False).check())
    ports = plan.router.ports
    if as_json:
        click.echo(json.dumps({"ports": [_facts(port) for port in ports]}))
        return
    for port in ports:
        for line in _lines(port):
            click.echo(line)


def _facts(port: Port) -> dict[str, Any]:
    return {
        "endpoint": str(port.endpoint),
        "sniffs": port.sniffs,
        "peek": port.peek,
        "silence": port.silence,
        "tls": port.tls,
        "proxy_networks": list(port.proxy_networks),
        "routes": [
            {
                "name": route.name,
                "match": None if route.match is None else repr(route.match),
                "default": route is port.default,
                "guest": route.protocol is not None,
            }
            for route in port.routes
        ],
        "reaches": [
            {
                "kind": reached.probe.kind,
                "first_bytes": _text(reached.probe.data),
                "tls": reached.probe.facts.tls,
                "route": None if reached.route is None else reached.route.name,
                "waits": reached.waits,
            }
            for reached in _reached(port)
        ],
    }


def _reached(port: Port) -> list[Reached]:
    return [] if port.endpoint.is_datagram else probe(port)


def _text(data: bytes) -> str:
    """As Python writes it, without the quotes."""
    return repr(data)[2:-1]


def _lines(port: Port) -> list[str]:
    width = max(len(route.name) for route in port.routes)
    said = [str(port.endpoint), *(f"  {route.name:<{width}}  {_takes(route, port)}" for route in port.routes)]
    if port.proxy_networks:
        said.append(f"  A PROXY header is believed from {', '.join(port.proxy_networks)}, and refused from others.")
    if any(route.match is not None for route in port.routes):
        said += [f"  {_what_decides(port)}", *_table(_reached(port))]
    return said


def _takes(route: Route, port: Port) -> str:
    if route.match is None:
        return "everything" if len(port.routes) == 1 else "everything else"
    return f"{route.match!r}{', and everything else' if route is port.default else ''}"


def _what_decides(port: Port) -> str:
    seconds = Timeouts().sniff
    words = [f"Decided by at most {_bytes(port.peek)}, within {seconds:g} s" if port.peek else "Decided at once"]
    if port.silence is not None:
        words.append(f"by silence after {port.silence:g} s")
    if port.default is None:
        words.append("and refused if nothing matches")
    return f"{', '.join(words)}:"


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def _table(reached: Sequence[Reached]) -> list[str]:
    width = max(len(each.probe.kind) for each in reached)
    return [f"    {each.probe.kind:<{width}}  ->  {_where(each)}" for each in reached]


def _where(reached: Reached) -> str:
    name = "refused" if reached.route is None else reached.route.name
    if reached.waits == "deadline":
        return f"{name}, at the deadline"
    return name
