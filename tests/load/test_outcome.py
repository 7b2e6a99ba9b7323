from __future__ import annotations

import pytest

from aionet import Endpoint
from aionet.load.engine import Phase, Snapshot
from aionet.load.outcome import Outcome
from aionet.load.tally import Tally

from .runs import plan_for

PLAN = plan_for(Endpoint.parse("tcp://127.0.0.1:7"), duration=1.0)


def snapshot(share: int, phase: Phase, number: int, answered: int = 10, at: float = 0.0) -> Snapshot:
    tally = Tally(sent=answered, answered=answered, latencies={5: answered})
    return Snapshot(share, phase, number, at, 0.5, tally, 0.25, 0.1, 2)


def test_an_interval_is_complete_when_all_have_reported() -> None:
    outcome = Outcome(PLAN, 2)
    assert not outcome.add(snapshot(0, "lead", 0))
    assert outcome.add(snapshot(1, "lead", 0))
    assert outcome.latest() is outcome.lead
    assert not outcome.add(snapshot(0, "measured", 0))
    assert not outcome.add(snapshot(0, "measured", 1))
    assert outcome.latest() is outcome.lead
    assert outcome.add(snapshot(1, "measured", 0, 30))
    assert outcome.latest() is outcome.intervals[0]
    assert outcome.intervals[0].tally.answered == 40
    assert outcome.intervals[0].connections == 4


def test_only_what_was_measured_makes_the_rate() -> None:
    outcome = Outcome(PLAN, 2)
    for share in (0, 1):
        outcome.add(snapshot(share, "lead", 0, 1000))
        outcome.add(snapshot(share, "measured", 0, 10))
        outcome.add(snapshot(share, "measured", 1, 20))
        outcome.add(snapshot(share, "drain", 0, 3))
    assert outcome.seconds == 1.0
    assert outcome.rate == 60
    assert outcome.cpu == [0.5, 0.5]
    assert outcome.waited == [0.2, 0.2]
    assert not outcome.busy
    assert outcome.latencies().count == 66
    assert outcome.total().answered == 2066


def test_before_anything_there_is_nothing() -> None:
    outcome = Outcome(PLAN, 2)
    assert (outcome.rate, outcome.seconds, outcome.cpu) == (0.0, 0.0, [0.0, 0.0])


@pytest.mark.parametrize(("digests", "wrong"), [({"aa"}, 0), ({"aa", "bb"}, 1)])
def test_files_that_differ_are_wrong(digests: set[str], wrong: int) -> None:
    outcome = Outcome(PLAN, 1)
    for digest in digests:
        outcome.phases["measured"].digests.add(digest)
    assert outcome.total().wrong == wrong


def test_a_process_that_cannot_connect_is_not_waited_for() -> None:
    outcome = Outcome(PLAN, 2)
    outcome.add_failure(OSError("why"), 7)
    assert outcome.add(snapshot(0, "measured", 0))
    assert outcome.total().failures == {"could not connect": 7}
