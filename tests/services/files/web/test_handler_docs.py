"""What docs/files-http.md says is so: its commands, typed as they stand, do what it says."""

from __future__ import annotations

import json
import os
import shlex
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aionet.services.files.web import codec, exchange, listing, sending

from ....documents import ROOT, blocks, rows, serve, shell
from ....tools import require

PAGE: Final = (ROOT / "docs" / "files-http.md").read_text(encoding="utf-8")
START, COMMANDS = (text.splitlines() for language, text in blocks(PAGE) if language == "shell")


def test_the_commands(tmp_path: Path) -> None:
    for program in ("curl", "wget", "aria2c"):
        require(program)
    public = tmp_path / "public"
    public.mkdir()
    content = os.urandom(3_000_000)
    (public / "notes.txt").write_text("noted\n")
    (public / "big.bin").write_bytes(content)
    (tmp_path / "local.txt").write_text("sent\n")
    (tmp_path / "big.bin").write_bytes(content[:1_000_000])
    target, *options = shlex.split(START[0].removeprefix("python -m aionet serve "))
    answers: list[str] = []
    with serve(tmp_path, target.replace("8000", "0"), *options) as ports:
        (port,) = ports.values()
        for command in COMMANDS:
            done = shell(command.replace("8000", str(port)).replace("curl", "curl -sSf", 1), tmp_path)
            assert done.returncode == 0, (command, done.stderr)
            answers.append(done.stdout)
            if "big.bin" in command:
                assert (tmp_path / "big.bin").read_bytes() == content, command
                (tmp_path / "big.bin").write_bytes(content[:2_000_000])
                if "wget" in command:
                    (tmp_path / "big.bin").unlink()
            if "local.txt" in command:
                assert (public / "sent.txt").read_text() == "sent\n"
    assert answers[0] == "noted\n"
    found = json.loads(answers[-1])
    assert [entry["name"] for entry in found["entries"]] == ["new", "big.bin", "notes.txt"]
    assert set(found) == {"name", "count", "left_out", "page", "pages", "entries"}


def test_the_table_of_errors_is_that_of_the_source() -> None:
    told = {int(status) for cell, _ in rows(PAGE, "| status | when |") for status in cell.split(", ")}
    of_faults = {414, 431, 501, 505}
    of_the_handler = {400, 401, 403, 405, 411, 412, 416, 421}
    assert told == {*exchange.STATUS.values()} | of_faults | of_the_handler
    assert told <= {status.value for status in HTTPStatus}


def test_numbers_are_those_of_the_source() -> None:
    for number in (f"{listing.PER_PAGE:,} entries", f"up to {listing.MAX_PAGES}", f"{codec.MAX_FIELDS} fields"):
        assert number in PAGE.replace("\n", " ")
    for size, name in ((codec.MAX_TARGET, "a target"), (codec.MAX_HEAD, "a head"), (sending.SMALL, "A small file")):
        assert f"{name} ({size // 1024} KiB" in PAGE
