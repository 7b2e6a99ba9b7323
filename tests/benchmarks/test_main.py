"""The command itself, on measurements small enough to wait for."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.__main__ import main
from benchmarks.measuring import Case, Sample, Subject
from benchmarks.problems import Unavailable, WrongReplies
from benchmarks.results import Goal, Metric, Role, load, save

from .canned import canned

Take = Callable[[], Sample]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Take], None]:
    """Put one case, measured by the test's own function, in the place of the real ones."""

    def install(take: Take) -> None:
        subject = Subject("ours", "ours", take, Role.OURS)
        case = Case("echo", "echo", "an echo", Metric("cpu", "us"), [subject], None, 2, 0.1, [Goal("g", "ours", 2.0)])
        monkeypatch.setattr(command, "plan", lambda bench, names, peers=(): [case])

    return install


def test_a_goal_not_reached_is_no_failure(
    measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    measured(lambda: {"cpu": 3.0})
    assert main(["--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "not reached" in out
    assert f"written: {tmp_path / 'results.json'}" in err


@pytest.mark.parametrize("error", [Unavailable("no"), WrongReplies("byte 7")])
def test_nothing_measured_or_wrong_replies_are_failures(
    measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str], tmp_path: Path, error: Exception
) -> None:
    def take() -> Sample:
        raise error

    measured(take)
    assert main(["--out", str(tmp_path)]) == 1
    assert f"ours: not measured: {error}" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_so(
    measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str], tmp_path: Path, number: signal.Signals
) -> None:
    def take() -> Sample:
        signal.raise_signal(number)
        return {"cpu": 1.0}

    before = signal.getsignal(signal.SIGTERM)
    measured(take)
    assert main(["--out", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err == "benchmarks: interrupted\n"


def test_what_changed_since_an_earlier_run(
    measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    measured(lambda: {"cpu": 3.0})
    assert main(["--out", str(tmp_path / "old")]) == 0
    measured(lambda: {"cpu": 1.0})
    assert main(["--out", str(tmp_path / "new"), "--compare", str(tmp_path / "old" / "results.json")]) == 0
    assert "better: echo, ours: 3.00 -> 1.00 us (0.33 x" in capsys.readouterr().out


def test_without_a_compiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    assert main(["--only", "echo", "--out", str(tmp_path)]) == 1
    assert "benchmarks: no C compiler: '/no/such/compiler' was not found" in capsys.readouterr().err


def test_nowhere_to_write_is_said_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert main(["--only", "start", "--out", str(tmp_path / "file")]) == 1
    assert (
        capsys.readouterr().err
        == f"benchmarks: cannot write into {tmp_path / 'file'}: File exists; --out takes another directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "echo,line"], "unknown scenario 'line'; there are echo, lines, length, fanout"),
        (["--rounds", "0"], "rounds are a whole number of at least 1, not '0'"),
        (["--duration", "no"], "seconds are a number from 0.01 to 3600, not 'no'"),
        (["--compare", "/no/such/file.json"], "cannot read /no/such/file.json: No such file"),
    ],
)
def test_mistakes_of_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_peer_is_told_who_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "churn", "--peers", "aionet,rust", "--list"]) == 1
    assert "unknown peer 'rust'; there are aionet, asyncio, c, go, node, streams, uvloop" in capsys.readouterr().err


def test_the_list_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--list"]) == 0
    assert "echo-1024-64-1: 1 KiB, 64 connections" in capsys.readouterr().out


def test_a_real_run_of_echo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save(canned(), tmp_path / "old.json")
    arguments = ["--quick", "--only", "echo", "--peers", "uvloop,aionet,c", "--rounds", "1", "--duration", "0.5"]
    assert main([*arguments, "--out", str(tmp_path), "--compare", str(tmp_path / "old.json")]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{key}: " in out for key in ("echo-64-64-1", "echo-1024-64-1"))
    assert "not measured" not in out.partition("\ngoals")[0]
    assert "echo 1 KiB, one in flight, CPU a message, to C" in out
    assert "compared with the run of 2026-01-01" in out
    assert sys.executable not in out
    report = load(tmp_path / "results.json")
    assert [case.key for case in report.cases] == ["echo-64-64-1", "echo-1024-64-1"]
    row = report.cases[1].row("aionet")
    assert row is not None
    assert row.samples[0].keys() >= {"cpu", "rate", "capacity", "p50", "p99.9", "rss", "load capacity"}
    assert json.loads((tmp_path / "results.json").read_text())["outcomes"]
    assert (tmp_path / "report.md").read_text().startswith("# Measurements")
