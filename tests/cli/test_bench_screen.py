"""The live line: on a terminal alone."""

from __future__ import annotations

import sys

import pytest

from aionet import Endpoint
from aionet.cli.bench_screen import Screen, watching
from aionet.load.engine import Snapshot
from aionet.load.outcome import Outcome
from aionet.load.plan import Plan
from aionet.load.tally import Tally

from ..load.runs import plan_for

TCP = Endpoint.parse("tcp://127.0.0.1:7")


def test_without_a_terminal_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as screen:
        assert type(screen) is Screen
        screen.begin(plan_for(TCP))
        screen.show(Outcome(plan_for(TCP), 1))
        screen.say("line")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("plan", [plan_for(TCP, duration=1.0, rate=500.0), plan_for(TCP)])
def test_on_a_terminal_rate_and_percentiles(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    outcome = Outcome(plan, 1)
    with watching() as screen:
        screen.begin(plan)
        screen.show(outcome)
        tally = Tally(sent=50, answered=50, latencies={400: 50}, wrong=2)
        outcome.add(Snapshot(0, "measured", 0, 0.0, 0.25, tally, 0.1, 0.0, 4))
        screen.show(outcome)
        screen.say("a line [red]that stays[/red]")
        screen.begin(plan)
    err = capsys.readouterr().err
    assert "a line [red]that stays[/red]" in err
    assert "tcp://127.0.0.1:7" in err
    assert ("at 500/s" in err) is (plan.rate is not None)
