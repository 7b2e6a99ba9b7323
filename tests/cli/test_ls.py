"""``ls`` against the files service, and against servers that are none."""

from __future__ import annotations

import json
import os
import socket

import pytest

from aionet.cli import main
from aionet.cli.ls import to_lines
from aionet.services.files.client import Listing
from aionet.services.files.entries import Entry

from .conftest import Served


@pytest.fixture(params=["files", "files-ws"])
def files(served: Served, request: pytest.FixtureRequest) -> str:
    folder = served.directory / "music"
    folder.mkdir(exist_ok=True)
    (folder / "song \u202egnp.ogg").write_bytes(b"x" * 1234)
    os.utime(folder / "song \u202egnp.ogg", (1_000_000_000, 1_000_000_000))
    return served.endpoints[request.param]


def test_a_directory(files: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", files]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith("  music/")] == ["-"]
    assert main(["ls", files, "music"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1234  2001-09-09 ")
    assert out.endswith("  song \\u202egnp.ogg\n")


def test_json(files: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", files, "music", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "entries": [
            {"name": "song \u202egnp.ogg", "size": 1234, "mtime_ns": 10**18, "directory": False},
        ],
        "left_out": 0,
    }


@pytest.mark.parametrize("path", ["nope", "../..", "/etc"])
def test_what_the_server_refuses(files: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", files, path]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err


def test_a_server_that_is_no_files_server(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", served.endpoints["echo"]]) == 1
    assert "no file service" in capsys.readouterr().err


def test_a_server_that_never_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert main(["ls", f"tcp://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.05"]) == 1
        port = silent.getsockname()[1]
    assert capsys.readouterr().err == "error: no whole answer within 0.05 s\nhint: --timeout waits longer\n"
    assert main(["ls", f"tcp://127.0.0.1:{port}"]) == 3


def test_a_pattern_a_file_and_a_tree(files: str, served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    for args, expected in (
        (["music/*.ogg"], ["music/song \\u202egnp.ogg"]),
        (["music/song \u202egnp.ogg"], ["music/song \\u202egnp.ogg"]),
        (["music", "-r"], ["music/song \\u202egnp.ogg"]),
    ):
        assert main(["ls", files, *args]) == 0
        assert [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()] == expected


def test_one_argument_without_a_scheme_is_a_path_at_the_default_endpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def list_in_time(endpoint: str, path: str, options: object, *, recursive: bool) -> Listing:
        asked.append((endpoint, path, recursive))
        return Listing((), 3)

    monkeypatch.setattr("aionet.cli.ls.list_in_time", list_in_time)
    for args in ([], ["music"], ["unix:///run/f.sock"], ["tcp://127.0.0.1:1", "a", "-r"]):
        assert main(["ls", *args]) == 0
    assert asked == [
        ("tcp://127.0.0.1:5000", "", False),
        ("tcp://127.0.0.1:5000", "music", False),
        ("unix:///run/f.sock", "", False),
        ("tcp://127.0.0.1:1", "a", True),
    ]
    assert "and 3 more that cannot be asked for\n" in capsys.readouterr().err


@pytest.mark.parametrize("mtime_ns", [0, 10**30, -(10**30)])
def test_a_time_that_no_calendar_holds_is_left_blank(mtime_ns: int) -> None:
    assert to_lines(Listing((Entry("a", 5, mtime_ns),), 0)) == [f"5  {' ' * 16}  a"]
