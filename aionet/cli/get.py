"""``aionet get``."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import click

from ..core.loop import run
from ..services.files.client import Fetched, fetch
from .failures import CommandError
from .options import DEFAULT_FILES, debug_option, escape_controls, json_option, timeout_option

__all__ = ["get"]

Report = Callable[[int, int], object]
"""``report(received, total)``, bytes."""


@click.command(
    epilog="""\b
Examples:
  python -m aionet get song.ogg
  python -m aionet get music/song.ogg -o /tmp
  python -m aionet get tcp://127.0.0.1:5000 song.ogg -o copy.ogg --json
\b
Exit codes: 0 fetched, 1 the server refused or failed, 2 usage, 3 not reached, 4 bad endpoint,
130 interrupted (nothing is left behind)."""
)
@click.argument("endpoint", metavar="[ENDPOINT]")
@click.argument("name", default="", metavar="NAME")
@click.option(
    "-o", "--output", metavar="FILE", help="A file, replaced if it is there, or a directory.  [default: NAME, here]"
)
@json_option("One JSON object instead of words: path, size, sha256, mtime_ns, seconds.")
@timeout_option(10.0)
@debug_option
def get(endpoint: str, name: str, output: str | None, as_json: bool, timeout: float) -> None:
    """Fetch the file NAME from the files server at ENDPOINT (default: tcp://127.0.0.1:5000).

    The file gets its name when all of it has arrived and is on the disk; until then it is not there.
    """
    if not name:
        if "://" in endpoint:
            raise click.UsageError(f"which file of {endpoint}? see python -m aionet ls {endpoint}")
        endpoint, name = DEFAULT_FILES, endpoint
    if output == "-":
        raise click.UsageError("-o takes a file or a directory: what is not whole is not handed out")
    started = time.monotonic()
    with progress_bar(name, shown=not as_json and sys.stderr.isatty()) as report:
        fetched = run(fetch_watched(endpoint, name, output, report, timeout), loop="auto")
    seconds = time.monotonic() - started
    click.echo(to_json(fetched, seconds) if as_json else to_line(fetched, seconds))


async def fetch_watched(
    endpoint: str, name: str, output: str | None, report: Report | None, patience: float
) -> Fetched:
    """Fetch, but give up where the server falls silent.

    Raises:
        CommandError: nothing came for ``patience`` seconds. What had come is removed.
        AionetError: whatever :func:`aionet.services.files.client.fetch` raises.
    """
    # Up to the first answer two things may each take that long: to connect, which has an error of its own, to answer.
    silence = anyio.CancelScope(deadline=anyio.current_time() + 2 * patience)

    def progress(received: int, total: int) -> None:
        # With all of it here, only our own disk is waited for.
        silence.deadline = anyio.current_time() + patience if received < total else math.inf
        if report is not None:
            report(received, total)

    with silence:
        return await fetch(endpoint, name, output, progress=progress, connect_timeout=patience)
    raise CommandError(f"the server sent nothing for {patience:g} s", hint="--timeout waits longer")


def to_json(fetched: Fetched, seconds: float) -> str:
    """What arrived, for programs."""
    return json.dumps(
        {
            "path": str(fetched.path),
            "size": fetched.size,
            "sha256": fetched.sha256,
            "mtime_ns": fetched.mtime_ns,
            "seconds": round(seconds, 3),
        }
    )


def to_line(fetched: Fetched, seconds: float) -> str:
    """What arrived, for people; ``sha256sum`` prints the same digest."""
    return f"{escape_controls(str(fetched.path))}: {fetched.size} bytes in {seconds:.1f} s, SHA-256 {fetched.sha256}"


@contextmanager
def progress_bar(name: str, *, shown: bool) -> Iterator[Report | None]:
    """Bytes, speed and time left on standard error, or nothing where nobody looks."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape_controls(name), total=None)
        yield lambda received, total: progress.update(task, completed=received, total=total)
