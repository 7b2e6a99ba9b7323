from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.measuring import Figure, Goal, Role, Row, Sample, Subject, measure
from benchmarks.problems import Unavailable
from benchmarks.report import as_json, environment_block, number, table

VALUES = {"bare": 10.0, "ours": 11.0}
FIGURE = Figure(
    key="echo",
    title="1 KiB",
    unit="us a message",
    subjects=[
        Subject("bare", "bare Protocol", ()),
        Subject("ours", "aionet", (), Role.OURS, Goal(1.15, ratio=True)),
        Subject("gone", "Twisted", ()),
    ],
    baseline="bare",
    rounds=2,
    take=lambda subject: take(subject),
    notes=["a note."],
)


def take(subject: Subject) -> Sample:
    if subject.key == "gone":
        raise Unavailable("not installed")
    return Sample(VALUES[subject.key], {"server core": 0.5, "messages/s": 12345.6})


@pytest.fixture
def rows() -> list[Row]:
    return measure(FIGURE)


def test_table_has_a_line_for_every_subject(rows: list[Row]) -> None:
    lines = table(FIGURE, rows).splitlines()
    assert lines[:2] == ["echo: 1 KiB", "  us a message; ratio to bare Protocol"]
    assert " ".join(lines[2].split()) == "median min .. max ratio 95 % messages/s server core goal verdict"
    assert " ".join(lines[3].split()) == "bare Protocol 10.0 10.0 .. 10.0 1 12,346 50%"
    assert " ".join(lines[4].split()) == "aionet (ours) 11.0 11.0 .. 11.0 1.10 1.10 .. 1.10 12,346 50% <= 1.15 x met"
    assert " ".join(lines[5].split()) == "Twisted - - -"


def test_table_says_why_something_is_missing_and_what_to_beware_of(rows: list[Row]) -> None:
    text = table(FIGURE, rows)
    assert "Twisted: not measured: not installed" in text
    assert "could not keep it busy" in text
    assert text.endswith("  a note.")


def test_a_disturbed_measurement_is_called_so() -> None:
    disturbed = Sample(10.0, {"server core": 0.5, "waited": 0.4})
    figure = replace(FIGURE, take=lambda subject: disturbed)
    text = table(figure, measure(figure))
    assert "other processes had the server's core" in text
    assert "could not keep it busy" not in text


def test_columns_are_aligned(rows: list[Row]) -> None:
    lines = table(FIGURE, rows).splitlines()
    end = lines[2].index("median") + len("median")
    assert [line[end - 4 : end] for line in lines[3:5]] == ["10.0", "11.0"]


def test_json_has_every_round(rows: list[Row]) -> None:
    told = json.loads(json.dumps(as_json(FIGURE, rows)))
    ours = told["rows"][1]
    assert ours["ratio"] == pytest.approx(1.1)
    assert ours["samples"] == [{"value": 11.0, "server core": 0.5, "messages/s": 12345.6}] * 2
    assert ours["verdict"] == "met"
    assert told["rows"][2]["problem"] == "not installed"


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
