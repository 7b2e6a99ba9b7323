from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.services.files.client.pace import SLOWEST, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.integers(0, 300_000), st.floats(0, 3)), max_size=50))
def test_never_faster_than_the_rate_but_for_a_burst(steps: list[tuple[int, float]]) -> None:
    clock = Clock()
    pace = Pace(100_000, clock=clock)
    passed = 0
    started = clock.now
    for count, busy in steps:
        delay = pace.delay(count)
        assert delay >= 0
        clock.now += delay + busy
        passed += count
        assert passed <= (clock.now - started + 0.5) * 100_000 + 1


def test_the_rate_is_reached() -> None:
    clock = Clock()
    pace = Pace(1_000_000, clock=clock)
    for _ in range(100):
        clock.now += pace.delay(100_000)
    assert clock.now == pytest.approx(110.0, abs=0.6)


@pytest.mark.parametrize("rate", [0, -1, SLOWEST - 1, math.nan])
def test_rates_that_are_none(rate: float) -> None:
    with pytest.raises(ConfigError):
        Pace(rate)


async def test_waiting() -> None:
    await Pace(10**9).pass_on(1000)
    await Pace(100_000).pass_on(100)
