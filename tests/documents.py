"""What tests of README.md and docs/ share: their blocks, tables and anchors, a shell, and a served aionet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["ENVIRONMENT", "ROOT", "WAIT", "anchors", "blocks", "headings", "rows", "serve", "serve_endpoints", "shell"]

ROOT: Final = Path(__file__).parent.parent
ENVIRONMENT: Final = {
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "error",
    "LC_ALL": "C.UTF-8",
}
WAIT: Final = 30.0
"""Seconds until a command that should end counts as never ending."""


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each heading, in order. What looks like one inside a block is none."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", outside, re.M)]


def anchors(text: str) -> set[str]:
    """What a link may name behind ``#``: headings in small letters, without punctuation, with dashes for spaces."""
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for _, words in headings(text)}


def rows(text: str, header: str) -> list[list[str]]:
    """The cells of the table with this first line, without its head."""
    _, _, rest = text.partition(f"{header}\n")
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def shell(
    command: str, cwd: Path, stdin: str = "", *, mixed: bool = False, environment: dict[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    """Run a command line; ``mixed`` puts standard error where output goes, as a terminal does."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=cwd,
        env=environment,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if mixed else subprocess.PIPE,
        text=True,
        timeout=WAIT,
        check=False,
    )


@contextmanager
def serve_endpoints(cwd: Path, *targets: str) -> Iterator[list[dict[str, Any]]]:
    """``python -m aionet serve``; what it says of each endpoint, in the order of the targets. It has to end well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aionet", "serve", "--json", *targets],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        started: dict[str, Any] = json.loads(process.stdout.readline())
        yield started["endpoints"]
    finally:
        process.terminate()
        process.communicate(timeout=WAIT)
    assert process.returncode == 0


@contextmanager
def serve(cwd: Path, *targets: str) -> Iterator[dict[str, int]]:
    """The same; ports by ``scheme:name``."""
    with serve_endpoints(cwd, *targets) as endpoints:
        yield {f"{each['scheme']}:{each['name']}": each["port"] for each in endpoints}
