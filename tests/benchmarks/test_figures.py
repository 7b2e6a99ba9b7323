"""The command itself, on figures small enough to wait for."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.definitions import QUICK, Settings, build_figures
from benchmarks.figures import main
from benchmarks.measuring import Figure, Goal, Role, Sample, Subject
from benchmarks.problems import Unavailable, WrongReplies
from benchmarks.processes import Cores

Take = Callable[[Subject], Sample]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Take], None]:
    """Put one figure, measured by the test's own function, in the place of the real ones."""

    def install(take: Take) -> None:
        subjects = [Subject("bare", "bare", ()), Subject("ours", "ours", (), Role.OURS, Goal(2.0, ratio=True))]
        figure = Figure("echo", "an echo", "us", subjects, "bare", 2, take)
        monkeypatch.setattr(figures, "build_figures", lambda names, settings, cores: [figure])

    return install


def test_a_goal_not_met_is_no_failure(measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str]) -> None:
    measured(lambda subject: Sample(3.0 if subject.key == "ours" else 1.0))
    assert main([]) == 0
    assert "<= 2 x  not met" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "error", "code"),
    [("ours", Unavailable("no"), 1), ("bare", WrongReplies("byte 7"), 1), ("bare", Unavailable("no"), 1)],
)
def test_what_could_not_be_judged_is_a_failure(
    measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str], key: str, error: Exception, code: int
) -> None:
    def take(subject: Subject) -> Sample:
        if subject.key == key:
            raise error
        return Sample(1.0)

    measured(take)
    assert main([]) == code
    assert f"{key}: not measured: {error}" in capsys.readouterr().out


def test_json_holds_environment_and_figures(measured: Callable[[Take], None], tmp_path: Path) -> None:
    measured(lambda subject: Sample(1.0))
    assert main(["--json", str(tmp_path / "out.json")]) == 0
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["environment"]["python"]
    assert [figure["key"] for figure in told["figures"]] == ["echo"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_so(
    measured: Callable[[Take], None], capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def take(subject: Subject) -> Sample:
        signal.raise_signal(number)
        return Sample(1.0)

    before = signal.getsignal(signal.SIGTERM)
    measured(take)
    assert main([]) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err == "figures: interrupted\n"


def test_without_a_compiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    assert main(["--only", "echo"]) == 1
    assert "figures: no C compiler: '/no/such/compiler' was not found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "echo,line"], "unknown figure 'line'; there are echo, lines, idle, start"),
        (["--json", "/no/such/directory/out.json"], "there is no directory /no/such/directory"),
    ],
)
def test_mistakes_of_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_real_figures_of_a_real_peer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = replace(QUICK, rounds=2, warmup=0.02, duration=0.1, idle_steps=(0, 50), idle_rounds=1, start_rounds=1)

    def build(names: list[str], settings: Settings, cores: Cores) -> list[Figure]:
        built = build_figures(names, replace(tiny, refill=settings.refill), cores)
        return [
            replace(figure, subjects=[subject for subject in figure.subjects if subject.role is not Role.OURS])
            for figure in built
        ]

    monkeypatch.setattr(figures, "build_figures", build)
    assert main(["--quick", "--refill", "sliding"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{key}: " in out for key in ("echo", "lines", "idle", "start"))
    assert "not measured" not in out
    assert sys.executable not in out
