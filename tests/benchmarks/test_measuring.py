from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.measuring import OTHERS, Case, Sample, Subject, control, measure, undisturbed
from benchmarks.problems import MeasureError, Unavailable, WrongReplies
from benchmarks.results import Metric, Role

CPU = Metric("cpu", "us")


def subject(key: str, take: Callable[[], Sample] = lambda: {"cpu": 1.0}) -> Subject:
    return Subject(key, key, take)


def case(*subjects: Subject, rounds: int = 4) -> Case:
    return Case("c", "c", "a case", CPU, subjects, subjects[0].key, rounds, 0.5)


def test_subjects_are_interleaved_in_turned_order() -> None:
    order: list[str] = []

    def noting(key: str) -> Subject:
        def take() -> Sample:
            order.append(key)
            return {"cpu": 1.0}

        return subject(key, take)

    measure(case(*map(noting, "abc")))
    assert "".join(order) == "abccbaabccba"


def test_progress_is_told_before_each_measurement() -> None:
    told: list[str] = []
    measure(case(subject("a"), subject("b"), rounds=2), lambda current: told.append(current.key))
    assert told == ["a", "b", "b", "a"]


def test_one_that_fails_is_not_tried_again_and_the_others_go_on() -> None:
    tries: list[str] = []

    def take() -> Sample:
        tries.append("a")
        raise Unavailable("not installed")

    first, second = measure(case(subject("a", take), subject("b"))).rows
    assert len(tries) == 1
    assert (first.problem, first.wrong, first.measured) == ("not installed", False, False)
    assert second.measured


def test_wrong_replies_in_a_later_round_make_the_row_worthless() -> None:
    left = [{"cpu": 1.0}, {"cpu": 1.0}]

    def take() -> Sample:
        if not left:
            raise WrongReplies("byte 7")
        return left.pop()

    (row,) = measure(case(subject("a", take))).rows
    assert row.wrong
    assert not row.measured


def test_system_calls_are_counted_once_and_only_of_what_was_measured() -> None:
    counted: list[str] = []

    def count(key: str) -> Callable[[], float]:
        def trace() -> float:
            counted.append(key)
            return 2.0

        return trace

    def fail() -> Sample:
        raise Unavailable("no")

    whole = case(
        Subject("a", "a", lambda: {"cpu": 1.0}, trace=count("a")), Subject("b", "b", fail, trace=count("b")), rounds=2
    )
    assert whole.measurements == 6
    first, _ = measure(whole).rows
    assert counted == ["a"]
    assert first.value("syscalls") == 2.0
    assert first.values("cpu") == [1.0, 1.0]


def test_a_count_that_cannot_be_had_spoils_nothing() -> None:
    def trace() -> float:
        raise MeasureError("strace may not")

    (row,) = measure(case(Subject("a", "a", lambda: {"cpu": 1.0}, trace=trace))).rows
    assert row.measured
    assert row.value("syscalls") is None


def test_the_control_is_the_same_once_more() -> None:
    original = subject("a")
    again = control(original)
    assert (again.role, again.take, again.key) == (Role.CONTROL, original.take, "again")


def test_only_some_keeps_the_control_of_its_baseline() -> None:
    base, other = subject("a"), subject("b")
    whole = case(base, other, control(base))
    assert [kept.key for kept in whole.only(["a"]).subjects] == ["a", "again"]
    assert [kept.key for kept in whole.only(["b"]).subjects] == ["b"]


@pytest.mark.parametrize(
    ("others", "chosen", "made"),
    [((0.0,), 0, 1), ((0.3, 0.04), 1, 2), ((0.2, 0.3), 0, 2)],
    ids=["quiet at once", "quiet later", "never quiet"],
)
def test_a_disturbed_measurement_is_made_again(others: tuple[float, ...], chosen: int, made: int) -> None:
    samples = [{"cpu": float(number), OTHERS: share} for number, share in enumerate(others)]
    left = iter(samples)
    assert undisturbed(lambda: next(left), tries=2) is samples[chosen]
    assert len(list(left)) == len(samples) - made
