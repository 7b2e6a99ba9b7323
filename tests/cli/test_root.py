"""The root command: help, typos, laziness, and that nothing escapes ``main``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aionet import __version__
from aionet.cli import main
from aionet.cli.failures import CommandError
from aionet.cli.root import COMMANDS, root
from aionet.cli.targets import ServiceOptions
from aionet.core.loop import NATIVE

from .conftest import ROOT, Served


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    transports = "native" if NATIVE else "event loop"
    assert capsys.readouterr().out == f"aionet, version {__version__} ({transports} transports)\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_the_commands_and_examples(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)
    assert "Examples:" in said
    assert "Exit codes:" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_examples_and_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"python -m aionet {name}" in said
    assert "Examples:" in said
    assert "Exit codes:" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["sevre"],
            f"error: no command 'sevre': did you mean 'serve'? known: {', '.join(COMMANDS)}\n",
        ),
        (["qqq"], f"error: no command 'qqq': known: {', '.join(COMMANDS)}\n"),
        (["--nope"], "error: No such option"),
        (["serve", "--loop", "fast"], "error: Invalid value for '--loop'"),
        (["send"], "error: Missing argument 'ENDPOINT'."),
    ],
)
def test_a_command_line_that_does_not_parse(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(said)
    assert "\nhint: see python -m aionet" in captured.err


@pytest.mark.parametrize("args", [["--debug", "send", "no"], ["send", "--debug", "no"], ["send", "no", "--debug"]])
def test_debug_may_stand_anywhere(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 4
    assert capsys.readouterr().err.startswith("Traceback")


def test_without_a_command_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def build_plan(*args: object) -> None:
        asked.append(args)
        raise CommandError("far enough")

    monkeypatch.setattr("aionet.cli.serve.build_plan", build_plan)
    assert main([]) == 1
    assert asked == [((), "127.0.0.1", ServiceOptions(), ".")]


@pytest.mark.parametrize(("exc", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_ctrl_c_and_a_reader_that_left_are_quiet(
    exc: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object) -> None:
        raise exc

    monkeypatch.setattr("aionet.cli.root._invoke", interrupted)
    monkeypatch.setattr("aionet.cli.failures._discard_output", lambda: None)
    assert main([]) == code
    assert capsys.readouterr() == ("", "")


def test_what_is_listed_is_there() -> None:
    with root.make_context("aionet", ["--help"], resilient_parsing=True) as ctx:
        for name, about in COMMANDS.items():
            command = root.get_command(ctx, name)
            assert command is not None, name
            assert about.endswith(".")
        assert root.get_command(ctx, "nothing") is None


def test_help_loads_no_command_no_service_and_no_rich() -> None:
    code = "import sys; from aionet.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    unwanted = ("rich", "blake3", "aionet.services", *(f"aionet.cli.{name}" for name in COMMANDS))
    assert [name for name in done.stderr.split() if name.startswith(unwanted)] == []


@pytest.mark.parametrize(("closed", "out"), [("<&-", "hi"), (">&-", ""), ("2>&-", "hi"), ("<&- >&- 2>&-", "")])
def test_closed_standard_streams_are_not_taken_by_sockets(closed: str, out: str, served: Served) -> None:
    command = [sys.executable, "-m", "aionet", "send", served.endpoints["echo"], "hi"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, out, "")
