"""What docs/one-port.md says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aionet.routing
from aionet import LineCodec, Server, connect

from .documents import ROOT, blocks, rows, shell

TEXT = (ROOT / "docs" / "one-port.md").read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)


def test_check_shows_what_the_page_shows(tmp_path: Path) -> None:
    (command,) = [text for language, text in BLOCKS if language == "sh" and " check " in text]
    (shown,) = [text for language, text in BLOCKS if language == "text"]
    assert shell(command, tmp_path).stdout == shown


def test_every_matcher_is_in_the_table() -> None:
    listed = {re.match(r"`(\w+)", row[0])[1] for row in rows(TEXT, "| Matcher | Connections |")}  # type: ignore[index]
    functions = {name for name in aionet.routing.__all__ if name.islower()}
    assert listed == functions


def test_a_refusal_names_both(tmp_path: Path) -> None:
    (block,) = [text for language, text in BLOCKS if "except RouteError" in text]
    (tmp_path / "refused.py").write_text(block)
    assert shell("python refused.py", tmp_path).stdout == (
        "tcp://127.0.0.1:4000: a route by http(method='GET', path='/api/users') can never be reached: 'api' by "
        "http(path='/api/*'), which is asked before, takes all that it matches\nadd the narrower route first\n"
    )


def test_the_router_of_the_page_is_one_that_check_takes(tmp_path: Path) -> None:
    (block,) = [text for language, text in BLOCKS if "class Commands" in text]
    (tmp_path / "shared.py").write_text(block)
    done = shell("python -m aionet check shared:router", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    reached = dict(re.findall(r"^ +(\S.*?) +->  (.*)$", done.stdout, re.MULTILINE))
    assert (reached["silence"], reached["as commands: 'SET '"], reached["HTTP"]) == ("chat", "commands", "echo")


async def test_a_browser_and_a_terminal_in_one_room_on_one_port() -> None:
    (block,) = [text for _, text in BLOCKS if 'name="browsers"' in text]
    names: dict[str, Any] = {}
    exec(block.replace(":4000", ":0"), names)
    async with Server(names["router"]) as server:
        port = server.addresses[0].port
        async with (
            connect(f"tcp://127.0.0.1:{port}", codec=LineCodec()) as terminal,
            connect(f"ws://127.0.0.1:{port}/chat") as browser,
            connect(f"tcp://127.0.0.1:{port}") as echo,
        ):
            await echo.send(b"hello\n")
            assert await echo.receive() == b"hello\n"
            await browser.send(b"ada")
            while "joined" not in str(await browser.receive()):
                pass
            await terminal.send(b"/who")  # so that it is known; no name begins so
            await terminal.send(b"bob")
            await terminal.send(b"hi ada")
            while "[bob] hi ada" not in str(await browser.receive()):
                pass
