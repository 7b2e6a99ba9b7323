"""How many are under way, and from when each one counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.endpoint import Endpoint
from aionet.load import clients
from aionet.load.clients import UNLIMITED, OrderedClient
from aionet.load.tally import Tally


class Fake(OrderedClient):
    def __init__(self, window: int, quota: int) -> None:
        super().__init__(Tally(), window, quota)
        self.transmitted: list[int] = []
        self.disconnected: list[bool] = []

    async def open(self, endpoint: Endpoint, timeout: float) -> None: ...

    def _disconnect(self, *, at_once: bool) -> None:
        self.disconnected.append(at_once)

    def _transmit(self, count: int) -> None:
        self.transmitted.append(count)

    answer = OrderedClient._count_answers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_000_000]
    monkeypatch.setattr(clients, "_clock", lambda: now[0])
    return now


def test_a_closed_loop_keeps_its_window_full(clock: list[int]) -> None:
    client = Fake(4, 10)
    client.start()
    assert client.transmitted == [4]
    clock[0] += 5000
    client.answer(3)
    clock[0] += 2000
    client.answer(4)
    assert client.transmitted == [4, 3, 3]
    assert not client.idle
    clock[0] += 1000
    client.answer(3)
    assert client.idle
    assert client.tally.latencies == {5: 3, 7: 1, 2: 3, 1: 3}
    assert (client.tally.sent, client.tally.answered) == (10, 10)


def test_finishing_lets_answers_come_and_sends_no_more(clock: list[int]) -> None:
    client = Fake(2, UNLIMITED)
    client.start()
    client.finish()
    assert not client.idle
    client.answer(2)
    assert client.idle
    assert client.transmitted == [2]


def test_an_open_loop_counts_from_when_it_was_due(clock: list[int]) -> None:
    client = Fake(2, 0)
    begin = clock[0]
    client.due(5, begin)
    client.due(1, begin + 3000)
    assert (client.transmitted, client.unsent) == ([2], 4)
    clock[0] += 10_000
    client.answer(2)
    clock[0] += 10_000
    client.answer(2)
    assert client.transmitted == [2, 2, 1, 1]
    clock[0] += 10_000
    client.answer(2)
    assert client.tally.latencies == {10: 2, 20: 2, 30: 1, 27: 1}
    assert client.idle


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), max_size=30))
def test_nothing_is_lost_on_the_way(window: int, steps: list[tuple[int, int]]) -> None:
    client = Fake(window, 0)
    due = answered = 0
    for count, answers in steps:
        client.due(count, 0)
        due += count
        under_way = sum(client.transmitted) - answered
        assert under_way <= window
        assert client.unsent == due - sum(client.transmitted)
        now = min(answers, under_way)
        if now:
            client.answer(now)
            answered += now
    assert client.tally.answered == answered == sum(client.tally.latencies.values())
    assert client.tally.sent + client.unsent == due


def test_answers_to_nothing_end_it(clock: list[int]) -> None:
    client = Fake(2, 2)
    client.start()
    client.answer(3)
    assert (client.tally.answered, client.tally.wrong) == (2, 1)
    assert client.tally.failures == {"more answers than questions": 1}
    assert client.disconnected == [True]


def test_silence_is_given_up_and_progress_is_not(clock: list[int]) -> None:
    client = Fake(2, UNLIMITED)
    client.check(0, 100)
    client.start()
    client.check(50, 100)
    client.check(150, 100)
    client.answer(1)
    client.check(200, 100)
    client.check(299, 100)
    assert not client.disconnected
    client.check(301, 100)
    assert client.disconnected == [True]
    assert client.tally.failures == {"no answer in time": 1}
    assert client.tally.unanswered == 2
    client.close()
    client.give_up("again")
    assert client.tally.failures.total() == 1


def test_a_client_that_left_sends_nothing() -> None:
    client = Fake(2, 0)
    client.close()
    client.due(3, 0)
    client.start()
    assert client.transmitted == []
    assert client.tally.unsent == 3
