from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .tools import PACKAGES, in_ci, require

SCRIPT = Path(__file__).parent.parent / "scripts" / "install-test-tools.sh"


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("value", "expected"), [("", False), ("0", False), ("false", False), ("true", True), ("1", True)]
)
def test_ci_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("CI", value)
    assert in_ci() is expected


def test_a_program_that_is_here_is_returned_with_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "socat"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert require("socat") == str(program) == shutil.which("socat")


@pytest.mark.usefixtures("empty_path")
def test_a_developer_without_the_program_skips_and_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"nc is not installed: .* netcat-openbsd"):
        require("nc")


@pytest.mark.usefixtures("empty_path")
def test_ci_without_the_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"redis-cli is not installed: .* redis-tools"):
        require("redis-cli")


def test_the_script_installs_exactly_what_tests_may_require() -> None:
    wanted = re.findall(r"^want (\S+) (\S+)$", SCRIPT.read_text(), re.MULTILINE)
    assert dict(wanted) == PACKAGES
