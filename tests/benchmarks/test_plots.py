from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.plots import draw

from .canned import canned

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_run_has_its_pictures(tmp_path: Path) -> None:
    pictures = draw(canned(), tmp_path)
    assert pictures == {
        "": ["overview.png"],
        "echo": ["echo.png", "echo-latency.png", "echo-curve.png"],
        "lines": ["lines.png", "lines-latency.png"],
    }
    for file in [file for files in pictures.values() for file in files]:
        assert (tmp_path / file).read_bytes().startswith(PNG)


def test_nothing_measured_is_no_picture(tmp_path: Path) -> None:
    report = canned()
    for case in report.cases:
        for row in case.rows:
            row.problem = "not installed"
    assert draw(report, tmp_path) == {}
    assert draw(replace(report, cases=[]), tmp_path) == {}


def test_without_matplotlib_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.plots.find_spec", lambda name: None)
    assert draw(canned(), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
