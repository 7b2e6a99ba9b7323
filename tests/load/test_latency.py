from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.load.latency import Latencies


def test_of_nothing_all_is_nothing() -> None:
    latencies = Latencies()
    assert latencies.summary() == {"mean": 0.0, "p50": 0, "p90": 0, "p99": 0, "p99.9": 0, "max": 0}
    assert list(latencies) == []


@given(st.dictionaries(st.integers(0, 10**7), st.integers(1, 1000), min_size=1, max_size=50))
def test_percentiles_are_those_of_the_values(counts: dict[int, int]) -> None:
    latencies = Latencies(counts)
    values = sorted(max(value, 1) for value, count in counts.items() for _ in range(count))
    assert latencies.count == len(values)
    for percent in (50.0, 99.0):
        true = values[min(len(values) - 1, max(0, -(-int(len(values) * percent) // 100) - 1))]
        # HdrHistogram rounds the rank; the neighbours are as right.
        rank = int(percent / 100 * len(values) + 0.5)
        allowed = {true, values[max(rank - 1, 0)]}
        assert any(latencies.percentile(percent) == pytest.approx(value, rel=0.002, abs=1) for value in allowed)
    assert latencies.max == pytest.approx(values[-1], rel=0.002)
    assert sum(count for _, count in latencies) == len(values)


def test_it_can_be_written_and_read() -> None:
    latencies = Latencies({100: 5, 2000: 1})
    read = Latencies.decode(latencies.encode())
    assert read.summary() == latencies.summary()
    assert list(read) == list(latencies)


def test_what_is_above_an_hour_is_an_hour() -> None:
    assert Latencies({10**12: 1}).max == pytest.approx(3.6e9, rel=0.001)


@pytest.mark.parametrize("text", ["", "nonsense", "HISTFAAA"])
def test_what_is_no_histogram(text: str) -> None:
    with pytest.raises(ConfigError, match="the histogram is none"):
        Latencies.decode(text)
