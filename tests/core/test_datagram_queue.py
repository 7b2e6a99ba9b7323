"""Bounds of a queue, and the report of what was dropped."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from aionet.core.datagram_queue import MAX_BYTES, MAX_DATAGRAMS, REPORT_INTERVAL, DatagramQueue, DropReport
from aionet.events import DatagramsDropped, Events


def test_bounded_in_number_even_for_empty_datagrams() -> None:
    queue = DatagramQueue()
    assert sum(queue.put((b"", None)) for _ in range(MAX_DATAGRAMS + 10)) == MAX_DATAGRAMS
    queue.pop()
    assert queue.put((b"", None))


def test_bounded_in_bytes() -> None:
    queue = DatagramQueue()
    assert sum(queue.put((bytes(65507), None)) for _ in range(MAX_DATAGRAMS)) == MAX_BYTES // 65507


@given(st.lists(st.one_of(st.none(), st.integers(0, 300_000))))
def test_size_is_the_sum_of_what_waits(steps: list[int | None]) -> None:
    queue = DatagramQueue()
    for step in steps:
        if step is not None:
            queue.put((bytes(step), None))
        elif queue.items:
            queue.pop()
        assert queue.size == sum(len(data) for data, _ in queue.items) <= MAX_BYTES


class FakeLoop:
    """A clock that the test moves, with at most one timer."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timer: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        assert self.timer is None
        self.timer = (when, callback)
        return self

    def cancel(self) -> None:
        self.timer = None

    def advance(self) -> None:
        assert self.timer is not None
        self.now, callback = self.timer
        callback()


def make() -> tuple[FakeLoop, Events, DropReport]:
    loop, events = FakeLoop(), Events()
    return loop, events, DropReport(cast(asyncio.AbstractEventLoop, loop), events, "udp://127.0.0.1:1")


def test_reports_are_summed_up_and_a_second_apart() -> None:
    loop, events, drops = make()
    seen: list[tuple[float, DatagramsDropped]] = []
    events.subscribe(lambda event: seen.append((loop.now, event)), DatagramsDropped)
    drops.add(1, "a")
    drops.add(2, "a")
    loop.advance()
    drops.add(5, "a")
    drops.add(1, "b")
    assert len(seen) == 1
    loop.advance()
    assert seen == [
        (100.0, DatagramsDropped("udp://127.0.0.1:1", 3, "a (3)")),
        (100.0 + REPORT_INTERVAL, DatagramsDropped("udp://127.0.0.1:1", 6, "a (5); b (1)")),
    ]
    assert drops.total == 9
    assert loop.timer is None


def test_the_end_reports_the_rest_and_leaves_no_timer() -> None:
    loop, events, drops = make()
    seen: list[DatagramsDropped] = []
    events.subscribe(seen.append, DatagramsDropped)
    drops.add(0, "nothing")
    assert loop.timer is None
    drops.add(4, "a")
    drops.finish()
    drops.add(1, "too late")
    assert [event.count for event in seen] == [4]
    assert drops.total == 5
    assert loop.timer is None


def test_nobody_listens_no_timer() -> None:
    loop, _, drops = make()
    drops.add(4, "a")
    assert drops.total == 4
    assert loop.timer is None
