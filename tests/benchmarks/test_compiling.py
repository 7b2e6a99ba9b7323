from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import compiling
from benchmarks.compiling import compiled, compiled_go
from benchmarks.problems import Unavailable

C_PROGRAMS = sorted(path.stem for folder in compiling.SOURCES for path in folder.glob("*.c"))


@pytest.mark.parametrize("name", C_PROGRAMS)
def test_every_program_compiles_without_a_warning(name: str, tmp_path: Path) -> None:
    program = compiled(name, build=tmp_path)
    assert program.stat().st_mode & 0o111


def test_a_program_is_compiled_once(tmp_path: Path) -> None:
    program = compiled("c_echo", build=tmp_path)
    made = program.stat().st_mtime_ns
    assert compiled("c_echo", build=tmp_path) == program
    assert program.stat().st_mtime_ns == made
    assert list(tmp_path.iterdir()) == [program], "nothing unfinished is left"


def test_a_changed_header_is_another_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(compiling.SOURCES[1], sources)
    monkeypatch.setattr(compiling, "SOURCES", (sources,))
    first = compiled("c_echo", build=tmp_path)
    with (sources / "c_server.h").open("a") as header:
        header.write("/* changed */\n")
    assert compiled("c_echo", build=tmp_path) != first


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Unavailable, match=r"'cc' was not found.*apt install gcc"):
        compiled("streams", build=tmp_path)
    with pytest.raises(Unavailable, match=r"Go is not installed .*apt install golang-go"):
        compiled_go("go_echo", build=tmp_path)


def test_what_the_compiler_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.c").write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(compiling, "SOURCES", (tmp_path,))
    with pytest.raises(Unavailable, match=r"cannot compile broken\.c[\s\S]*nothing"):
        compiled("broken", build=tmp_path / "build")


def test_tls_that_cannot_be_compiled_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret.c").write_text("#include <openssl/nothing_of_this_name.h>\nint main(void) { return 0; }\n")
    monkeypatch.setattr(compiling, "SOURCES", (tmp_path,))
    with pytest.raises(Unavailable, match=r"headers of OpenSSL are missing .*apt install libssl-dev"):
        compiled("secret", tls=True, build=tmp_path / "build")
