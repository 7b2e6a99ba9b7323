"""``aionet resolve``."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from ..client.resolving import LocalHost, NamedService, Resolution, ResolvedAddress, find_services, local_host
from ..client.resolving import resolve as resolve_name
from ..core.loop import run
from ..errors import ResolveError
from .failures import NOT_STARTED, report
from .options import Settings, debug_option, escape_controls, json_option, timeout_option

__all__ = ["resolve"]

MAX_LOOK_UPS = 16
"""Names looked up at once: each takes a thread."""

Answer = Resolution | ResolveError


@click.command(
    epilog="""\b
Examples:
  python -m aionet resolve                            this machine: its names and addresses
  python -m aionet resolve localhost --reverse
  python -m aionet resolve ::1                        an address and every way to write it
  python -m aionet resolve 127.1 0x7f000001           what inet_aton makes of these
  python -m aionet resolve localhost --service https  with the port, as connect takes it
  python -m aionet resolve --service ssh              which port; --service 22: which service
  python -m aionet resolve localhost --all --json
\b
Exit codes: 0 all resolved, 2 usage, 3 a look-up failed (it says which step)."""
)
@click.argument("names", nargs=-1, metavar="[NAME|ADDRESS]...")
@click.option("--reverse", is_flag=True, help="Also look up the names of each address (gethostbyaddr).")
@click.option(
    "--service", metavar="NAME|PORT", help="The port of this service; without names: what the services database knows."
)
@click.option(
    "--family",
    type=click.Choice(["any", "4", "6"]),
    default="any",
    show_default=True,
    help="IPv4 or IPv6 addresses only.",
)
@click.option("--all", "every", is_flag=True, help="Every entry getaddrinfo gives, one for each socket type.")
@json_option("One JSON object instead: results, or services, or host.")
@timeout_option(5.0)
@debug_option
@click.pass_context
def resolve(
    ctx: click.Context,
    names: tuple[str, ...],
    reverse: bool,
    service: str | None,
    family: Any,
    every: bool,
    as_json: bool,
    timeout: float,
) -> int:
    """Look up names, and tell about addresses; without either, about this machine.

    Each step that fails is named: idna (the text is no name), getaddrinfo (no such name, or no answer of the name
    server), gethostbyaddr (the address has no name), getservbyname and getservbyport. A look-up that hangs is given up
    after --timeout.
    """
    if math.isinf(timeout):
        raise click.UsageError("--timeout: a resolver that hangs would be waited for for ever")
    if not names:
        if reverse or every or family != "any":
            raise click.UsageError("--reverse, --family and --all are about names: which?")
        if service is not None:
            show_services(run(find_services(service, timeout=timeout), loop="auto"), as_json=as_json)
            return 0
        return show_host(run(local_host(timeout=timeout), loop="auto"), as_json=as_json)
    options = {"service": service, "family": family, "reverse": reverse, "every": every, "timeout": timeout}
    answers = run(resolve_all(names, options), loop="auto")
    return show_answers(names, answers, as_json=as_json, debug=ctx.ensure_object(Settings).debug)


async def resolve_all(names: Sequence[str], options: dict[str, Any]) -> list[Answer]:
    """All of them, some at a time; one that fails holds up no other."""
    slots = asyncio.Semaphore(MAX_LOOK_UPS)

    async def one(name: str) -> Answer:
        async with slots:
            try:
                return await resolve_name(name, **options)
            except ResolveError as exc:
                return exc

    return list(await asyncio.gather(*map(one, names)))


def show_answers(names: Sequence[str], answers: Sequence[Answer], *, as_json: bool, debug: bool) -> int:
    """Print them, and return the exit code: that of a failure, where there is one."""
    if as_json:
        results = [_answer_json(name, answer) for name, answer in zip(names, answers, strict=True)]
        click.echo(json.dumps({"results": results}))
    code = 0
    for answer in answers:
        if isinstance(answer, ResolveError):
            code = report(answer, debug=debug)
            continue
        if not as_json:
            for line in to_lines(answer):
                click.echo(escape_controls(line))
        for failure in {str(each.failure): each.failure for each in answer.addresses if each.failure}.values():
            code = report(failure, debug=debug)
    return code


def to_lines(found: Resolution) -> list[str]:
    """For people: the name, then its addresses; of an address, what it is and how else it is written."""
    first = found.addresses[0]
    if found.legacy:
        head = f"{found.query} is read as {first.facts.address} (by inet_aton, and so by most programs)"
    else:
        head = found.query + (f" is {found.canonical}" if found.canonical != found.query else "")
    lines = [head, *map(_address_line, found.addresses)]
    if found.legacy or _is_address(found):
        lines += _conversions(first)
    return lines


def _is_address(found: Resolution) -> bool:
    """Whether an address was asked about: it stands for itself."""
    return found.query.startswith("0x") or ":" in found.query or found.addresses[0].facts.address == found.query


def _address_line(each: ResolvedAddress) -> str:
    words = [f"{each.facts.address:<15}", f"{each.facts.kind:<10}"]
    if each.found.port:
        words.append(f"port {each.found.port}")
    if each.found.type != "stream":
        words.append(each.found.type)
    words += each.names
    return f"  {'  '.join(words).rstrip()}"


def _conversions(each: ResolvedAddress) -> list[str]:
    facts = each.facts
    rows = [
        ("packed", f"{facts.packed} (inet_aton)" if facts.version == 4 else f"{facts.packed} (inet_pton)"),
        ("number", str(facts.number)),
        ("in full", facts.full if facts.version == 6 else ""),
        ("pointer", facts.pointer),
        ("as IPv6" if facts.version == 4 else "as IPv4", facts.mapped or ""),
        ("interface", facts.scope or ""),
    ]
    return [f"    {label:<9}  {value}" for label, value in rows if value]


def _answer_json(name: str, answer: Answer) -> dict[str, Any]:
    if isinstance(answer, ResolveError):
        return {"query": name, "addresses": [], "failure": _failure_json(answer)}
    return {
        "query": name,
        "canonical": answer.canonical,
        "legacy": answer.legacy,
        "addresses": [
            {
                **asdict(each.facts),
                "type": each.found.type,
                "port": each.found.port,
                "names": list(each.names),
                "failure": _failure_json(each.failure),
            }
            for each in answer.addresses
        ],
        "failure": None,
    }


def _failure_json(failure: ResolveError | None) -> dict[str, str] | None:
    return None if failure is None else {"step": failure.step, "reason": str(failure)}


def show_services(services: Sequence[NamedService], *, as_json: bool) -> None:
    """Print lines of the services database."""
    if as_json:
        click.echo(json.dumps({"services": [asdict(each) for each in services]}))
        return
    for each in services:
        click.echo(f"{escape_controls(each.name)}  {each.port}/{each.protocol}")


def show_host(host: LocalHost, *, as_json: bool) -> int:
    """Print who this machine is; the exit code tells whether the resolver knew its full name."""
    if as_json:
        facts = {"name": host.name, "full_name": host.full_name, "addresses": [asdict(each) for each in host.addresses]}
        click.echo(json.dumps({"host": {**facts, "failure": _failure_json(host.failure)}}))
    else:
        full = f" is {host.full_name}" if host.full_name not in (None, host.name) else ""
        click.echo(escape_controls(f"{host.name}{full}"))
        for each in host.addresses:
            click.echo(escape_controls(f"  {each.address + '/' + str(each.prefix):<28}  {each.interface}").rstrip())
    return NOT_STARTED if host.failure is not None and report(host.failure) else 0
