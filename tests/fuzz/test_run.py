"""Every target for a fixed number of inputs from a fixed seed; ``make fuzz`` goes on for minutes from a new one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from .run import TARGETS, fuzz, main

RUNS = 1000

if importlib.util.find_spec("atheris") is None:
    pytest.skip("atheris is made for Linux", allow_module_level=True)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str) -> None:
    outcome = fuzz(target, RUNS, seconds=30, seed=1)
    assert outcome.runs, outcome.output
    assert "cov:" in outcome.summary


def test_what_fails_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = fuzz("nothing", 1, seconds=1, seed=1)
    assert outcome.runs == 0
    assert "No module named 'tests.fuzz.fuzz_nothing'" in outcome.output
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "no target nothing; there are " in capsys.readouterr().err


def test_one_input_can_be_tried_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert main(["http_head", "--replay", str(kept)]) == 0
    with pytest.raises(SystemExit):
        main(["--replay", str(kept)])


def test_the_outcome_of_each_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http_head", "--runs", "50", "--seconds", "5", "--seed", "7"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("http_head               50 inputs, seed 7: cov: ")
