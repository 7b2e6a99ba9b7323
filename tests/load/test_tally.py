from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.load.tally import EXAMPLES, Tally


@given(st.integers(0, 10**13))
def test_a_latency_keeps_three_digits(nanoseconds: int) -> None:
    tally = Tally()
    tally.record(nanoseconds, 2)
    [(value, count)] = tally.latencies.items()
    microseconds = nanoseconds // 1000
    assert count == 2
    assert value <= microseconds <= value + max(value // 1024, 0) + (1 if value >= 2048 else 0)
    if microseconds < 2048:
        assert value == microseconds


def test_there_are_few_different_latencies() -> None:
    tally = Tally()
    for microseconds in range(0, 1_000_000, 7):
        tally.record(microseconds * 1000, 1)
    assert len(tally.latencies) < 12_000
    assert sum(tally.latencies.values()) == len(range(0, 1_000_000, 7))


def test_what_is_taken_is_whole_and_the_rest_begins_anew() -> None:
    tally = Tally()
    tally.sent = 3
    tally.record(5000, 2)
    tally.fail("reset", "why")
    tally.digests.add("aa")
    taken = pickle.loads(pickle.dumps(tally.take()))
    assert (taken.sent, taken.latencies, taken.failures, taken.digests) == (3, {5: 2}, {"reset": 1}, {"aa"})
    assert tally == Tally()


def test_tallies_add_up() -> None:
    one, other = Tally(), Tally()
    for tally, count in ((one, 1), (other, 2)):
        tally.sent = tally.wrong = count
        tally.record(7000, count)
        tally.record_lateness(1000 * count)
        tally.fail("reset", f"example {count}", count)
        tally.digests.add("aa")
    one.add(other)
    assert (one.sent, one.wrong) == (3, 3)
    assert one.latencies == {7: 3}
    assert one.lateness == {1: 1, 2: 1}
    assert one.failures == {"reset": 3}
    assert one.examples == {"reset": ["example 1", "example 2"]}
    assert one.digests == {"aa"}


@pytest.mark.parametrize("texts", [["a"] * 9, list("abcdefghi")])
def test_few_examples_are_kept_and_no_two_alike(texts: list[str]) -> None:
    tally = Tally()
    for text in texts:
        tally.fail("kind", text)
    assert tally.failures["kind"] == 9
    assert tally.examples["kind"] == sorted(set(texts))[:EXAMPLES]
