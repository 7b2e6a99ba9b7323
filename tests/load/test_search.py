"""The search, against servers that are functions of the rate."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from aionet import Endpoint
from aionet.errors import ConfigError
from aionet.load.engine import Snapshot
from aionet.load.outcome import Outcome
from aionet.load.plan import Plan
from aionet.load.search import CONFIRMATIONS, Search, find_max, parse_promises
from aionet.load.tally import Tally

from .runs import plan_for

PLAN = plan_for(Endpoint.parse("tcp://127.0.0.1:7"), duration=5.0, warmup=1.0)
Server = Callable[[float], Tally]


def search(server: Server, promise: str = "p99<5ms", plan: Plan = PLAN, cpu: float = 0.5) -> Search:
    def run(plan: Plan) -> Outcome:
        assert plan.rate is not None
        assert plan.duration is not None
        outcome = Outcome(plan, 1)
        tally = server(plan.rate * plan.duration)
        outcome.add(Snapshot(0, "measured", 0, 0.0, plan.duration, tally, cpu * plan.duration, 0.0, 4))
        return outcome

    return find_max(plan, parse_promises(promise), run)


def answering(latency: Callable[[float], float]) -> Server:
    """A server whose latency is a function of messages."""

    def serve(messages: float) -> Tally:
        count = int(messages)
        return Tally(sent=count, answered=count, latencies={int(latency(messages)): count})

    return serve


def knee(at: float, chance: random.Random | None = None) -> Callable[[Plan], Outcome]:
    """A server that keeps 1 ms up to a rate and 50 ms above it; by chance it has a slow moment."""

    def run(plan: Plan) -> Outcome:
        assert plan.rate is not None
        assert plan.duration is not None
        outcome = Outcome(plan, 1)
        slow = plan.rate > at or (chance is not None and chance.random() < 0.1)
        count = int(plan.rate * plan.duration)
        tally = Tally(sent=count, answered=count, latencies={50_000 if slow else 1000: count})
        outcome.add(Snapshot(0, "measured", 0, 0.0, plan.duration, tally, 0.1, 0.0, 4))
        return outcome

    return run


@pytest.mark.parametrize("limit", [3.0, 40.0, 999.0, 1000.0, 12_345.0, 700_000.0])
def test_it_finds_the_knee_and_two_long_runs_hold(limit: float) -> None:
    found = find_max(PLAN, parse_promises("p99<5ms"), knee(limit))
    assert limit * 0.8 <= found.rate <= limit
    confirming = [trial for trial in found.trials if trial.confirms]
    assert [trial.held for trial in confirming[-CONFIRMATIONS:]] == [True] * CONFIRMATIONS
    assert found.outcome is not None
    assert found.outcome.plan.duration == PLAN.duration
    assert len(found.trials) < 50


@pytest.mark.parametrize("seed", range(5))
def test_slow_moments_do_not_mislead_it_far(seed: int) -> None:
    found = find_max(PLAN, parse_promises("p99<5ms"), knee(20_000, random.Random(seed)))
    assert 8_000 <= found.rate <= 20_000


def test_what_never_holds() -> None:
    found = search(answering(lambda messages: 9000))
    assert (found.rate, found.outcome) == (0.0, None)
    assert found.trials[-1].why == "p99<5ms"


def test_a_long_run_that_does_not_hold_lowers_the_rate() -> None:
    """Short runs hold up to 8,000 a second, long ones up to 5,000."""
    found = search(answering(lambda messages: 1000 if messages <= 25_000 and messages / 2 <= 16_000 else 50_000))
    assert 4_000 <= found.rate <= 5_000
    assert any(trial.confirms and not trial.held for trial in found.trials)


@pytest.mark.parametrize(
    ("tally", "why"),
    [
        (Tally(sent=1000, answered=1000, wrong=1), "wrong replies"),
        (Tally(sent=1000, answered=990, unanswered=10), "wrong replies"),
        (Tally(sent=900, answered=900), "not all could be sent"),
        (Tally(sent=2000, answered=900), "answers fell behind"),
    ],
)
def test_why_a_rate_does_not_hold(tally: Tally, why: str) -> None:
    found = search(lambda messages: tally.take() if tally.sent else Tally(), plan=PLAN.with_rate(1000.0))
    assert found.trials[0].why.startswith(why)


def test_a_busy_generator_is_told() -> None:
    found = find_max(PLAN, parse_promises("p99<5ms"), knee(5000))
    assert not found.limited_by_generator
    assert search(answering(lambda messages: 1000 if messages < 20_000 else 9000), cpu=0.95).limited_by_generator


def test_loss_is_a_promise_too() -> None:
    def serve(messages: float) -> Tally:
        count = int(messages)
        lost = count // 10 if messages > 10_000 else 0
        return Tally(sent=count, answered=count - lost, lost=lost, latencies={100: count - lost})

    found = search(serve, "loss<1%, mean<1ms, max<2ms")
    assert 1_500 <= found.rate <= 2_000
    assert found.trials[-1].values == (0.0, 100.0, 100.0)
    assert found.facts()["promise"] == "loss<1%, mean<1ms, max<2ms"


def test_interrupted_it_stops() -> None:
    def run(plan: Plan) -> Outcome:
        outcome = Outcome(plan, 1)
        outcome.interrupted = True
        return outcome

    found = find_max(PLAN, parse_promises("p99<5ms"), run)
    assert len(found.trials) == 1
    assert found.outcome is None


@pytest.mark.parametrize(
    "text", ["", "p99", "p99>5ms", "p99<5", "p99<0ms", "loss<5ms", "p50<1%", "p100<1s", "foo<1s", "p99<5ms,"]
)
def test_what_is_no_promise(text: str) -> None:
    with pytest.raises(ConfigError, match="is no limit"):
        parse_promises(text)


def test_promises_are_read() -> None:
    read = parse_promises("p99.9 <= 1.5s, p50<300us")
    assert [(promise.what, promise.limit) for promise in read] == [("p99.9", 1_500_000.0), ("p50", 300.0)]
