"""docs/cheatsheet.md: every section is there, and every block and command runs and prints what it says.

Ports written there are put in place of those that the system chose; nothing else is changed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from .documents import ENVIRONMENT, ROOT, WAIT, anchors, blocks, headings, rows, serve_endpoints, shell
from .tools import require

TEXT: Final = (ROOT / "docs" / "cheatsheet.md").read_text(encoding="utf-8")

ORIGINAL: Final = """\
## Overview
## Socket Types & Protocols
### Common Combinations
## Core Socket Methods
## Socket Configuration Methods
### Common Socket Options
## Module-Level Functions
### Examples
## TCP Server Example
## TCP Client Example
## UDP Server Example
## UDP Client Example
## Multi-Client TCP Server (Threading)
## HTTP Client Example
## Port Scanner Example
## Chat Application Example
### Chat Server
### Chat Client
## File Transfer Example
### File Server
### File Client
## Exception Handling
### Exception Handling Example
## Best Practices
### Do's
### Don'ts
## Common Patterns
### Pattern 1: Send All Data
### Pattern 2: Receive Exact Amount
### Pattern 3: Send/Receive with Length Prefix
### Pattern 4: Context Manager
## Performance Tips
### 1. Buffer Sizes
### 2. TCP_NODELAY (Disable Nagle's Algorithm)
### 3. Non-Blocking Sockets with Select
## Security Considerations
### Important Security Notes
## Quick Reference
## Useful Resources
"""
"""The headings of the cheat sheet, in its order, without pictures: it is not part of this project."""

SECTIONS: Final = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", TEXT, re.M))
START: Final = TEXT.partition("\n## ")[0]
FOUR: Final = (
    "tcp://127.0.0.1:8080=echo",
    "udp://127.0.0.1:8080=datagram",
    "tcp://127.0.0.1:9999=chat",
    "tcp://127.0.0.1:5000=files",
)
"""What ``python -m aionet serve`` serves without a target."""

ENDPOINT: Final = re.compile(r"(?P<before>(?P<scheme>\w+)://[^\s:/\"']+:)(?P<port>\d+)")
PORT_LIST: Final = re.compile(r"(?P<before>--ports |ports=\[)(?P<ports>[\d, ]+)")


class Stage:
    """Where a section's blocks run, one after the other, as its reader would run them.

    Args:
        cwd: The directory it all happens in.
        ports: The real port for each of those written in the text, by protocol and port.
        leaving: What ends the servers that were started.
    """

    def __init__(self, cwd: Path, ports: dict[tuple[str, str], int], leaving: ExitStack) -> None:
        self.cwd = cwd
        self.ports = ports
        self.leaving = leaving

    def run(self, text: str) -> None:
        for language, block in blocks(text):
            if language == "python":
                self.python(block)
            else:
                assert language == "console", f"a block that nobody runs: {language}"
                self.console(block)

    def python(self, block: str) -> None:
        """A block that begins with ``# name.py`` is that file, for a command to use; any other is run."""
        named = re.match(r"# (\w+\.py)\n", block)
        text = block if named and "router = " in block else self.real(block)
        (self.cwd / (named[1] if named else "block.py")).write_text(text)
        if not named:
            done = shell("python block.py", self.cwd)
            assert (done.returncode, done.stderr) == (0, "")

    def console(self, block: str) -> None:
        """``$ command``, and what it prints; one that ends with ``&`` goes on until the section ends."""
        assert block.startswith("$ ")
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            found = re.fullmatch(r"((?:.*\\\n)*.*)\n((?:.*\n)*)", part)
            assert found is not None
            command, wanted = found.groups()
            if command.endswith(" &"):
                self.background(command.removesuffix(" &"))
            else:
                self.command(command, wanted)

    def command(self, command: str, wanted: str) -> None:
        done = shell(self.real(command), self.cwd, mixed=True)
        printed = self.written(done.stdout)
        assert re.fullmatch(pattern(wanted), squeezed(printed)), f"$ {command}\n{printed}\nwanted:\n{wanted}"
        fails = "error:" in wanted and "|" not in command and "echo $?" not in command
        assert bool(done.returncode) is fails, f"$ {command}\nexit code {done.returncode}"

    def background(self, command: str) -> None:
        python, _, program, *words = shlex.split(command)
        assert python == "python"
        if program == "http.server":
            self.ports["tcp", words[0]] = self.leaving.enter_context(web_server(self.cwd, *words[1:]))
            return
        assert (program, words.pop(0)) == ("aionet", "serve")
        words = words or list(FOUR)
        asked = [self.free(self.cwd / f"{word.removesuffix(':router')}.py") for word in words if ":router" in word]
        asked += [ENDPOINT.findall(word) for word in words]
        words = [ENDPOINT.sub(r"\g<before>0", word) for word in words]
        started = self.leaving.enter_context(serve_endpoints(self.cwd, *words))
        listening = [endpoint["port"] for endpoint in started if endpoint["scheme"] != "unix"]
        for (_, scheme, port), real in zip(chain.from_iterable(asked), listening, strict=True):
            self.ports[protocol(scheme), port] = real

    def free(self, file: Path) -> list[tuple[str, ...]]:
        """Let the system choose this program's ports; returns those that were written there."""
        source = file.read_text()
        file.write_text(ENDPOINT.sub(r"\g<before>0", source))
        return ENDPOINT.findall(source)

    def real(self, text: str) -> str:
        """The text with the real ports. One where nobody listens stays as it is."""

        def in_endpoint(found: re.Match[str]) -> str:
            return f"{found['before']}{self.ports.get((protocol(found['scheme']), found['port']), found['port'])}"

        def in_list(found: re.Match[str]) -> str:
            return found["before"] + re.sub(r"\d+", lambda one: str(self.ports.get(("tcp", one[0]), one[0])), found[2])

        return PORT_LIST.sub(in_list, ENDPOINT.sub(in_endpoint, text))

    def written(self, text: str) -> str:
        """The text with the ports that stand in the document."""
        for (_, port), real in self.ports.items():
            text = re.sub(rf"\b{real}\b", port, text)
        return text


def protocol(scheme: str) -> str:
    """What a port belongs to: TCP and UDP have their own."""
    return "udp" if scheme == "udp" else "tcp"


def squeezed(text: str) -> str:
    """Without the spaces that make columns; ports of other lengths move them. The last line is ended."""
    return "".join(f"{' '.join(line.split())}\n" for line in text.splitlines())


def pattern(wanted: str) -> str:
    """An expression for what should be printed: ``...`` is anything in a line, or, alone on one, any lines."""
    lines = [re.escape(line).replace(r"\.\.\.", ".*") for line in squeezed(wanted).splitlines()]
    return "".join("(?:.*\n)*" if line == ".*" else f"{line}\n" for line in lines)


@contextmanager
def web_server(cwd: Path, *options: str) -> Iterator[int]:
    """``python -m http.server``; its port."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", *options],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = re.search(r"port (\d+)", process.stdout.readline())
        assert said is not None
        yield int(said[1])
    finally:
        process.terminate()
        process.communicate(timeout=WAIT)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What the page assumes: its first block was run."""
    with ExitStack() as leaving:
        stage = Stage(tmp_path_factory.mktemp("cheatsheet"), {}, leaving)
        stage.run(START)
        yield stage


@pytest.mark.parametrize("section", SECTIONS)
def test_what_a_section_says_is_so(section: str, started: Stage) -> None:
    if "openssl" in SECTIONS[section]:
        require("openssl")
    with ExitStack() as leaving:
        stage = Stage(started.cwd, dict(started.ports), leaving)
        stage.run(SECTIONS[section])


def test_every_section_has_its_place_in_the_same_order() -> None:
    found = [f"{'#' * level} {words}\n" for level, words in headings(TEXT) if level > 1]
    assert "".join(found) == ORIGINAL
    assert list(SECTIONS) == re.findall(r"^## (.+)$", ORIGINAL, re.M)


def test_the_table_leads_to_every_section() -> None:
    links = [re.fullmatch(r"\[(.+)\]\(#(.+)\)", row[0]) for row in rows(TEXT, "| section | trap, in a word | here |")]
    assert [link[1] for link in links if link] == list(SECTIONS)
    assert {link[2] for link in links if link} <= anchors(TEXT)


def test_every_section_says_its_trap_and_what_does_it_here() -> None:
    for name, text in SECTIONS.items():
        if name not in ("Quick Reference", "Useful Resources", "Best Practices"):
            assert "trap" in text.lower(), name
            assert re.search(r"\*\*Here\.\*\*|\bhere \|", text), name


def test_all_commands_and_schemes_are_told() -> None:
    from aionet.cli.root import COMMANDS
    from aionet.endpoint import SCHEMES

    assert set(COMMANDS) <= set(re.findall(r"python -m aionet (\w+)", TEXT))
    assert set(SCHEMES) - {"fd"} <= set(re.findall(r"(\w+)://", TEXT))


def test_every_file_is_used() -> None:
    for name in re.findall(r"^```python\n# (\w+)\.py\n", TEXT, re.M):
        assert re.search(rf"^\$ python .*\b({name}\.py|{name}:router)", TEXT, re.M), name
