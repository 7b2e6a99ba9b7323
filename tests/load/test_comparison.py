from __future__ import annotations

import random
from dataclasses import replace

from aionet.load.comparison import compare
from aionet.load.result import Result

from .test_result import result_of


def with_rates(mean: float, spread: float = 0.02, *, count: int = 30, p99: float = 500, seed: int = 1) -> Result:
    chance = random.Random(seed)
    intervals = [
        {
            "at": number / 4,
            "seconds": 0.25,
            "answered": mean * chance.gauss(1, spread) / 4,
            "p50": 100 * chance.gauss(1, spread),
            "p99": p99 * chance.gauss(1, spread),
        }
        for number in range(count)
    ]
    return replace(result_of(), intervals=intervals)


def verdicts(before: Result, after: Result) -> dict[str, str]:
    return {change.name: change.verdict for change in compare(before, after).changes}


def test_the_same_again_is_no_change() -> None:
    none = "no change beyond the noise"
    for seed in range(2, 12):
        assert verdicts(with_rates(1000), with_rates(1000, seed=seed)) == {"rate": none, "p50": none, "p99": none}


def test_better_and_worse_have_their_direction() -> None:
    found = verdicts(with_rates(1000, p99=500), with_rates(1200, p99=700, seed=2))
    assert (found["rate"], found["p99"]) == ("better", "worse")
    found = verdicts(with_rates(1200, p99=700), with_rates(1000, p99=500, seed=2))
    assert (found["rate"], found["p99"]) == ("worse", "better")


def test_a_drift_within_a_run_is_noise() -> None:
    drifting = with_rates(1000)
    for interval in drifting.intervals[15:]:
        interval["answered"] *= 1.5
    assert verdicts(drifting, with_rates(1400, seed=2))["rate"] == "no change beyond the noise"


def test_few_intervals_say_nothing() -> None:
    assert verdicts(with_rates(1000, count=4), with_rates(2000, count=4))["rate"] == "too few intervals"


def test_of_nothing_nothing_is_said() -> None:
    assert compare(replace(result_of(), intervals=[]), with_rates(1000)).changes == ()


def test_it_is_told_that_it_is_another_test() -> None:
    before, after = with_rates(1000), with_rates(1000)
    assert compare(before, after).differences == ()
    after = replace(after, settings={**after.settings, "pipeline": 16}, target="tcp://127.0.0.1:8")
    assert compare(before, after).differences == (
        "target: tcp://127.0.0.1:7, now tcp://127.0.0.1:8",
        "pipeline: 3, now 16",
    )
