"""What a result looks like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aionet.cli.bench_report import (
    bytes_text,
    comparison_lines,
    count_text,
    latency_text,
    result_lines,
    trial_line,
    warnings,
)
from aionet.load.comparison import Change, Comparison
from aionet.load.latency import Latencies
from aionet.load.result import Result
from aionet.load.search import Trial, parse_promises

GENERATOR: dict[str, Any] = {"processes": 1, "cpu": [0.47], "waited": [0.0], "busy": False, "late": {}}

RESULT = Result(
    target="tcp://127.0.0.1:7",
    unit="messages",
    settings={"rate": None, "pipeline": 16, "size": 64, "verify": True},
    connections=50,
    seconds=10.0,
    sent=5_240_320,
    answered=5_240_320,
    rate=524_032.0,
    bytes_sent=33_538_048,
    bytes_received=33_538_048,
    latency={"mean": 1540.0, "p50": 613, "p99": 9303},
    histogram=Latencies({30: 1, 150: 600, 613: 300, 9303: 99}).encode(),
    faults={},
    failures={},
    examples={},
    intervals=[],
    generator=GENERATOR,
    environment={},
    interrupted=False,
)


def lines(**changes: Any) -> list[str]:
    return list(result_lines(replace(RESULT, **changes)))


def test_a_table_and_a_histogram() -> None:
    text = "\n".join(lines())
    assert text.startswith("tcp://127.0.0.1:7: 50 connections, 16 under way on each, 64 bytes, verified\n10 s measured")
    assert "messages     524,032 a second, 33.5 MB/s out, 33.5 MB/s in\nanswered     5,240,320, all right\n" in text
    assert "latency      mean 1.54 ms, p50 613 us, p99 9.3 ms\ngenerator    0.47 of a core\n" in text
    bars = text.split("\n\n")[-1].splitlines()
    assert [bar[:13] for bar in bars[:3]] == ["up to   50 us", "up to  100 us", "up to  200 us"]
    assert [bar.count("\u2588") for bar in bars] == [0, 0, 40, 0, 20, 0, 0, 7]
    assert bars[0].count("\u258f") == 1  # one in a thousand is not nothing
    assert bars[-1].endswith("  100.000%")


def test_what_went_wrong_is_told_with_examples_and_obeyed_by_no_terminal() -> None:
    text = "\n".join(
        lines(
            faults={"wrong": 3, "unanswered": 2},
            failures={"reset by the peer": 1},
            examples={"wrong replies": ["expected b'a', got \x1b[31m"], "reset by the peer": ["why"]},
        )
    )
    assert "but see below" in text
    assert "           3 wrong replies\n               expected b'a', got \\x1b[31m\n" in text
    assert "           2 not answered\n           1 failed: reset by the peer\n               why\n" in text


def test_nothing_at_all() -> None:
    text = "\n".join(lines(answered=0, rate=0.0, seconds=0.0, bytes_sent=0, bytes_received=0, histogram=""))
    assert "messages     0 a second, 0 B/s in" in text
    assert "latency" not in text


def test_an_open_loop_and_a_search() -> None:
    late = {"p50": 40, "p99": 900}
    search = {"promise": "p99<5ms", "rate": 20_000.0, "trials": [{}] * 9}
    text = "\n".join(
        lines(
            settings={**RESULT.settings, "rate": 20_000.0},
            generator={"processes": 2, "cpu": [0.5, 0.4], "waited": [0.0, 0.2], "busy": False, "late": late},
            search=search,
            interrupted=True,
        )
    )
    assert "50 connections, 20,000 messages a second" in text
    assert "p99<5ms holds up to 20,000 a second (9 runs)" in text
    assert "measured by 2 processes, ended early" in text
    assert "0.50, 0.40 of a core; waited for one 20% of the time; sent late by p50 40 us, p99 900 us" in text


def test_a_chat() -> None:
    text = "\n".join(lines(unit="deliveries", settings={"rate": 8.0, "speakers": 2, "size": 64}))
    assert "50 members, 2 of them speak, 8 messages a second, 64 bytes, verified" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generator": {**GENERATOR, "busy": True}}, "all the time): --processes 2"),
        ({"generator": {**GENERATOR, "busy": True, "waited": [0.5]}}, "all the time): it needs more cores"),
        ({"generator": {**GENERATOR, "late": {"p99": 3000}}}, "late by up to 3 ms"),
        ({"settings": {"rate": 1e6}}, "that is more than it can do"),
        (
            {"generator": {"processes": 999, "cpu": [0.1] * 999, "waited": [0.0], "busy": False, "late": {}}},
            "hold each other up",
        ),
        ({"search": {"limited_by_generator": True}}, "higher rates failed"),
        ({"answered": 0, "faults": {"wrong": 1}}, "--expect says what is right"),
    ],
)
def test_what_to_be_wary_of(changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    [warning] = warnings(replace(RESULT, **changes))
    assert said in warning


def test_nothing_to_be_wary_of() -> None:
    assert list(warnings(RESULT)) == []


def test_a_trial() -> None:
    promises = parse_promises("p99<5ms, loss<1%")
    trial = Trial(2000.0, 1990.0, (7300.0, 0.002), False, "p99<5ms", True, False)
    assert trial_line(trial, promises).strip() == (
        "2,000 a second: p99 7.3 ms, loss 0.200%: does not hold: p99<5ms (confirming)"
    )
    assert trial_line(replace(trial, held=True, confirms=False), promises).endswith(": holds")


def test_a_comparison() -> None:
    changes = (
        Change("rate", 1000.0, 1200.0, 1.2, 1.1, 1.3, "better"),
        Change("p99", 500, 400, 0.8, 0.7, 0.9, "better"),
    )
    text = "\n".join(comparison_lines(Comparison(changes, ("pipeline: 1, now 2",))))
    assert "rate          1,000        1,200   1.200  1.100 .. 1.300   better" in text
    assert "p99          500 us       400 us   0.800" in text
    assert text.endswith("not the same test: pipeline: 1, now 2")


def test_numbers() -> None:
    assert [count_text(value) for value in (0, 5, 12.34, 1234.5)] == ["0", "5", "12.3", "1,234"]
    assert [bytes_text(value) for value in (0, 999, 1500, 2e6, 3e9, 4e13)] == [
        *("0 B", "999 B", "1.5 kB", "2 MB", "3 GB", "4e+04 GB")
    ]
    assert latency_text(1540) == "1.54 ms"
