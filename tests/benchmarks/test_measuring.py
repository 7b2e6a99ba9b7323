from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.measuring import Figure, Goal, Role, Sample, Subject, Verdict, measure
from benchmarks.problems import Unavailable, WrongReplies


def figure(take: Callable[[Subject], Sample], *subjects: Subject, rounds: int = 4) -> Figure:
    return Figure("f", "a figure", "us", subjects, subjects[0].key, rounds, take)


A, B, C = (Subject(key, key, ()) for key in "abc")


def test_subjects_are_interleaved_in_turned_order() -> None:
    order: list[str] = []

    def take(subject: Subject) -> Sample:
        order.append(subject.key)
        return Sample(1.0)

    measure(figure(take, A, B, C))
    assert "".join(order) == "abccbaabccba"


def test_progress_is_told_before_each_measurement() -> None:
    told: list[tuple[int, int, str]] = []
    measure(figure(lambda subject: Sample(1.0), A, B, rounds=2), lambda *args: told.append((*args[:2], args[2].key)))
    assert told == [(0, 4, "a"), (1, 4, "b"), (2, 4, "b"), (3, 4, "a")]


def test_rows_are_compared_with_the_baseline() -> None:
    base, other = measure(figure(lambda subject: Sample(2.0 if subject is A else 3.0), A, B))
    assert base.ratio is None
    assert other.ratio == pytest.approx(1.5)
    assert other.interval == pytest.approx((1.5, 1.5))


def test_one_that_fails_is_not_tried_again_and_the_others_go_on() -> None:
    tries: list[str] = []

    def take(subject: Subject) -> Sample:
        tries.append(subject.key)
        if subject is A:
            raise Unavailable("not installed")
        return Sample(1.0)

    first, second = measure(figure(take, A, B))
    assert tries.count("a") == 1
    assert (first.problem, first.wrong, first.measured) == ("not installed", False, False)
    assert second.measured
    assert second.ratio is None, "there is no baseline to compare with"


def test_wrong_replies_in_a_later_round_make_the_row_worthless() -> None:
    tries = 0

    def take(subject: Subject) -> Sample:
        nonlocal tries
        tries += 1
        if tries == 3:
            raise WrongReplies("byte 7")
        return Sample(1.0)

    subject = Subject("a", "a", (), goal=Goal(2.0))
    (row,) = measure(figure(take, subject))
    assert row.wrong
    assert not row.measured
    assert row.verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize(
    ("goal", "values", "verdict", "close"),
    [
        (Goal(2500), [1500.0, 1600.0], Verdict.MET, False),
        (Goal(2500), [2400.0, 2450.0, 2600.0], Verdict.MET, True),
        (Goal(2500), [2600.0, 2700.0], Verdict.NOT_MET, False),
        (Goal(8, at_least=True, ratio=True), [9.0, 10.0], Verdict.MET, False),
        (Goal(8, at_least=True, ratio=True), [7.0, 7.5], Verdict.NOT_MET, False),
        (Goal(8, at_least=True, ratio=True), [7.0, 8.5, 9.0], Verdict.MET, True),
        (Goal(1.15, ratio=True), [1.0, 1.1], Verdict.MET, False),
    ],
)
def test_verdicts(goal: Goal, values: list[float], verdict: Verdict, close: bool) -> None:
    left = {"a": [1.0] * len(values), "b": list(values)}
    ours = Subject("b", "b", (), Role.OURS, goal)
    rows = measure(figure(lambda subject: Sample(left[subject.key].pop()), A, ours, rounds=len(values)))
    assert rows[1].verdict is verdict
    assert rows[1].close is close


def test_without_a_goal_there_is_no_verdict() -> None:
    (row,) = measure(figure(lambda subject: Sample(1.0), A))
    assert row.verdict is None
    assert not row.close


def test_details_are_medians_too() -> None:
    seen = [{"x": 1.0}, {"x": 5.0}, {"x": 2.0}]
    (row,) = measure(figure(lambda subject: Sample(1.0, seen.pop()), A, rounds=3))
    assert row.detail("x") == 2.0
    assert row.detail("y") is None
