from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import median, median_interval, median_ratio, ratio_interval, slope, unpaired_interval

positive = st.floats(min_value=1e-6, max_value=1e6)
pairs = st.lists(st.tuples(positive, positive), min_size=1, max_size=9)


def test_median_of_an_even_count_lies_between() -> None:
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5


def test_ratio_is_of_pairs_not_of_medians() -> None:
    # The machine was ten times slower in the second round, for both; unpaired the ratio would be 11 or so.
    assert median_ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == pytest.approx(2.0)


def test_interval_has_no_width_without_noise() -> None:
    assert ratio_interval([3.0] * 5, [1.5] * 5) == pytest.approx((2.0, 2.0))


def test_interval_is_the_same_each_time() -> None:
    ours, theirs = [1.0, 1.2, 0.9, 1.1, 1.3], [1.0, 1.0, 1.1, 0.9, 1.0]
    first = ratio_interval(ours, theirs)
    assert first == ratio_interval(ours, theirs)
    assert first[0] < median_ratio(ours, theirs) < first[1]


def test_interval_narrows_with_more_rounds() -> None:
    ours, theirs = [0.9, 1.0, 1.1, 1.05, 0.95], [1.0] * 5
    few, many = ratio_interval(ours, theirs), ratio_interval(ours * 20, theirs * 20)
    assert many[1] - many[0] < few[1] - few[0]


@given(pairs)
def test_interval_holds_the_ratio_and_lies_within_what_was_seen(measured: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in measured], [b for _, b in measured]
    low, high = ratio_interval(ours, theirs, resamples=200)
    ratios = [a / b for a, b in measured]
    slack = 1e-9
    assert min(ratios) * (1 - slack) <= low <= high <= max(ratios) * (1 + slack)


@given(pairs)
def test_ratio_turned_round_is_its_inverse(measured: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in measured], [b for _, b in measured]
    assert math.isclose(median_ratio(ours, theirs) * median_ratio(theirs, ours), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_what_cannot_be_paired_is_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        median_ratio(ours, theirs)
    with pytest.raises(ValueError, match="cannot pair"):
        ratio_interval(ours, theirs)


def test_slope_is_the_growth_per_unit() -> None:
    assert slope([0, 2000, 5000, 10_000], [7e6, 7e6 + 2e6, 7e6 + 5e6, 7e6 + 1e7]) == pytest.approx(1000)


def test_medians_measured_apart_are_drawn_apart() -> None:
    assert unpaired_interval([2.0] * 5, [1.0] * 5) == pytest.approx((2.0, 2.0))
    low, high = unpaired_interval([1.9, 2.0, 2.1], [0.9, 1.0, 1.1])
    assert low < 2.0 < high
    with pytest.raises(ValueError, match="cannot compare with nothing"):
        unpaired_interval([], [1.0])


def test_the_interval_of_a_median_lies_within_what_was_seen() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    low, high = median_interval(values)
    assert 1.0 <= low < 3.0 < high <= 5.0
    assert median_interval([7.0]) == (7.0, 7.0)
    with pytest.raises(ValueError, match="no values"):
        median_interval([])
