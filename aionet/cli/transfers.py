"""What ``get`` and ``put`` share: options, running, and what is said of each file and of all of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import click

from ..core.loop import run
from ..services.files.client import Failed, OnFile, OnProgress, Remote, Transferred, TreeResult
from ..services.files.errors import TransferError
from ..services.files.hashing import ALGORITHMS
from .failures import DEFECT
from .options import debug_option, escape_controls, json_option, parse_endpoint, timeout_option, tls_options
from .progress import progress_bars

__all__ = ["ServerOptions", "Work", "make_remote", "parse_rate", "server_options", "transfer", "transfer_options"]

F = TypeVar("F", bound=Callable[..., Any])

Work = Callable[[Remote, OnProgress | None, OnFile], Awaitable[TreeResult]]
"""``await work(remote, progress, on_file)``."""

ServerOptions = dict[str, Any]
"""What :func:`server_options` said: ``ca``, ``cert``, ``key``, ``insecure``, ``token``, ``timeout``."""

_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]?)(?:i?B)?(?:/s)?")
_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_rate(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """``10M`` as bytes a second, in powers of 1024 as with curl and wget."""
    if value is None:
        return None
    match = _RATE.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is no rate: 500K, 10M, 1.5G (bytes a second)", ctx, parameter)
    return float(match[1]) * _UNITS[match[2].upper()]


def server_options(command: F) -> F:
    """Whom to talk to, and as whom."""
    for option in (
        debug_option,
        timeout_option(30.0),
        tls_options,
        click.option(
            "--token",
            envvar="AIONET_TOKEN",
            show_envvar=True,
            metavar="TOKEN",
            help="Say this token to the server; better in the environment, where other users do not see it.",
        ),
    ):
        command = option(command)
    return command


def transfer_options(command: F) -> F:
    """How to transfer, and what to say of it; those of :func:`server_options` too."""
    for option in (
        server_options,
        json_option("One JSON object a line: one for each file, then a summary."),
        click.option("--verify", is_flag=True, help="Transfer nothing: compare by hash what is on both sides."),
        click.option(
            "--hash",
            type=click.Choice(["sha256", "blake3"]),
            help="Of the digests; sha256 is what sha256sum shows.  [default: blake3 where both sides have it]",
        ),
        click.option("--again", is_flag=True, help="Also files that are there with the same size and time."),
        click.option(
            "--limit-rate", "rate", metavar="RATE", callback=parse_rate, help="Bytes a second: 500K, 10M, 1.5G."
        ),
        click.option(
            "--retries",
            type=click.IntRange(min=0),
            default=5,
            show_default=True,
            help="Broken connections in a row, without progress between them, that are borne.",
        ),
    ):
        command = option(command)
    return command


def make_remote(endpoint: str, options: ServerOptions, **more: Any) -> Remote:
    """The server of these options.

    Raises:
        ConfigError: an endpoint, a token or a rate that is none.
    """
    where = parse_endpoint(endpoint, options["ca"], options["cert"], options["key"], options["insecure"])
    return Remote(where, token=options["token"], timeout=options["timeout"], **more)


def transfer(
    endpoint: str, options: ServerOptions, work: Work, *, done: str, as_json: bool, rate: float | None, retries: int
) -> int:
    """Do it, say what came of it, and return the exit code.

    Args:
        endpoint: Of the server.
        options: As :func:`server_options` gave them.
        work: What to do.
        done: What has been done then, in a word: ``fetched``.
        as_json: For programs.
        rate: Bytes a second, or ``None``.
        retries: As of :class:`Remote`.

    Raises:
        AionetError: nothing could be begun, or the server is gone for good.
        KeyboardInterrupt: it was interrupted; it has been said what that means.
    """
    report = _Report(done, as_json=as_json)

    async def run_work() -> TreeResult:
        async with make_remote(endpoint, options, rate=rate, retries=retries) as remote:
            with progress_bars(shown=not as_json) as progress:
                return await work(remote, progress, report.add)

    started = time.monotonic()
    try:
        result = run(run_work(), loop="auto")
    except KeyboardInterrupt:
        click.echo(
            f"interrupted: {report.count} files {done}; the same command goes on where this one stopped", err=True
        )
        raise
    report.finish(result, time.monotonic() - started)
    return DEFECT if result.failures else 0


class _Report:
    """Says what came of each file, and of all of them."""

    def __init__(self, done: str, *, as_json: bool) -> None:
        self._done = done
        self._json = as_json
        self.count = 0

    def add(self, file: Transferred | Failed) -> None:
        """A file is done with. What failed is told at once; what did not, to people, only if it was the only one."""
        self.count += isinstance(file, Transferred)
        if self._json:
            click.echo(json.dumps(_describe(file, self._done)))
        elif isinstance(file, Failed):
            click.echo(f"error: {_reason(file)}", err=True)

    def finish(self, result: TreeResult, seconds: float) -> None:
        """All is done."""
        unchanged = sum(file.unchanged for file in result.files)
        count = len(result.files) - unchanged
        size = sum(file.size for file in result.files if not file.unchanged)
        if self._json:
            counts = {self._done: count, "unchanged": unchanged, "failed": len(result.failures)}
            summary = {**counts, "left_out": result.left_out, "size": size, "seconds": round(seconds, 3)}
            click.echo(json.dumps({"summary": summary}))
            return
        if len(result.files) == 1 and count == 1 and not result.failures:
            file = result.files[0]
            path = escape_controls(str(file.path))
            click.echo(f"{path}: {size} bytes in {seconds:.1f} s, {ALGORITHMS[file.hash].title} {file.digest}")
        else:
            speed = f", {size / seconds / 1e6:.1f} MB/s" if seconds > 0 and size else ""
            more = f"; {unchanged} unchanged" if unchanged else ""
            more += f"; {len(result.failures)} failed" if result.failures else ""
            click.echo(f"{count} files {self._done}, {size} bytes in {seconds:.1f} s{speed}{more}")
        if result.left_out:
            click.echo(f"{result.left_out} links, special files or unspeakable names were left out", err=True)


def _describe(file: Transferred | Failed, done: str) -> dict[str, object]:
    if isinstance(file, Failed):
        code = file.error.code if isinstance(file.error, TransferError) else type(file.error).__name__
        return {"outcome": "failed", "name": file.name, "path": str(file.path), "code": code, "reason": str(file.error)}
    return {
        "outcome": "unchanged" if file.unchanged else done,
        "name": file.name,
        "path": str(file.path),
        "size": file.size,
        "hash": file.hash or None,
        "digest": file.digest or None,
        "mtime_ns": file.mtime_ns,
    }


def _reason(file: Failed) -> str:
    hint = f" ({file.error.hint})" if file.error.hint else ""
    return escape_controls(f"{file.name}: {file.error}{hint}")
