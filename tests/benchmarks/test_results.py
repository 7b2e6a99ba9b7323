from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.problems import MeasureError
from benchmarks.results import CaseResult, Curve, Goal, LoadGenerator, Metric, Report, Role, Row, Verdict, load, save

CPU = Metric("cpu", "us a message")


def row(key: str, *values: float, role: Role = Role.PEER, more: dict[str, float] | None = None) -> Row:
    return Row(key, key, role, [{"cpu": value, **(more or {})} for value in values])


def case(*rows: Row, goals: list[Goal] | None = None) -> CaseResult:
    return CaseResult("echo-64", "echo", "64 B", CPU, list(rows), baseline=rows[0].key, goals=goals or [])


def test_values_are_medians_and_ratios_are_of_pairs() -> None:
    base, ours = row("base", 1.0, 10.0, 1.0), row("ours", 2.0, 20.0, 2.0)
    found = case(base, ours)
    assert ours.value("cpu") == 2.0
    assert ours.value("p99") is None
    ratio = found.ratio(ours)
    assert ratio is not None
    assert ratio[0] == pytest.approx(2.0)
    assert found.ratio(base) is None


def test_a_value_that_only_some_rounds_have_is_shown_but_not_compared() -> None:
    some = Row("some", "some", samples=[{"cpu": 1.0, "syscalls": 2.0}, {"cpu": 1.0}])
    assert some.value("syscalls") == 2.0
    assert some.values("syscalls") == []
    assert some.ratio(row("base", 1.0, 1.0), "syscalls") is None


@pytest.mark.parametrize(
    ("goal", "ours", "verdict", "close"),
    [
        (Goal("g", "ours", 1500), [1200.0, 1300.0], Verdict.REACHED, False),
        (Goal("g", "ours", 1500), [1200.0, 1300.0, 1600.0], Verdict.REACHED, True),
        (Goal("g", "ours", 1500), [1600.0, 1700.0], Verdict.NOT_REACHED, False),
        (Goal("g", "ours", 2.0, at_least=True, against="base"), [300.0, 310.0], Verdict.REACHED, False),
        (Goal("g", "ours", 2.0, at_least=True, against="base"), [150.0, 160.0], Verdict.NOT_REACHED, False),
        (Goal("g", "ours", 2.0, at_least=True, against="base"), [190.0, 210.0, 205.0], Verdict.REACHED, True),
    ],
)
def test_goals_are_judged_by_the_median(goal: Goal, ours: list[float], verdict: Verdict, close: bool) -> None:
    (outcome,) = case(row("base", *[100.0] * len(ours)), row("ours", *ours), goals=[goal]).outcomes(2)
    assert outcome.verdict is verdict
    assert outcome.close is close


@pytest.mark.parametrize(
    ("goal", "reason"),
    [
        (Goal("g", "gone", 1.0), "not installed"),
        (Goal("g", "nobody", 1.0), "'nobody' was not measured"),
        (Goal("g", "base", 1.0, against="gone"), "not installed"),
        (Goal("g", "base", 1.0, metric="p99"), "'base' was not measured"),
        (Goal("g", "base", 1.0, needs_cores=4), "needs 4 cores, there are 2"),
    ],
)
def test_what_cannot_be_judged_says_why(goal: Goal, reason: str) -> None:
    gone = Row("gone", "Twisted", problem="not installed")
    (outcome,) = case(row("base", 1.0), gone, goals=[goal]).outcomes(2)
    assert (outcome.verdict, outcome.reason, outcome.close) == (Verdict.NOT_MEASURED, reason, False)


def test_noise_is_the_farther_end_of_the_baseline_measured_twice() -> None:
    assert case(row("base", 1.0, 1.0), row("again", 1.1, 0.8, role=Role.CONTROL)).noise == pytest.approx(0.2)
    assert case(row("base", 1.0), row("ours", 1.1)).noise is None


def test_the_load_generator_is_held_against_the_fastest_server() -> None:
    fast = row("c", 1.0, role=Role.LIMIT, more={"capacity": 100.0, "load capacity": 150.0})
    slow = row("ours", 2.0, more={"capacity": 50.0, "load capacity": 90.0})
    assert case(slow, fast).load_generator == LoadGenerator(150.0, 1.5, 3.0)
    assert case(fast).load_generator == LoadGenerator(150.0, 1.5, None)
    assert case(row("base", 1.0)).load_generator is None


@pytest.fixture
def report() -> Report:
    goals = [Goal("ours to base", "ours", 1.5, against="base"), Goal("gone", "gone", 1.0)]
    gone = Row("gone", "Twisted", problem="not installed")
    found = case(row("base", 1.0, 1.0), row("ours", 1.2, 1.4, role=Role.OURS), gone, goals=goals)
    curved = CaseResult("echo-c", "echo", "64 B", CPU, [row("base", 1.0)], curve=Curve("echo", "connections", 64))
    return Report({"cpu": "one"}, 2, True, [found, curved])


def test_a_report_is_the_same_from_its_file(report: Report, tmp_path: Path) -> None:
    save(report, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == report


def test_the_file_tells_readers_the_goals_as_they_were_judged(report: Report, tmp_path: Path) -> None:
    save(report, tmp_path / "results.json")
    told = json.loads((tmp_path / "results.json").read_text())["outcomes"]
    assert [(one["goal"]["text"], one["verdict"], one["close"]) for one in told] == [
        ("ours to base", "reached", False),
        ("gone", "not measured", False),
    ]


def test_absent_ones_are_told_once(report: Report) -> None:
    assert report.absent == {"echo, Twisted": "not installed"}
    assert report.scenarios == ["echo"]


def test_files_that_are_no_report_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"cannot read .*nothing\.json: No such file"):
        load(tmp_path / "nothing.json")
    (tmp_path / "other.json").write_text('{"figures": []}')
    with pytest.raises(MeasureError, match=r"other.json is no result of this suite: .*environment"):
        load(tmp_path / "other.json")
