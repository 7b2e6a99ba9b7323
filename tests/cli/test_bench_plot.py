"""The picture."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from aionet.cli.bench_plot import check_plot, draw
from aionet.cli.failures import CommandError

from .test_bench_report import RESULT

INTERVALS: list[dict[str, float]] = [
    {"at": number / 4, "seconds": 0.25, "answered": 1000.0 + number, "p50": 500.0, "p99": 2000.0} for number in range(8)
]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_it_is_drawn(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{kind}"
    check_plot(path)
    draw(replace(RESULT, intervals=INTERVALS), path)
    assert path.read_bytes()[:5].strip() in (b"\x89PNG", b"\x89PNG\r", b"<?xml", b"%PDF-")
    assert path.stat().st_size > 5000


def test_of_nothing_it_is_empty(tmp_path: Path) -> None:
    draw(replace(RESULT, histogram=replace(RESULT).histogram), tmp_path / "one.png")
    assert (tmp_path / "one.png").exists()


def test_what_is_missing_is_said_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.UsageError, match="ends with one of"):
        check_plot(tmp_path / "picture.txt")
    with pytest.raises(CommandError, match="there is no directory"):
        check_plot(tmp_path / "nowhere" / "picture.png")
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "matplotlib":
            raise ImportError
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CommandError, match="needs matplotlib") as caught:
        check_plot(tmp_path / "picture.png")
    assert caught.value.hint == "pip install 'aionet[plot]'"
