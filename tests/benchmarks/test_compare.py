from __future__ import annotations

from dataclasses import replace

from benchmarks.compare import changes, comparison

from .canned import canned


def test_the_same_run_twice_has_not_changed() -> None:
    found = list(changes(canned(), canned()))
    assert len(found) == 13
    assert not any(change.real for change in found)
    assert "13 of 13 rows: no change beyond the noise" in comparison(canned(), canned())


def test_a_change_is_told_with_its_interval() -> None:
    text = comparison(canned(), canned(factor=0.5)).splitlines()
    assert text[0] == "compared with the run of 2026-01-01 00:00 UTC:"
    assert text[1].startswith("  better: echo-1024-1-1, aionet: 11.0 -> 5.50 us of server CPU a message (0.50 x, 0.4")
    assert sum(line.startswith("  better: ") for line in text) == 4
    assert sum(line.startswith("  worse: ") for line in comparison(canned(), canned(factor=2)).splitlines()) == 4


def test_a_change_within_the_noise_is_none() -> None:
    """The interval leaves 1 out, but the same server measured twice differed by as much."""
    found = [change for change in changes(canned(), canned(factor=1.022)) if change.label == "aionet"]
    assert [change.real for change in found] == [False] * 4
    assert all(change.noise > 0.02 for change in found), "a case without a control has the run's noise"


def test_rows_that_one_of_the_runs_lacks_are_left_out() -> None:
    old = canned()
    fewer = replace(old, cases=old.cases[:1])
    assert {change.case for change in changes(fewer, canned())} == {"echo-1024-1-1"}
    assert {change.case for change in changes(canned(), fewer)} == {"echo-1024-1-1"}


def test_another_machine_is_noticed() -> None:
    old = canned()
    old.environment["cpu"] = "something else"
    assert "  cpu: was something else" in comparison(old, canned()).splitlines()
