"""What ``serve`` says: what listens where, how to try it, and how it went at the end."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from .. import __version__
from ..endpoint import Endpoint
from ..events import DrainFinished, Event, ServerStateChanged
from ..observe.logging import printable
from ..server import Server

__all__ = ["Talk"]


class Talk:
    """Speaks for one running server.

    Args:
        names: For each route, in order: the built-in service, or the route's own name.
        tryable: For each route: whether it is a built-in service, of which is known how to try it.
        as_json: Whether the start is told as one JSON object on standard output, instead of in words.
    """

    def __init__(self, names: list[str], tryable: list[bool], *, drain_timeout: float, as_json: bool) -> None:
        self._names = names
        self._tryable = tryable
        self._drain_timeout = drain_timeout
        self._as_json = as_json
        self._server: Server | None = None

    def started(self, server: Server) -> None:
        """The server serves: say where, and go on listening to what becomes of it."""
        self._server = server
        server.events.subscribe(self._changed, ServerStateChanged, DrainFinished)
        if self._as_json:
            click.echo(json.dumps(self._facts(server)))
            return
        for line in self._lines(server):
            click.echo(line, err=True)

    def _facts(self, server: Server) -> dict[str, Any]:
        return {
            "event": "started",
            "version": __version__,
            "pid": os.getpid(),
            "loop": loop_name(),
            "endpoints": [
                {
                    "name": name,
                    "endpoint": endpoint.location,
                    "scheme": endpoint.scheme,
                    "host": endpoint.host,
                    "port": endpoint.port,
                    "path": endpoint.path,
                }
                for name, endpoint in zip(self._names, server.addresses, strict=True)
            ],
        }

    def _lines(self, server: Server) -> list[str]:
        width = max(len(name) for name in self._names)
        place_width = max(len(endpoint.location) for endpoint in server.addresses)
        lines = [f"aionet {__version__} on {loop_name()}, process {os.getpid()}"]
        for name, tryable, endpoint in zip(self._names, self._tryable, server.addresses, strict=True):
            how = how_to_try(name if tryable else None, endpoint)
            lines.append(f"  {name:<{width}}  {endpoint.location:<{place_width}}  {how}")
        if any(not is_local(endpoint) for endpoint in server.addresses):
            lines.append("reachable from other machines, without any password")
        lines.append("Ctrl+C to stop")
        return lines

    def _changed(self, event: Event) -> None:
        if isinstance(event, DrainFinished):
            count = f", {len(event.cut)} cut" if event.cut else ""
            click.echo(f"stopped after {event.seconds:.1f} s{count}", err=True)
        elif isinstance(event, ServerStateChanged) and event.new.lower() == "draining" and self._server is not None:
            open_now = self._server.connections
            click.echo(
                f"draining: {open_now} open, at most {self._drain_timeout:g} s (Ctrl+C again: at once)"
                if open_now
                else "draining",
                err=True,
            )


def is_local(endpoint: Endpoint) -> bool:
    """Whether only this machine reaches the endpoint."""
    address = endpoint.address
    return endpoint.scheme in ("unix", "fd") or endpoint.host == "localhost" or bool(address and address.is_loopback)


def how_to_try(service: str | None, endpoint: Endpoint) -> str:
    """A command that shows the service at work, for a shell on the same machine."""
    url = _reachable(endpoint)
    netcat = f"nc -U {endpoint.path}" if endpoint.scheme == "unix" else f"nc {_host(endpoint)} {endpoint.port}"
    plain = endpoint.scheme in ("tcp", "unix")
    if service == "echo" and plain:
        return f"printf 'hi\\n' | {netcat.replace('nc', 'nc -N', 1)}"
    if service == "datagram":
        return f"printf 'hi' | {netcat.replace('nc', 'nc -u -w1', 1)}"
    if service == "chat":
        return netcat if plain else f"python -m aionet chat {url}"
    if service == "files":
        return f"python -m aionet ls {url}"
    return f"python -m aionet send {url} hi" if endpoint.scheme != "fd" else ""


def _host(endpoint: Endpoint) -> str:
    address = endpoint.address
    if endpoint.host and not (address and address.is_unspecified):
        return printable(endpoint.host)
    return "::1" if address and address.version == 6 else "127.0.0.1"


def _reachable(endpoint: Endpoint) -> str:
    if endpoint.scheme in ("unix", "fd"):
        return endpoint.location
    return Endpoint(endpoint.scheme, _host(endpoint), endpoint.port).location


def loop_name() -> str:
    """Which event loop runs here: ``uvloop`` or ``asyncio``."""
    import asyncio

    return type(asyncio.get_running_loop()).__module__.partition(".")[0]
