"""``aionet put``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from ..services.files.client import OnFile, OnProgress, Remote, TreeResult, upload_tree
from .get import split_endpoint
from .transfers import transfer, transfer_options

__all__ = ["put"]


@click.command(
    epilog="""\b
Examples:
  python -m aionet put song.ogg                       to the directory served
  python -m aionet put *.ogg music/                   to a directory below it, made if it is not there
  python -m aionet put tcp://127.0.0.1:5000 album     a directory, with all that is in it
  python -m aionet put song.ogg -o other.ogg          under another name
  python -m aionet put album --verify                 compare, transfer nothing
\b
Exit codes: 0 all is there, 1 some of it is not, 2 usage, 3 not reached, 4 bad endpoint, 130 interrupted."""
)
@click.argument("words", metavar="[ENDPOINT] FILE... [NAME/]", nargs=-1, required=True)
@click.option("-o", "--output", metavar="NAME", help="What it is called on the server, or the directory it goes to.")
@click.option(
    "-r", "--recursive", is_flag=True, expose_value=False, help="Accepted: directories are sent whole anyway."
)
@transfer_options
def put(
    words: tuple[str, ...],
    output: str | None,
    as_json: bool,
    rate: float | None,
    retries: int,
    again: bool,
    verify: bool,
    hash: str | None,
    **options: Any,
) -> int:
    """Send files to the files server at ENDPOINT (default: tcp://127.0.0.1:5000), if it takes any.

    A FILE may be a directory: it is sent with all that is in it, but for links and special files; DIRECTORY/. is only
    what is in it. A last argument that ends with a slash is the server's directory it goes to.

    On the server, a file gets its name when all of it has arrived, has the hash that we say, and is on the disk. What
    was broken off is kept there: the same command goes on from there. Files that are there with the same size and time
    are left alone.
    """
    endpoint, paths = split_endpoint(words)
    if output is None:
        output = paths.pop() if len(paths) > 1 and paths[-1].endswith("/") else ""
    if not paths:
        raise click.UsageError(f"which file shall {endpoint} get?")
    if "" in paths:
        raise click.UsageError("an empty name: is a variable unset?")
    if "-" in paths:
        raise click.UsageError("standard input has no size: put it into a file first")
    work = partial(send, paths, output, again=again, verify=verify, hash=hash)
    done = "the same" if verify else "sent"
    return transfer(endpoint, options, work, done=done, as_json=as_json, rate=rate, retries=retries)


async def send(
    paths: list[str], output: str, remote: Remote, progress: OnProgress | None, on_file: OnFile, **options: Any
) -> TreeResult:
    """What :func:`transfer` calls."""
    return await upload_tree(remote, paths, output, progress=progress, on_file=on_file, **options)
