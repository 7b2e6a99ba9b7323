"""``aionet serve``."""

from __future__ import annotations

from typing import Any, Literal

import click

from ..limits import Limits
from ..observe.logging import LEVELS, setup_logging
from ..running import serve as serve_router
from .banner import Talk
from .options import debug_option, json_option
from .targets import SERVICES, ServiceOptions, build_plan, target_options

__all__ = ["serve"]


@click.command(
    epilog="""\b
Examples:
  python -m aionet serve
  python -m aionet serve tcp://127.0.0.1:7000=echo udp://127.0.0.1:7000=datagram
  python -m aionet serve files web --directory ~/Public
  python -m aionet serve 'tls://0.0.0.0:7443?cert=server.pem&key=server.key=chat'
  python -m aionet serve tcp://127.0.0.1:4000=echo,chat,files
  python -m aionet serve unix:///run/app.sock=myapp:handler
  python -m aionet serve examples.kv:router
\b
Services:
"""
    + "\n".join(f"  {name:<9} {service.scheme} {service.port}  {service.about}" for name, service in SERVICES.items())
    + """
\b
Exit codes: 0 stopped by SIGINT or SIGTERM, 2 usage, 3 could not start (port taken, certificate,
import), 4 bad configuration, 5 the drain deadline was hit.""",
)
@target_options
@click.option(
    "--loop",
    type=click.Choice(["auto", "uvloop", "asyncio"]),
    default="auto",
    show_default=True,
    help="The event loop.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long open connections may finish after SIGINT or SIGTERM.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    default=Limits().max_connections,
    show_default=True,
    metavar="N",
    help="Open at once; above it new ones wait in the kernel's queue.",
)
@click.option(
    "--log-level", type=click.Choice(LEVELS), default="warning", show_default=True, help="debug: each connection too."
)
@json_option("Tell the real ports as one line of JSON on stdout when started, instead of in words.")
@debug_option
def serve(
    targets: tuple[str, ...],
    host: str,
    loop: Literal["auto", "uvloop", "asyncio"],
    drain_timeout: float,
    max_connections: int,
    app_dir: str,
    log_level: str,
    as_json: bool,
    **services: Any,
) -> int:
    """Serve until Ctrl+C or SIGTERM.

    \b
    A TARGET is one of:
      ENDPOINT=SERVICE          a built-in service, where you say
      SERVICE                   the same, at its default endpoint
      ENDPOINT=MODULE:HANDLER   your own handler
      ENDPOINT=ONE,TWO...       several on one port, told apart by how their clients begin
      MODULE:ROUTER             your own router, or a function that makes it; no other target beside it
    Without any: all four services.
    """
    plan = build_plan(targets, host, ServiceOptions(**services), app_dir)
    raise_descriptor_limit()
    talk = Talk(plan.services, drain_timeout=drain_timeout, as_json=as_json)
    logs = setup_logging(log_level)
    try:
        return serve_router(
            plan.router,
            loop=loop,
            drain_timeout=drain_timeout,
            limits=Limits(max_connections=max_connections),
            on_started=talk.started,
        )
    finally:
        if logs is not None:
            logs.close()


def raise_descriptor_limit() -> None:
    """Let the process open as many files as its hard limit allows, as servers do; 1024 is for ``select``."""
    try:
        import resource
    except ImportError:
        return  # not a POSIX system
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return  # macOS says "unlimited" and refuses it
