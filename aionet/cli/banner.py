"""What ``serve`` says: what listens where, how to try it, and how it went at the end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from .. import __version__
from ..core.loop import loop_name
from ..endpoint import Endpoint
from ..events import DrainFinished, Event, ServerStateChanged
from ..observe.logging import printable
from ..routing import Port, Route
from ..server import Server, ServerState
from .targets import service_of

__all__ = ["Listening", "Talk", "facts", "how_to_try", "is_local", "lines", "list_bound"]


@dataclass(frozen=True, slots=True)
class Listening:
    """One bound address: what is served there, and which built-in service that is, or is made by, if any."""

    name: str
    service: str | None
    endpoint: Endpoint


class Talk:
    """Speaks for one running server.

    Args:
        services: For each route, in order: the built-in service it is, or ``None``.
        drain_timeout: Seconds, as the server has it.
        as_json: Whether the start is told as one line of JSON on standard output, instead of in words.
    """

    def __init__(self, services: Sequence[str | None], *, drain_timeout: float, as_json: bool) -> None:
        self._services = services
        self._drain_timeout = drain_timeout
        self._as_json = as_json
        self._server: Server | None = None

    def started(self, server: Server) -> None:
        """The server serves: say where, and go on listening to what becomes of it."""
        self._server = server
        server.events.subscribe(self._changed, ServerStateChanged, DrainFinished)
        loop = loop_name(asyncio.get_running_loop())
        services = dict(zip(server.router.routes, self._services, strict=True))
        bound = list_bound(server.router.ports, services, server.addresses)
        if self._as_json:
            click.echo(json.dumps(facts(bound, loop)))
            return
        for line in lines(bound, loop):
            _say(line)

    def _changed(self, event: Event) -> None:
        if isinstance(event, DrainFinished):
            _say(f"stopped after {event.seconds:.1f} s{f', {len(event.cut)} cut' if event.cut else ''}")
        elif isinstance(event, ServerStateChanged) and event.new == ServerState.DRAINING.value:
            assert self._server is not None
            left = self._server.connections
            wait = f": {left} open, at most {self._drain_timeout:g} s (Ctrl+C again: at once)" if left else ""
            _say(f"draining{wait}")


def _say(line: str) -> None:
    """Tell standard error. A server does not stop serving because nobody reads what it says."""
    with suppress(OSError):
        click.echo(line, err=True)


def list_bound(
    ports: Sequence[Port], services: Mapping[Route, str | None], addresses: Sequence[Endpoint]
) -> list[Listening]:
    """Which routes each bound address belongs to: each is listed with all routes of its port.

    Addresses come in the order of the ports. One whose host is an IP address is bound once; a name, or every
    address, maybe several times: to it belong the next addresses that could, as long as each later port keeps one.
    """
    bound = []
    rest = list(addresses)
    for index, port in enumerate(ports):
        later = len(ports) - index - 1
        while rest:
            address = rest.pop(0)
            for route in port.routes:
                known = services[route]
                bound.append(Listening(known or route.name, known or service_of(route.handler), address))
            if len(rest) <= later or port.endpoint.address is not None or not _could_be(port.endpoint, rest[0]):
                break
    return bound


def _could_be(wanted: Endpoint, address: Endpoint) -> bool:
    return wanted.scheme == address.scheme and wanted.port in (0, address.port)


def facts(bound: Sequence[Listening], loop: str) -> dict[str, Any]:
    """The start, for programs."""
    return {
        "event": "started",
        "version": __version__,
        "pid": os.getpid(),
        "loop": loop,
        "endpoints": [
            {
                "name": each.name,
                "endpoint": each.endpoint.location,
                "scheme": each.endpoint.scheme,
                "host": each.endpoint.host,
                "port": each.endpoint.port,
                "path": each.endpoint.path,
            }
            for each in bound
        ],
    }


def lines(bound: Sequence[Listening], loop: str) -> list[str]:
    """The start, for people: what listens where, and how to try it."""
    width = max(len(each.name) for each in bound)
    place_width = max(len(each.endpoint.location) for each in bound)
    said = [f"aionet {__version__} on {loop}, process {os.getpid()}"]
    for each in bound:
        how = how_to_try(each.service, each.endpoint)
        said.append(f"  {each.name:<{width}}  {each.endpoint.location:<{place_width}}  {how}".rstrip())
    if not all(is_local(each.endpoint) for each in bound):
        said.append("reachable from other machines, by anybody")
    return [*said, "Ctrl+C to stop"]


def is_local(endpoint: Endpoint) -> bool:
    """Whether only this machine reaches the endpoint."""
    address = endpoint.address
    return (
        endpoint.scheme in ("unix", "fd")
        or endpoint.host == "localhost"
        or (address is not None and address.is_loopback)
    )


def how_to_try(service: str | None, endpoint: Endpoint) -> str:
    """A command that shows the service at work, for a shell on the same machine."""
    url = _reachable(endpoint)
    netcat = f"nc -U {endpoint.path}" if endpoint.scheme == "unix" else f"nc {_host(endpoint)} {endpoint.port}"
    plain = endpoint.scheme in ("tcp", "unix", "auto")
    if service == "echo" and plain:
        return f"printf 'hi\\n' | {netcat.replace('nc', 'nc -N', 1)}"
    if service == "datagram":
        return f"printf 'hi' | {netcat.replace('nc', 'nc -u -w1', 1)}"
    if service == "chat":
        return netcat if plain else f"python -m aionet chat {url}"
    if service == "files":
        return f"python -m aionet ls {url}"
    if service == "web" and endpoint.scheme in ("tcp", "tls"):
        return f"{'https' if endpoint.scheme == 'tls' else 'http'}://{url.partition('://')[2]}/"
    if service == "web":
        return f"curl --unix-socket {endpoint.path} http://localhost/" if endpoint.scheme == "unix" else ""
    return f"python -m aionet send {url} hi" if endpoint.scheme != "fd" else ""


def _host(endpoint: Endpoint) -> str:
    address = endpoint.address
    if endpoint.host and not (address is not None and address.is_unspecified):
        return printable(endpoint.host)
    return "::1" if address is not None and address.version == 6 else "127.0.0.1"


def _reachable(endpoint: Endpoint) -> str:
    if endpoint.scheme in ("unix", "fd"):
        return endpoint.location
    scheme = "tcp" if endpoint.scheme == "auto" else endpoint.scheme  # plain is served there as well
    return Endpoint(scheme, _host(endpoint), endpoint.port, endpoint.path).location
