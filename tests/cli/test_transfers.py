"""What ``get`` and ``put`` share: rates, reports, interruptions."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from aionet.cli import main, transfers
from aionet.cli.transfers import parse_rate, transfer
from aionet.errors import ConfigError
from aionet.services.files.client import Failed, OnFile, OnProgress, Remote, Transferred, TreeResult
from aionet.services.files.errors import NotFound

from ..documents import ROOT, blocks, shell
from .files import files_server

OPTIONS = {"ca": None, "cert": None, "key": None, "insecure": False, "token": None, "timeout": 1.0}
DONE = Transferred("a\x1b", Path("here/a\x1b"), 10, "00", "blake3", 5)
LEFT = Transferred("b", Path("here/b"), 10, "", "", 5, unchanged=True)
LOST = Failed("c\n", Path("here/c"), NotFound("there is no 'c'", hint="look again"))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1000", 1000),
        ("500K", 512_000),
        ("500k", 512_000),
        ("10M", 10 * 2**20),
        ("1.5G", 1.5 * 2**30),
        ("2MiB/s", 2**21),
    ],
)
def test_rates(text: str, rate: float) -> None:
    command = click.Command("x")
    assert parse_rate(click.Context(command), click.Option(["--rate"]), text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1", "1e9", "nan", "10 X", "٣"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_rate(click.Context(click.Command("x")), click.Option(["--rate"]), text)


def run_one(*files: Transferred | Failed, left_out: int = 0, **more: Any) -> int:
    async def work(remote: Remote, progress: OnProgress | None, on_file: OnFile) -> TreeResult:
        for file in files:
            on_file(file)
        return TreeResult(
            tuple(file for file in files if isinstance(file, Transferred)),
            tuple(file for file in files if isinstance(file, Failed)),
            left_out,
        )

    given: dict[str, Any] = {"done": "fetched", "as_json": False, "rate": None, "retries": 5} | more
    return transfer("tcp://127.0.0.1:1", OPTIONS, work, **given)


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_one(DONE) == 0
    assert capsys.readouterr().out.startswith("here/a\\x1b: 10 bytes in 0.0 s, BLAKE3 00")
    assert run_one(DONE, LEFT, LOST, left_out=2) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("1 files fetched, 10 bytes in 0.0 s, ")
    assert captured.out.endswith("; 1 unchanged; 1 failed\n")
    assert captured.err == (
        "error: c\\n: there is no 'c' (look again)\n2 links, special files or unspeakable names were left out\n"
    )


def test_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_one(DONE, LEFT, LOST, as_json=True, left_out=2) == 1
    captured = capsys.readouterr()
    found = [json.loads(line) for line in captured.out.splitlines()]
    assert [each.get("outcome") for each in found] == ["fetched", "unchanged", "failed", None]
    assert (found[0]["hash"], found[0]["digest"]) == ("blake3", "00")
    assert found[1]["hash"] is found[1]["digest"] is None
    assert found[2]["code"] == "NOT_FOUND"
    assert found[3]["summary"] | {"seconds": 0} == {
        **{"fetched": 1, "unchanged": 1, "failed": 1, "left_out": 2, "size": 10, "seconds": 0}
    }
    assert captured.err == ""


def test_an_interruption_says_what_it_means(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(main: Any, **_: object) -> None:
        main.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(transfers, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_one(DONE)
    assert capsys.readouterr().err == "interrupted: 0 files fetched; the same command goes on where this one stopped\n"


def test_a_server_that_is_none() -> None:
    with pytest.raises(ConfigError):
        run_one(rate=0)


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    prepare, commands = [text for language, text in blocks(page) if language == "sh"][:2]
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with files_server(tmp_path) as server:
        made = shell(prepare.splitlines()[0].replace("shared_files", str(server.root)), tmp_path)
        assert made.returncode == 0
        for line in commands.splitlines():
            program, *words = shlex.split(line, comments=True)[2:]
            words = [word for word in words if "://" not in word]
            assert main([words[0], server.endpoint, *words[1:]]) == 0, line
            assert program == "aionet"
    assert sorted(path.name for path in here.rglob("*")) == [
        *("copy.txt", "music", "notes.txt", "song.ogg", "song.ogg", "songs")
    ]
