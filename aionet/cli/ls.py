"""``aionet ls``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import anyio
import click

from ..core.loop import run
from ..services.files.client import Listing, list_tree
from ..services.files.entries import Entry
from .failures import CommandError
from .options import DEFAULT_FILES, escape_controls, json_option
from .transfers import ServerOptions, make_remote, server_options

__all__ = ["ls"]

SECOND = 1_000_000_000
"""Nanoseconds."""


@click.command(
    epilog="""\b
Examples:
  python -m aionet ls
  python -m aionet ls music
  python -m aionet ls 'music/**/*.ogg'
  python -m aionet ls tcp://127.0.0.1:5000 music -r --json
\b
Exit codes: 0 listed, 1 the server refused or failed, 2 usage, 3 not reached, 4 bad endpoint."""
)
@click.argument("endpoint", default=DEFAULT_FILES)
@click.argument("name", default="")
@click.option("-r", "--recursive", is_flag=True, help="With all that is in its directories.")
@json_option("One JSON object instead: entries (name, size, mtime_ns, directory), left_out.")
@server_options
def ls(endpoint: str, name: str, recursive: bool, as_json: bool, **options: Any) -> None:
    """List NAME (default: the directory served) of the files server at ENDPOINT: a directory, a file, or what a pattern
    with *, ?, [...] or ** matches.

    The default of ENDPOINT is tcp://127.0.0.1:5000; a single argument without :// is a NAME there.
    """
    if "://" not in endpoint and not name:
        endpoint, name = DEFAULT_FILES, endpoint
    listing = run(list_in_time(endpoint, name, options, recursive=recursive), loop="auto")
    if as_json:
        click.echo(to_json(listing))
        return
    for line in to_lines(listing):
        click.echo(line)
    if listing.left_out:
        click.echo(f"and {listing.left_out} more that cannot be asked for", err=True)


async def list_in_time(endpoint: str, name: str, options: ServerOptions, *, recursive: bool) -> Listing:
    """List, but give up where the server does not answer.

    Raises:
        CommandError: the whole answer took too long.
        AionetError: whatever :func:`aionet.services.files.list_tree` raises.
    """
    patience = options["timeout"]
    with anyio.move_on_after(2 * patience):  # to connect, which has an error of its own, and to answer
        async with make_remote(endpoint, options) as remote:
            return await list_tree(remote, name, recursive=recursive)
    raise CommandError(f"no whole answer within {patience:g} s", hint="--timeout waits longer")


def to_json(listing: Listing) -> str:
    """The listing for programs."""
    entries = [
        {"name": entry.name, "size": entry.size, "mtime_ns": entry.mtime_ns, "directory": entry.is_directory}
        for entry in listing.entries
    ]
    return json.dumps({"entries": entries, "left_out": listing.left_out})


def to_lines(listing: Listing) -> list[str]:
    """The listing for people: size in bytes, time of the last change, name; a directory's name ends with a slash."""
    width = max((len(_size(entry)) for entry in listing.entries), default=0)
    return [
        f"{_size(entry):>{width}}  {_time(entry)}  {escape_controls(entry.name)}{'/' if entry.is_directory else ''}"
        for entry in listing.entries
    ]


def _size(entry: Entry) -> str:
    return "-" if entry.is_directory else str(entry.size)


def _time(entry: Entry) -> str:
    """Local time. What no calendar holds (a server may send any number) is left blank."""
    try:
        when = datetime.fromtimestamp(entry.mtime_ns / SECOND, UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return " " * 16
    return f"{when:%Y-%m-%d %H:%M}" if entry.mtime_ns else " " * 16
