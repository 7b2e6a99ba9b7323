"""The root command. Only what ``--help`` needs is imported here; a command's own file when it is called."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from .. import __version__
from ..core.loop import NATIVE
from .failures import report
from .options import Settings, debug_option

__all__ = ["COMMANDS", "main", "open_standard_streams", "root"]

COMMANDS: Final = {
    "serve": "Serve handlers, yours or the built-in ones, until stopped.",
    "check": "Show what serve would do: which first bytes reach what; nothing is bound.",
    "send": "Send text or stdin to an endpoint and print what comes back; or listen.",
    "http": "Fetch a URL and show how long each phase took.",
    "sockinfo": "Connect and show the socket's options, TCP_INFO and TLS.",
    "chat": "Join a chat server and talk.",
    "ls": "List what a files server offers.",
    "get": "Fetch files and directories from a files server.",
    "put": "Send files and directories to a files server.",
    "scan": "Find out which ports of your hosts are open.",
    "resolve": "Look up names, addresses, services, and this machine.",
    "bench": "Put load on a server; count, time and check its answers.",
}
"""Commands, in the order of ``--help``, and what they do: listed without importing them."""

PROGRAM: Final = "python -m aionet"


class LazyGroup(click.Group):
    """Finds the command ``name`` as the attribute ``name`` of the module ``aionet.cli.name``, when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"{__package__}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise click.UsageError(f"no command {name!r}: {guess}known: {', '.join(COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  python -m aionet                                    the four services on loopback
  python -m aionet serve tcp://127.0.0.1:7000=echo    one service, where you say
  python -m aionet serve myapp:router                 your own handlers
  python -m aionet send tcp://127.0.0.1:8080 hello    and what comes back
\b
Exit codes: 0 clean, 1 failed or defect, 2 usage, 3 could not start or connect,
4 bad configuration, 5 drain deadline hit, 130 interrupted.""",
)
@click.version_option(
    __version__,
    "-V",
    "--version",
    prog_name="aionet",
    message=f"%(prog)s, version %(version)s ({'native' if NATIVE else 'event loop'} transports)",
)
@debug_option
@click.pass_context
def root(ctx: click.Context) -> int | None:
    """A server for protocols that are not HTTP: yours, or the four that come with it.

    Without a command: serve echo (tcp 8080), datagram (udp 8080), chat (tcp 9999) and files (tcp 5000, from
    shared_files/) on loopback, until Ctrl+C.
    """
    if ctx.invoked_subcommand is not None:
        return None
    command = root.get_command(ctx, "serve")
    assert command is not None
    with command.make_context("serve", [], parent=ctx) as serving:
        code: int = command.invoke(serving)
    return code


def open_standard_streams() -> None:
    """Put the null device where standard input, output or error were closed (``<&-``, some daemons).

    Otherwise the next socket gets that number: what is printed would go to a peer, and libuv aborts the process.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            stream = open(descriptor, "w" if descriptor else "r", closefd=False)  # noqa: SIM115 - for good
            setattr(sys, name, stream)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Never raises, except for what ``SystemExit`` demands."""
    open_standard_streams()
    settings = Settings()
    words: list[str] = list(sys.argv[1:] if args is None else args)
    try:
        code = _invoke(words, settings)
        sys.stdout.flush()
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (Exception, KeyboardInterrupt) as exc:
        return report(exc, debug=settings.debug)
    return code


def _invoke(words: list[str], settings: Settings) -> int:
    with root.make_context(PROGRAM, words, obj=settings) as ctx:
        result: Any = root.invoke(ctx)
    return result if isinstance(result, int) else 0
