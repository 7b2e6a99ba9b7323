from __future__ import annotations

import sys

import pytest

from benchmarks.problems import Unavailable
from benchmarks.scenarios.start import wall_seconds


def test_seconds_of_a_command() -> None:
    assert wall_seconds(sys.executable, "-c", "pass")["seconds"] > 0


@pytest.mark.parametrize(
    ("program", "message"), [("import no_such_module", "No module named"), ("raise SystemExit(3)", "exit code 3")]
)
def test_a_command_that_fails_says_why(program: str, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        wall_seconds(sys.executable, "-c", program)
