"""What README.md says is so: its code runs, its commands work, its tables are those of the source."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from aionet import CloseReason, Limits, Timeouts
from aionet.endpoint import OPTIONS, SCHEMES
from aionet.events import Event

from .documents import ROOT, anchors, blocks, rows, serve, shell
from .tools import require

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: Final = blocks(README)
PYTHON: Final = [text for language, text in BLOCKS if language == "python"]
DOCS: Final = sorted((ROOT / "docs").glob("*.md"))
IN_DOCS: Final = [
    text
    for file in DOCS
    if file.name != "cheatsheet.md"  # its blocks lean on one another: tests/test_cheatsheet.py
    for language, text in blocks(file.read_text(encoding="utf-8"))
    if language == "python"
]
SHELL: Final = [line for language, text in BLOCKS if language == "shell" for line in text.splitlines()]


def named(name: str) -> str:
    """The Python block that begins with ``# name``."""
    (text,) = [text for text in PYTHON if text.startswith(f"# {name}\n")]
    return text


# ── Python ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", [text for text in [*PYTHON, *IN_DOCS] if not text.startswith("#")])
def test_a_block_runs_by_itself(text: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(text)
    for directory in ("shared_files", "incoming"):
        (tmp_path / directory).mkdir()
    done = shell(f"ANNAS_TOKEN={'a' * 16} OTTOS_TOKEN={'o' * 16} python block.py", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_handler_its_client_and_its_command(tmp_path: Path) -> None:
    require("nc")
    (command,) = [line for line in SHELL if "7000" in line]
    (tmp_path / "myapp.py").write_text(named("myapp.py").replace(":7000", ":0"))
    with serve(tmp_path, "myapp:router") as ports:
        (port,) = ports.values()
        assert shell(command.replace("7000", str(port)), tmp_path).stdout == "HELLO\n"
        (tmp_path / "client.py").write_text(named("client.py").replace("7000", str(port)))
        assert shell("python client.py", tmp_path).stdout == "b'HELLO'\n"


def test_the_test(tmp_path: Path) -> None:
    (tmp_path / "myapp.py").write_text(named("myapp.py"))
    (tmp_path / "test_myapp.py").write_text(named("test_myapp.py"))
    done = shell("python -m pytest -q -p no:cacheprovider -p no:asyncio test_myapp.py", tmp_path)
    assert "1 passed" in done.stdout, done.stdout


def test_the_same_handler_over_websocket(tmp_path: Path) -> None:
    (tmp_path / "browser.py").write_text(named("browser.py").replace(":8081", ":0"))
    with serve(tmp_path, "browser:router") as ports:
        (port,) = ports.values()
        done = shell(f"python -m aionet send ws://127.0.0.1:{port}/shout hello", tmp_path)
        assert (done.returncode, done.stdout) == (0, "HELLO\n")


def test_three_services_on_one_port(tmp_path: Path) -> None:
    require("nc")
    (command,) = [line for line in SHELL if "=echo,chat,files" in line]
    (tmp_path / "shared_files").mkdir()
    with serve(tmp_path, command.split()[-1].replace(":4000", ":0")) as ports:
        port = next(iter(ports.values()))
        assert shell(f"printf 'hi\\n' | nc -N 127.0.0.1 {port}", tmp_path).stdout == "hi\n"
        assert shell(f"python -m aionet ls tcp://127.0.0.1:{port}", tmp_path).returncode == 0


def test_each_named_block_is_tested() -> None:
    assert {text.split()[1] for text in PYTHON if text.startswith("#")} == {
        *("browser.py", "client.py", "myapp.py", "test_myapp.py")
    }


# ── shell ────────────────────────────────────────────────────────────────────────────────────────────────────────────

EXPECTED: Final = {
    "printf 'hi\\n' | nc -N 127.0.0.1 8080": "hi\n",
    "printf 'hi' | nc -u": "hi",
    "nc 127.0.0.1 9999": "ada",
    "python -m aionet chat": "ada",
    "python -m aionet ls": "notes.txt",
    "python -m aionet get": "copy.txt",
    "python -m aionet send tcp": "hello",
    "python -m aionet send udp": "hello",
}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, int]]]:
    """The four services, and where they are at work."""
    cwd = tmp_path_factory.mktemp("four")
    (cwd / "shared_files").mkdir()
    (cwd / "shared_files" / "notes.txt").write_text("noted\n")
    targets = [f"{scheme}://127.0.0.1:0={name}" for scheme, name in FOUR.values()]
    with serve(cwd, *targets) as ports:
        yield cwd, ports


FOUR: Final = {"8080": ("tcp", "echo"), "u8080": ("udp", "datagram"), "9999": ("tcp", "chat"), "5000": ("tcp", "files")}


@pytest.mark.parametrize("start", EXPECTED)
def test_a_command_for_the_four_services(start: str, four: tuple[Path, dict[str, int]]) -> None:
    require("nc")
    cwd, ports = four
    (line,) = [line for line in SHELL if line.startswith(start)]
    command = line.partition("  #")[0]
    (fixed,) = re.findall(r"\b\d{4}\b", command)
    scheme, name = FOUR[f"u{fixed}" if "nc -u" in command or "udp:" in command else fixed]
    command = command.replace(fixed, str(ports[f"{scheme}:{name}"]))
    done = shell(command, cwd, stdin="ada\n/who\n/quit\n" if name == "chat" else "")
    assert done.returncode == 0, done.stderr
    assert EXPECTED[start] in done.stdout
    if "get" in command:
        assert (cwd / "copy.txt").read_text() == "noted\n"


def test_the_other_commands_are_of_make() -> None:
    rest = [line for line in SHELL if "7000" not in line and "4000" not in line]
    rest = [line for line in rest if not line.startswith(tuple(EXPECTED))]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert rest
    for line in rest:
        program, target, *_ = line.split()
        assert program == "make"
        assert target in targets


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_limits_and_deadlines_are_those_of_the_source() -> None:
    wanted = {f"`Limits.{field.name}`": f"{field.default:,}" for field in dataclasses.fields(Limits)}
    wanted |= {f"`Timeouts.{field.name}`": f"{field.default:g} s" for field in dataclasses.fields(Timeouts)}
    assert {name: default for name, default, _ in rows(README, "| name | default | what it bounds |")} == wanted


def test_options_are_those_of_the_source() -> None:
    kinds = {bool: "0/1", int: "number", str: "text"}
    wanted = [
        [
            f"`{key}`",
            ", ".join(scheme for scheme in SCHEMES if scheme in option.schemes),
            kinds[option.kind],
            option.meaning,
        ]
        for key, option in OPTIONS.items()
    ]
    found = rows(README, "| option | schemes | value | meaning |")
    assert [[key, set(schemes.split(", ")), *rest] for key, schemes, *rest in found] == [
        [key, set(schemes.split(", ")), *rest] for key, schemes, *rest in wanted
    ]


def test_codecs_have_these_limits() -> None:
    import aionet

    for codec, _, limit in rows(README, "| codec | a message is | default limit |"):
        made = getattr(aionet, codec.strip("`"))
        if limit[0].isdigit():
            assert made().max_size == int(limit.replace(",", ""))


def test_exit_codes_are_those_of_the_command() -> None:
    from aionet.cli import failures
    from aionet.errors import ConfigError, StartupError

    assert [row[0] for row in rows(README, "| code | meaning |")] == ["0", "1", "2", "3", "4", "5"]
    assert (failures.DEFECT, failures.USAGE, StartupError.exit_code, ConfigError.exit_code) == (1, 2, 3, 4)


@pytest.mark.parametrize("file", [ROOT / "README.md", *DOCS], ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", file.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = file.parent / path if path else file
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text(encoding="utf-8")), target


def test_all_close_reasons_and_events_are_told() -> None:
    handlers = (ROOT / "docs" / "handlers.md").read_text()
    assert re.findall(r"^\| `([A-Z_]+)` \|", handlers, re.M) == [reason.name for reason in CloseReason]
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert {kind.__name__ for kind in Event.__subclasses__()} <= set(re.findall(r"`(\w+)`", operations))
