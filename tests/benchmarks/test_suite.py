"""The plan: what is measured, for how long, against which goals; and that it says so while it goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.measuring import Case, Subject
from benchmarks.processes import Cores
from benchmarks.results import CaseResult, Goal, Metric, Report, Role, Row
from benchmarks.scenarios import SCENARIOS
from benchmarks.settings import FULL, QUICK, Settings
from benchmarks.suite import Progress, listing, plan, run, seconds_of, write
from benchmarks.workspace import workspace

CPU = Metric("cpu", "us")


@pytest.fixture(params=[FULL, QUICK], ids=["full", "quick"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    settings: Settings = request.param
    with workspace() as places:
        yield Bench(settings, Cores(0, 1), places)


def test_the_plan_keeps_its_time(bench: Bench) -> None:
    minutes = seconds_of(plan(bench, list(SCENARIOS))) / 60
    assert minutes < (2 if bench.settings.quick else 40)


def test_every_case_is_sound(bench: Bench) -> None:
    cases = plan(bench, list(SCENARIOS))
    assert len({case.key for case in cases}) == len(cases)
    for case in cases:
        keys = [subject.key for subject in case.subjects]
        assert len(set(keys)) == len(keys)
        assert case.scenario in SCENARIOS
        assert case.baseline is None or case.baseline in keys or bench.settings.quick
        assert case.rounds >= 3
        assert {goal.row for goal in case.goals} <= {s.key for s in case.subjects if s.role is Role.OURS}
        assert {goal.against for goal in case.goals} <= {None, *keys}


GOALS = {
    ("echo-64-64-1", "aionet", 1.15, "c"),
    ("echo-64-64-1", "aionet", 1.0, "uvloop"),
    ("echo-1024-64-1", "aionet", 1.15, "c"),
    ("echo-1024-64-1", "aionet", 1.0, "uvloop"),
    ("echo-1024-64-1", "aionet-asyncio", 0.45, "asyncio"),
    ("lines-16", "aionet", 0.6, "c"),
    ("lines-16", "aionet", 10, "streams"),
    ("lines-64", "aionet", 0.5, "c-raw"),
    ("lines-64", "aionet-coroutine", 0.3, "c-raw"),
    ("fanout-200-32", "aionet", 2.5, "redis"),
    ("fanout-200-32", "aionet", 3.0, "nats"),
    ("fanout-200-1-32-speakers", "aionet", 2.5, "redis"),
    ("fanout-200-1-32-speakers", "aionet", 3.0, "nats"),
    ("fanout-200-1", "aionet", 1.0, "redis"),
    ("files-large", "aionet", 0.9, "nginx"),
    ("datagram-64-16", "aionet", 0.75, "c"),
    ("datagram-64-16", "aionet", 1.4, "uvloop"),
    ("datagram-offload", "aionet", 3.0, "c-single"),
    ("tls-1024", "aionet", 1.1, "go"),
    ("tls-1024", "aionet", 0.35, "uvloop"),
    ("tls-16384", "aionet", 1.1, "go"),
    ("tls-16384", "aionet", 0.35, "uvloop"),
    ("websocket-1", "aionet", 1.15, "picows"),
    ("websocket-16", "aionet", 4, "picows"),
    ("websocket-16", "aionet", 12, "websockets"),
    ("churn", "aionet", 1.15, "uvloop"),
    ("mixed", "aionet", 3.0, "alone"),
    ("workers", "two", 1.8, "one"),
    ("start", "import", 0.2, None),
    ("start", "help", 0.3, None),
}
LONG_GOALS = {
    ("files-many", "aionet", 1 / 1.3, "nginx"),
    ("files-many", "aionet", 3.0, "http.server"),
    ("files-many", "aionet-web", 1 / 1.3, "nginx"),
    ("files-many", "aionet-web", 3.0, "http.server"),
    ("files-upload", "aionet", 0.8, "dd"),
    ("mixed-downloads", "aionet", 3.0, "alone"),
    ("mixed-downloads", "aionet", 100, None),
}
"""Those that a quick run leaves out."""


def test_the_goals_are_those_promised(bench: Bench) -> None:
    found = {
        (case.key, goal.row, goal.limit, goal.against)
        for case in plan(bench, list(SCENARIOS))
        for goal in case.goals
        if case.scenario != "idle"
    }
    assert found == (GOALS if bench.settings.quick else GOALS | LONG_GOALS)
    idle = [goal for case in plan(bench, ["idle"]) for goal in case.goals]
    assert {(goal.row, goal.limit, goal.against) for goal in idle} == {("aionet", 1500, None)}


def test_each_scenario_says_what_it_is() -> None:
    for scenario in SCENARIOS.values():
        assert sys.modules[scenario.__module__].__doc__


def test_one_baseline_at_least_is_measured_twice(bench: Bench) -> None:
    controls = [s for case in plan(bench, list(SCENARIOS)) for s in case.subjects if s.role is Role.CONTROL]
    assert controls


def test_peers_can_be_chosen(bench: Bench) -> None:
    cases = plan(bench, ["echo", "start"], ["c"])
    assert {subject.key for case in cases for subject in case.subjects} == {"c"}
    assert "start" not in {case.scenario for case in cases}


def test_the_listing_says_who_and_how_long(bench: Bench) -> None:
    text = listing(plan(bench, ["churn"]))
    assert text.startswith("churn: connect, one message of 64 bytes, close; 64 at a time\n    uvloop, aionet")
    assert "minutes in all" in text


def small_case(key: str, value: float) -> Case:
    subject = Subject("ours", "ours", lambda: {"cpu": value}, Role.OURS)
    return Case(key, "echo", "a case", CPU, [subject], None, 3, 0.5, goals=[Goal("g", "ours", 2.0)])


def test_tables_are_printed_as_they_are_ready_and_survive_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> dict[str, float]:
        raise KeyboardInterrupt

    second = Case("b", "echo", "another", CPU, [Subject("x", "x", interrupted)], None, 1, 0.5)
    results: list[CaseResult] = []
    with pytest.raises(KeyboardInterrupt):
        run([small_case("a", 1.0), second], results)
    assert [result.key for result in results] == ["a"]
    assert "a: a case" in capsys.readouterr().out


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    case = small_case("a", 1.0)
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=terminal: answer)
        progress = Progress([case])
        progress.begin(case)
        progress(case.subjects[0])
        progress.clear()
        shown = capsys.readouterr().err
        assert ("a: ours, 0 min 02 s left" in shown) is terminal


def test_everything_is_written(tmp_path: Path) -> None:
    rows = [Row("ours", "ours", Role.OURS, [{"cpu": 1.0}])]
    report = Report({"cpu": "one"}, 2, True, [CaseResult("a", "echo", "a case", CPU, rows)])
    written = write(report, tmp_path / "deep" / "er")
    assert {file.name for file in written} >= {"results.json", "report.md"}
    assert all(file.exists() for file in written)
