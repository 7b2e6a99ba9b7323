"""Exceptions to exit codes, in one place.

====  ==========================================================================================
code  meaning
====  ==========================================================================================
0     clean; for ``serve`` also after SIGTERM or SIGINT
1     a defect; for client commands also: the peer refused, failed, or did not answer
2     usage: the command line does not parse
3     could not start: bind, certificate, import; for client commands: the peer was not reached
4     bad configuration: an endpoint, a route, a service, a limit
5     the drain deadline was hit: connections were cut
130   a client command was interrupted (128 + SIGINT)
141   whoever read our output went away (128 + SIGPIPE)
====  ==========================================================================================

What a user reads is ``error: what: why`` and ``hint: what to do`` on standard error; a traceback only for a defect
or with ``--debug``.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Final

import click

from ..errors import AionetError, StartupError
from .options import escape_controls

__all__ = ["DEFECT", "INTERRUPTED", "NOT_STARTED", "OUTPUT_GONE", "CommandError", "exit_code", "innermost", "report"]

DEFECT: Final = 1
USAGE: Final = 2
NOT_STARTED: Final = StartupError.exit_code
INTERRUPTED: Final = 130
OUTPUT_GONE: Final = 141


class CommandError(AionetError):
    """A client command could not do what it was asked: the peer refused, failed, or did not answer."""


def report(exc: BaseException, *, debug: bool = False) -> int:
    """Say on standard error what went wrong, and return the exit code."""
    exc = innermost(exc)
    code = exit_code(exc)
    if code in (INTERRUPTED, OUTPUT_GONE) and not debug:
        if code == OUTPUT_GONE:
            _discard_output()
        return code
    expected = isinstance(exc, (AionetError, click.ClickException, OSError))
    if debug or not expected:
        traceback.print_exception(exc)
    _say(*_describe(exc, expected=expected))
    return code


def exit_code(exc: BaseException) -> int:
    """The exit code that stands for this exception."""
    if isinstance(exc, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED
    if isinstance(exc, BrokenPipeError):
        return OUTPUT_GONE
    if isinstance(exc, click.UsageError):
        return USAGE
    return exc.exit_code if isinstance(exc, AionetError) else DEFECT


def innermost(exc: BaseException) -> BaseException:
    """What a task group wrapped: its only exception, or the first that speaks to the user."""
    while isinstance(exc, BaseExceptionGroup):
        ours = [inner for inner in exc.exceptions if isinstance(inner, (AionetError, BaseExceptionGroup))]
        exc = (ours or exc.exceptions)[0]
    return exc


def _describe(exc: BaseException, *, expected: bool) -> tuple[str, str | None]:
    if isinstance(exc, click.UsageError):
        command = f"{exc.ctx.command_path} --help" if exc.ctx is not None else "python -m aionet --help"
        return exc.format_message(), f"see {command}"
    if isinstance(exc, click.ClickException):
        return exc.format_message(), None
    if isinstance(exc, AionetError):
        return str(exc) or type(exc).__name__, exc.hint
    if expected and isinstance(exc, OSError):
        place = f"{exc.filename}: " if exc.filename is not None else ""
        return f"{place}{exc.strerror or exc}", None
    return (
        f"{type(exc).__name__}: {exc}",
        "this is a defect of aionet or of the program it runs; the traceback says where",
    )


def _say(what: str, hint: str | None) -> None:
    """What went wrong may quote a peer: a terminal shows its control characters, and obeys none."""
    for word, text in (("error", what), ("hint", hint)):
        if text:
            click.echo(f"{word}: " + "\n".join(escape_controls(line) for line in text.split("\n")), err=True)


def _discard_output() -> None:
    """Python flushes standard output once more at exit, and would complain there."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
