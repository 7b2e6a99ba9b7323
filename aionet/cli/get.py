"""``aionet get``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from ..services.files.client import OnFile, OnProgress, Remote, TreeResult, fetch_tree
from .options import DEFAULT_FILES
from .transfers import transfer, transfer_options

__all__ = ["get"]


@click.command(
    epilog="""\b
Examples:
  python -m aionet get song.ogg                       the file, here
  python -m aionet get song.ogg copy.ogg              under another name
  python -m aionet get tcp://127.0.0.1:5000 music /tmp        a directory, whole
  python -m aionet get tcp://127.0.0.1:5000 'music/*.ogg' .   what the pattern matches
  python -m aionet get big.iso --parallel 4 --limit-rate 50M
  python -m aionet get music . --verify               compare, transfer nothing
\b
Exit codes: 0 all is there, 1 some of it is not, 2 usage, 3 not reached, 4 bad endpoint, 130 interrupted."""
)
@click.argument("words", metavar="[ENDPOINT] NAME... [DESTINATION]", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="The destination: a file or a directory.  [default: the last of several arguments; of one: here]",
)
@click.option("-r", "--recursive", is_flag=True, help="Also directories that a pattern matches.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Connections for one large file.",
)
@transfer_options
def get(
    words: tuple[str, ...],
    output: str | None,
    recursive: bool,
    parallel: int,
    as_json: bool,
    rate: float | None,
    retries: int,
    again: bool,
    verify: bool,
    hash: str | None,
    **options: Any,
) -> int:
    """Fetch files from the files server at ENDPOINT (default: tcp://127.0.0.1:5000).

    A NAME is a file, a directory (fetched with all that is in it; DIRECTORY/. is only what is in it), or a pattern with
    *, ?, [...] or **. As with cp, the last of several arguments is where it goes: a directory, or a file for a file.

    A file gets its name when all of it has arrived, has the hash that the server says, and is on the disk. What was
    broken off stays beside it as .NAME.aionet-part: the same command goes on from there. Files that are there with the
    same size and time are left alone.
    """
    endpoint, names = split_endpoint(words)
    if not names:
        raise click.UsageError(f"which file of {endpoint}? see python -m aionet ls {endpoint}")
    if output is None:
        *names, output = names if len(names) > 1 else (*names, ".")
    if "" in (*names, output):
        raise click.UsageError("an empty name: is a variable unset? all that is served is .")
    if output == "-":
        raise click.UsageError("the destination is a file or a directory: what is not whole is not handed out")
    work = partial(fetch, names, output, recursive=recursive, parallel=parallel, again=again, verify=verify, hash=hash)
    done = "the same" if verify else "fetched"
    return transfer(endpoint, options, work, done=done, as_json=as_json, rate=rate, retries=retries)


def split_endpoint(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """The endpoint, if the first word is one, and the others."""
    return (words[0], list(words[1:])) if "://" in words[0] else (DEFAULT_FILES, list(words))


async def fetch(
    names: list[str], output: str, remote: Remote, progress: OnProgress | None, on_file: OnFile, **options: Any
) -> TreeResult:
    """What :func:`transfer` calls."""
    return await fetch_tree(remote, names, output, progress=progress, on_file=on_file, **options)
