from __future__ import annotations

import pytest

from benchmarks.report import environment_block, goals_table, markdown, number, table

from .canned import canned


def squeezed(line: str) -> str:
    return " ".join(line.split())


def test_a_table_has_a_line_for_every_row_best_first() -> None:
    lines = table(canned().cases[1]).splitlines()
    assert lines[:2] == ["echo-1024-64-1: 1 KiB, 64 connections", "  us of server CPU a message; ratio to uvloop"]
    header = "median min .. max ratio 95 % messages/s p50 us p99 us p99.9 us RSS MB server others load"
    assert squeezed(lines[2]) == header
    assert [line.split()[0] for line in lines[3:8]] == ["c", "aionet", "uvloop", "again", "Twisted"]
    assert squeezed(lines[4]).startswith(
        "aionet (ours) 11.0 10.8 .. 11.1 0.92 0.92 .. 0.92 90,000 100 300 900 25.0 99%"
    )
    assert squeezed(lines[7]) == "Twisted absent"


def test_a_table_says_what_to_beware_of() -> None:
    case = canned().cases[1]
    text = table(case)
    assert "Twisted: not measured: twisted is not installed (make bench-peers)" in text
    assert "noise: 3%, by the baseline measured twice" in text
    assert (
        "load generator: 120,000 messages a second of its core, 1.08 x the fastest server (1.32 x without C); less"
        in text
    )
    assert "core was busy with others" not in text
    case.rows[0].samples[:] = [{**sample, "others": 0.4} for sample in case.rows[0].samples]
    assert "core was busy with others" in table(case)


def test_columns_are_aligned() -> None:
    lines = table(canned().cases[1]).splitlines()
    end = lines[2].index("median") + len("median")
    assert [line[end - 4 : end] for line in lines[3:6]] == ["9.00", "11.0", "12.0"]


def test_goals_have_a_verdict_each() -> None:
    lines = [squeezed(line) for line in goals_table(list(canned().cases[1].outcomes(2))).splitlines()]
    assert lines == [
        "goals",
        "goal wanted measured 95 % verdict",
        "echo, to uvloop <= 1 x 0.917 x 0.917 .. 0.917 reached",
        "echo, to C <= 1.15 x 1.22 x 1.22 .. 1.22 not reached",
        "echo, to Twisted <= 0.3 x - not measured: twisted is not installed (make bench-peers)",
    ]


def test_the_report_holds_everything() -> None:
    text = markdown(canned(), {"": ["overview.png"], "echo": ["echo.png"]})
    assert "* python: CPython 3.11" in text
    assert "![overview](overview.png)" in text
    assert "| echo, to C | <= 1.15 x | 1.22 x | 1.22 .. 1.22 | not reached |" in text
    assert "* echo, Twisted: twisted is not installed" in text
    assert text.index("## echo") < text.index("![echo](echo.png)") < text.index("### 1 KiB, 64 connections")
    assert "* a note." in text
    tables = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert min(tables) > 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123, "0.012"),
        (0.34, "0.340"),
        (5.678, "5.68"),
        (56.78, "56.8"),
        (567.8, "568"),
        (9999.6, "10,000"),
        (1_234_567.0, "1,234,567"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_environment_is_aligned() -> None:
    assert environment_block({"cpu": "x", "kernel": "y"}) == "cpu     x\nkernel  y"
