from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import compiling
from benchmarks.compiling import compiled
from benchmarks.problems import Unavailable


@pytest.mark.parametrize("name", sorted(path.stem for path in compiling.SOURCES.glob("*.c")))
def test_every_program_compiles_without_a_warning(name: str, tmp_path: Path) -> None:
    program = compiled(name, tmp_path)
    assert program.stat().st_mode & 0o111


def test_a_program_is_compiled_once(tmp_path: Path) -> None:
    program = compiled("echo_server", tmp_path)
    made = program.stat().st_mtime_ns
    assert compiled("echo_server", tmp_path) == program
    assert program.stat().st_mtime_ns == made
    assert list(tmp_path.iterdir()) == [program], "nothing unfinished is left"


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Unavailable, match=r"'cc' was not found.*apt install gcc"):
        compiled("load", tmp_path)


def test_what_the_compiler_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.c").write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(compiling, "SOURCES", tmp_path)
    with pytest.raises(Unavailable, match=r"cannot compile broken\.c[\s\S]*nothing"):
        compiled("broken", tmp_path / "build")
