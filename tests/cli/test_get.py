"""``get`` against the files service: the bytes, the digest, the bar, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from aionet.cli import main
from aionet.cli.get import progress_bar
from aionet.services.files.client import Fetched

from .conftest import Served

DATA = os.urandom(3_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def files(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (served.directory / "big file.bin").write_bytes(DATA)
    monkeypatch.chdir(tmp_path)
    return served.endpoints["files"]


def test_it_arrives_whole_under_its_own_name(files: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", files, "big file.bin"]) == 0
    captured = capsys.readouterr()
    assert (tmp_path / "big file.bin").read_bytes() == DATA
    assert captured.out.startswith("big file.bin: 3000000 bytes in ")
    assert captured.out.endswith(f" s, SHA-256 {DIGEST}\n")
    assert captured.err == ""


def test_json_and_another_name(files: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", files, "big file.bin", "-o", "copy", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["size"], told["sha256"]) == ("copy", 3_000_000, DIGEST)
    assert set(told) == {"path", "size", "sha256", "mtime_ns", "seconds"}
    assert os.listdir(tmp_path) == ["copy"]


@pytest.mark.parametrize("name", ["nope", "../etc/passwd", "/etc/passwd", "."])
def test_what_the_server_refuses_leaves_nothing(
    files: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", files, name, "-o", "copy"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert os.listdir(tmp_path) == []


def test_a_server_that_stalls_in_the_middle(files: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def stall() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"OK 1000\nhalf of it")
                done.wait(10)

        thread = threading.Thread(target=stall)
        thread.start()
        port = listener.getsockname()[1]
        assert main(["get", f"tcp://127.0.0.1:{port}", "a", "--timeout", "0.2"]) == 1
        done.set()
        thread.join(10)
    assert capsys.readouterr().err == "error: the server sent nothing for 0.2 s\nhint: --timeout waits longer\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing argument"),
        (["tcp://127.0.0.1:1"], "which file of tcp://127.0.0.1:1?"),
        (["a", "-o", "-"], "-o takes a file or a directory"),
    ],
)
def test_usage(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", *args]) == 2
    assert said in capsys.readouterr().err


def test_one_argument_is_a_name_at_the_default_endpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def fetch_watched(*args: object) -> Fetched:
        asked.append(args[:3])
        return Fetched(Path("a\x1b"), 1, "00", 0)

    monkeypatch.setattr("aionet.cli.get.fetch_watched", fetch_watched)
    assert main(["get", "song.ogg"]) == 0
    assert asked == [("tcp://127.0.0.1:5000", "song.ogg", None)]
    assert capsys.readouterr().out.startswith("a\\x1b: 1 bytes in ")


def test_the_bar_is_for_terminals_and_shows_no_markup_of_a_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("a", shown=False) as report:
        assert report is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("[red]so\x1bng[/red]", shown=True) as report:
        assert report is not None
        report(0, 2048)
        report(1024, 2048)
    err = capsys.readouterr().err
    assert "[red]so\\x1bng[/red]" in err
    assert "1.0/2.0 KiB" in err
