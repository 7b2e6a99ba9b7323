"""``aionet http``."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, BinaryIO

import click

from ..client.http import MAX_SIZE, Head, Response, fetch
from ..core.loop import run
from ..core.tls import certificate_hint
from ..errors import ConnectError
from .describe import address_text, bars, tcp_dict, tls_dict, tls_lines
from .failures import CommandError
from .options import debug_option, escape_controls, json_option, timeout_option, tls_options
from .output import Output

__all__ = ["http"]

Write = Callable[[bytes], object]


def _read_header(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    headers = []
    for value in values:
        name, colon, rest = value.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{value!r} is no header; such as 'Accept: text/plain'", ctx, parameter)
        headers.append((name.strip(), rest.strip()))
    return headers


@click.command(
    epilog="""\b
Examples:
  python -m aionet http http://127.0.0.1:8000/
  python -m aionet http -X HEAD https://www.example.com
  python -m aionet http -H 'Accept: application/json' https://api.example.com/status --json
  python -m aionet http https://www.example.com/file.iso -o file.iso --max-size 1000000000
  python -m aionet http --ca ca.pem https://localhost:7443/
\b
Exit codes: 0 fetched, 1 a status of 400 or more, no whole answer, or no HTTP, 2 usage,
3 not reached, or TLS refused, 4 bad URL or header."""
)
@click.argument("url")
@click.option("-X", "--request", "method", default="GET", show_default=True, metavar="METHOD", help="Such as HEAD.")
@click.option("-H", "--header", "headers", multiple=True, callback=_read_header, metavar="'NAME: VALUE'", help="Sent.")
@click.option("-o", "--output", metavar="FILE", help="Where the content goes, replaced if it is there.")
@click.option("-i", "--include", is_flag=True, help="Status line and headers before the content, not on stderr.")
@click.option(
    "--max-size",
    type=click.IntRange(min=0),
    default=MAX_SIZE,
    show_default=True,
    metavar="BYTES",
    help="Of content; more of it is an error.",
)
@click.option(
    "--max-redirects", type=click.IntRange(min=0), default=10, show_default=True, metavar="N", help="0: follow none."
)
@click.option(
    "--max-time",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="For everything, redirects too.",
)
@json_option("One JSON object instead, with the content in it unless -o says where it goes.")
@timeout_option(10.0)
@tls_options
@debug_option
def http(
    url: str,
    method: str,
    headers: list[tuple[str, str]],
    output: str | None,
    include: bool,
    max_size: int,
    max_redirects: int,
    max_time: float,
    as_json: bool,
    timeout: float,
    ca: str | None,
    cert: str | None,
    key: str | None,
    insecure: bool,
) -> None:
    """Fetch URL; content to stdout, byte for byte, and what is to be said about it to stderr.

    That is: redirects, status, headers, TLS, and how long each phase took. On a terminal, control characters in the
    content are shown and not obeyed. --timeout is also how long the server may be silent.
    """
    if as_json and include:
        raise click.UsageError("--json has the headers in it: --include is for the content alone")

    def on_head(head: Head) -> None:
        if include:
            write(_raw_head(head))
        if not as_json:
            for line in head_lines(head, headers=not include):
                _say(line)

    with _sink(output, as_json) as write, _hints():
        response = run(
            fetch(
                url,
                method=method,
                headers=headers,
                max_size=max_size,
                max_redirects=max_redirects,
                timeout=timeout,
                max_time=max_time,
                ca=ca,
                cert=cert,
                key=key,
                verify=not insecure,
                on_head=on_head,
                write=None if as_json and output is None else write,
            ),
            loop="auto",
        )
    if as_json:
        click.echo(json.dumps(to_dict(response, output)))
    else:
        for line in end_lines(response):
            _say(line)
    status = response.head.status
    if status >= HTTPStatus.BAD_REQUEST:
        raise CommandError(f"the server answered {status} {response.head.reason}".rstrip())


@contextmanager
def _hints() -> Iterator[None]:
    """What to do about a certificate, in words of the command line."""
    try:
        yield
    except ConnectError as exc:
        code = getattr(exc.__cause__, "verify_code", None)
        if code is not None:
            exc.hint = certificate_hint(code, ca="--ca FILE", anybody="--insecure")
        raise


def _say(line: str) -> None:
    click.echo(line, err=True)


@contextmanager
def _sink(output: str | None, as_json: bool) -> Iterator[Write]:
    """Where the content goes. A file gets its name when all has come; until then, what was there stays there."""
    if output is None or output == "-":
        if as_json and output == "-":
            raise click.UsageError("--json is on stdout: -o needs a file's name")
        stdout = Output()
        try:
            yield stdout
        finally:
            stdout.finish()
        return
    if os.path.isdir(output):
        raise click.UsageError(f"-o {output}: a directory; the content needs a file's name")
    if os.path.exists(output) and not os.path.isfile(output):  # a device, a pipe: written to, not replaced
        with open(output, "wb") as device:
            yield device.write
        return
    with _replaced(output) as file:
        yield file.write


@contextmanager
def _replaced(path: str) -> Iterator[BinaryIO]:
    """A file that becomes ``path`` at the end, unless something is raised."""
    path = os.path.realpath(path)
    descriptor, partial = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            yield file
        os.chmod(partial, os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _raw_head(head: Head) -> bytes:
    lines = [f"HTTP/{head.http_version} {head.status} {head.reason}", *(f"{n}: {v}" for n, v in head.headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def head_lines(head: Head, *, headers: bool) -> list[str]:
    """Redirects, connection, TLS; and with ``headers`` the status line and the headers."""
    lines = [f"{step.status} redirect from {escape_controls(step.url)}" for step in head.redirects]
    lines.append(f"{escape_controls(head.url)} at {address_text(head.socket.peer)}")
    if head.tls is not None:
        lines += [f"TLS {name:<11}  {value}" for name, value in tls_lines(head.tls, head.certificate)]
    if headers:
        lines.append(escape_controls(f"HTTP/{head.http_version} {head.status} {head.reason}"))
        lines += [escape_controls(f"{name}: {value}") for name, value in head.headers]
    return lines


def end_lines(response: Response) -> list[str]:
    """Size and timings."""
    timings = response.timings
    phases = [("look-up", timings.lookup), ("connect", timings.connect)]
    if timings.tls is not None:
        phases.append(("TLS", timings.tls))
    phases += [("first byte", timings.first_byte), ("content", timings.content)]
    drawn = bars(phases, block="\u2588" if _is_unicode() else "#")
    return [*drawn, f"{response.size} bytes in {timings.total:.3f} s"]


def _is_unicode() -> bool:
    return (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"


def to_dict(response: Response, output: str | None) -> dict[str, Any]:
    """The answer, for programs."""
    head = response.head
    found: dict[str, Any] = {
        "url": head.url,
        "status": head.status,
        "reason": head.reason,
        "http_version": head.http_version,
        "headers": [list(pair) for pair in head.headers],
        "redirects": [asdict(step) for step in head.redirects],
        "peer": head.socket.peer,
        "local": head.socket.local,
        "tcp_info": tcp_dict(head.socket),
        "tls": tls_dict(head.tls, head.certificate),
        "timings": asdict(response.timings),
        "size": response.size,
    }
    if output is not None:
        return found | {"file": output}
    try:
        return found | {"content": response.content.decode("utf-8")}
    except UnicodeDecodeError:
        return found | {"content_base64": base64.b64encode(response.content).decode("ascii")}
