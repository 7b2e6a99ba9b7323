"""What several commands share: options, default endpoints, and what was said before the command."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from ..endpoint import Endpoint

__all__ = [
    "DEFAULT_CHAT",
    "DEFAULT_FILES",
    "Settings",
    "debug_option",
    "encode_text",
    "escape_controls",
    "json_option",
    "parse_endpoint",
    "timeout_option",
    "tls_options",
]

DEFAULT_CHAT: Final = "tcp://127.0.0.1:9999"
DEFAULT_FILES: Final = "tcp://127.0.0.1:5000"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What holds for the whole command line, wherever it was said."""

    debug: bool = False


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Settings).debug = True


def debug_option(command: F) -> F:
    """``--debug``: tracebacks. Before the command or behind it."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_debug,
        help="Show tracebacks of errors.",
    )(command)


def _refuse_nan(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("nan is no number of seconds", ctx, parameter)
    return value


def json_option(what: str) -> Callable[[F], F]:
    """``--json``: one line for programs on standard output."""
    return click.option("--json", "as_json", is_flag=True, help=what)


def timeout_option(default: float) -> Callable[[F], F]:
    """``--timeout``: seconds to connect, and to wait for an answer."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=default,
        show_default=True,
        metavar="SECONDS",
        callback=_refuse_nan,
        help="To connect, and to wait for an answer.",
    )


def tls_options(command: F) -> F:
    """``--ca``, ``--cert``, ``--key`` and ``--insecure``, for :func:`parse_endpoint`."""
    for option in (
        click.option("--insecure", is_flag=True, help="tls, wss: do not check the server's certificate."),
        click.option("--key", metavar="FILE", help="tls, wss: PEM file of its key.  [default: in --cert]"),
        click.option("--cert", metavar="FILE", help="tls, wss: PEM file of the certificate to show."),
        click.option("--ca", metavar="FILE", help="tls, wss: PEM file of the CAs to trust.  [default: the system's]"),
    ):
        command = option(command)
    return command


def parse_endpoint(text: str, ca: str | None, cert: str | None, key: str | None, insecure: bool) -> Endpoint:
    """The endpoint, with what :func:`tls_options` said.

    Raises:
        EndpointError: it does not parse, or is none of TLS.
    """
    wanted: dict[str, str | bool | None] = {"ca": ca, "cert": cert, "key": key, "verify": False if insecure else None}
    return Endpoint.parse(text).with_options(**{name: value for name, value in wanted.items() if value is not None})


def encode_text(text: str) -> bytes:
    """An argument of the command line as the bytes it was: whatever they were, they are not refused here."""
    return text.encode("utf-8", "surrogateescape")


def escape_controls(text: str) -> str:
    """What a server named, safe for a terminal: everything without ink of its own is written out (``\\x1b``)."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
