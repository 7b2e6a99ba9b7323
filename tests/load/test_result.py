from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aionet import Endpoint
from aionet.errors import ConfigError
from aionet.load import Chat, Download, Plan
from aionet.load.engine import Snapshot
from aionet.load.outcome import Outcome
from aionet.load.result import Result
from aionet.load.tally import Tally

from .runs import exchange, plan_for

TCP = Endpoint.parse("tcp://127.0.0.1:7?nodelay=1")


def outcome_of(plan: Plan, tally: Tally | None = None, cpu: float = 0.5) -> Outcome:
    outcome = Outcome(plan, 1)
    outcome.connections = plan.connections
    tally = tally or Tally(sent=100, answered=100, latencies={50: 99, 9000: 1})
    outcome.add(Snapshot(0, "measured", 0, 0.0, 1.0, tally, cpu, 0.0, plan.connections))
    return outcome


def result_of(plan: Plan | None = None, tally: Tally | None = None, cpu: float = 0.5) -> Result:
    return Result.of(outcome_of(plan or plan_for(TCP, exchange(pipeline=3), duration=1.0), tally, cpu))


def test_it_says_what_was_asked_and_what_came() -> None:
    result = result_of()
    assert result.target == "tcp://127.0.0.1:7"
    assert (result.rate, result.bytes_sent, result.bytes_received) == (100.0, 6400, 6400)
    assert result.latency["p50"] == 50
    assert result.settings["pipeline"] == 3
    assert result.settings["codec"] == "RawCodec"
    assert result.intervals == [{"at": 0.0, "seconds": 1.0, "answered": 100, "p50": 50, "p99": 50}]
    assert result.generator == {"processes": 1, "cpu": [0.5], "waited": [0.0], "busy": False, "late": {}}
    assert result.sound


def test_it_can_be_written_and_read() -> None:
    result = result_of()
    assert Result.from_json(result.to_json()) == result
    assert json.loads(result.to_json())["version"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', "nonsense", b"\xff"])
def test_what_is_no_result(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"not JSON|no result of bench"):
        Result.from_json(text)


def test_another_version_is_not_read() -> None:
    with pytest.raises(ConfigError):
        Result.from_json(replace(result_of(), version=2).to_json())


@pytest.mark.parametrize(
    ("tally", "sound"),
    [
        (Tally(sent=1, answered=1), True),
        (Tally(sent=1, answered=1, wrong=1), False),
        (Tally(sent=2, answered=1, unanswered=1), False),
        (Tally(sent=2, answered=1, lost=1, reordered=1), True),
        (Tally(sent=1), False),
    ],
)
def test_what_counts_as_sound(tally: Tally, sound: bool) -> None:
    assert result_of(tally=tally).sound is sound


def test_closing_is_a_failure_unless_it_is_expected() -> None:
    tally = Tally(sent=1, answered=1)
    tally.fail("closed by the peer")
    assert not result_of(tally=tally.take()).sound
    tally = Tally(sent=1, answered=1)
    tally.fail("closed by the peer")
    assert result_of(plan_for(TCP, duration=1.0, reconnect=True), tally).sound


@pytest.mark.parametrize(("cpu", "limit"), [(0.5, False), (0.95, True)])
def test_a_generator_without_a_rest_is_the_limit(cpu: float, limit: bool) -> None:
    assert result_of(cpu=cpu).generator_is_the_limit is limit


def test_a_generator_that_is_late_is_told() -> None:
    plan = plan_for(TCP, duration=1.0, rate=100.0)
    assert result_of(plan, Tally(sent=1, answered=1, lateness={5000: 1})).generator_was_late
    assert not result_of(plan, Tally(sent=1, answered=1, lateness={50: 1})).generator_was_late


def test_each_mode_has_its_unit() -> None:
    udp = Endpoint.parse("udp://127.0.0.1:7")
    assert result_of().unit == "messages"
    assert result_of(plan_for(udp, duration=1.0)).unit == "datagrams"
    files = result_of(plan_for(TCP, Download("x"), duration=1.0), Tally(sent=1, answered=1, bytes_received=5000))
    assert (files.unit, files.bytes_received, files.settings["name"]) == ("downloads", 5000, "x")
    chat = result_of(plan_for(TCP, Chat(2, 64, "b"), duration=1.0, rate=8.0))
    assert (chat.unit, chat.settings["speakers"]) == ("deliveries", 2)
