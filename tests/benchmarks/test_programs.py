from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.problems import Unavailable
from benchmarks.programs import Program, c, go, node, python, system


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (python("echo", needs=["no_such_module"]), r"no_such_module is not installed \(make bench-peers\)"),
        (system("no-such-server", package="serverd"), r"no-such-server is not installed .* apt install serverd"),
        (node("node_echo"), "node is not installed"),
        (go("go_echo"), "Go is not installed"),
        (c("c_echo"), "no C compiler"),
    ],
)
def test_who_is_absent_says_how_to_be_installed(
    program: Program, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("benchmarks.programs.SBIN", str(tmp_path))
    with pytest.raises(Unavailable, match=message):
        program.find()


def test_a_program_in_sbin_is_found_by_those_who_have_it_not_in_their_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = tmp_path / "served"
    server.touch(0o755)
    monkeypatch.setattr("benchmarks.programs.SBIN", str(tmp_path))
    assert system("served", package="serverd").find() == (str(server),)


def test_arguments_are_added_behind() -> None:
    assert python("echo", "--a").with_arguments("--b", "c").arguments == ("--a", "--b", "c")
