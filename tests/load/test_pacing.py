"""Arrivals are a function of the clock; the ticker keeps time on both loops; late is not forgotten."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.load import pacing
from aionet.load.pacing import GRID, Pacer, Ticker, arrivals
from aionet.load.tally import Tally

from ..serving import eventually

SECOND = 1_000_000_000


@given(st.integers(0, 100 * SECOND), st.floats(0.1, 1e6), st.sampled_from([0.0, 0.5, 10.0]))
def test_arrivals_never_go_back_and_reach_the_rate(elapsed: int, rate: float, ramp: float) -> None:
    assert arrivals(elapsed, rate, ramp) <= arrivals(elapsed + GRID, rate, ramp)
    later = int((ramp + 10) * SECOND)
    assert arrivals(later, rate, ramp) - arrivals(int(ramp * SECOND), rate, ramp) == pytest.approx(10 * rate, abs=1)


def test_a_ramp_rises_evenly() -> None:
    assert [arrivals(int(at * SECOND), 100, 2.0) for at in (0, 1, 2, 3)] == [0, 25, 100, 200]


@pytest.mark.parametrize("by_loop", [False, True])
async def test_it_ticks_until_it_is_stopped(by_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_loop:
        monkeypatch.setattr(pacing, "_timer_descriptor", lambda start, period: -1)
    ticks: list[int] = []
    start = time.perf_counter_ns() + 5_000_000
    ticker = Ticker(start, 2_000_000, lambda: ticks.append(time.perf_counter_ns()))
    await eventually(lambda: len(ticks) >= 3)
    ticker.stop()
    ticker.stop()
    count = len(ticks)
    await asyncio.sleep(0.01)
    assert len(ticks) == count
    if not by_loop:
        assert ticks[0] >= start


class Due:
    """A client that writes down what is due."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def due(self, count: int, when: int) -> None:
        self.told.append((count, when))

    @property
    def count(self) -> int:
        return sum(count for count, _ in self.told)


async def test_what_is_due_is_shared_out_evenly_up_to_the_limit() -> None:
    clients: Any = [Due() for _ in range(3)]
    start = time.perf_counter_ns()
    pacer = Pacer(clients, Tally(), 10_000, 0.0, 301, start)
    await eventually(lambda: pacer.exhausted)
    assert sorted(client.count for client in clients) == [100, 100, 101]
    for client in clients:
        whens = [when for _, when in client.told]
        assert whens == sorted(whens)
        assert all((when - start) % GRID == 0 for when in whens)


async def test_what_a_slow_loop_missed_counts_from_when_it_was_due() -> None:
    client: Any = Due()
    tally = Tally()
    start = time.perf_counter_ns()
    pacer = Pacer([client], tally, 1000, 0.0, None, start)
    time.sleep(0.02)  # noqa: ASYNC251 - the loop is held up on purpose
    await eventually(lambda: client.told)
    pacer.stop()
    assert client.told[0] == (1, start + 1_000_000)
    assert client.count >= 19
    assert max(tally.lateness) >= 18_000


async def test_with_nobody_to_send_it_nothing_is_sent() -> None:
    tally = Tally()
    pacer = Pacer([], tally, 10_000, 0.0, 20, time.perf_counter_ns())
    await eventually(lambda: pacer.exhausted)
    assert tally.unsent == 20
