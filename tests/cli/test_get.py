"""``get`` against the files service: files, trees, words and numbers, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.cli import main
from aionet.cli.get import split_endpoint
from aionet.services.files.hashing import ALGORITHMS

from ..documents import ROOT
from .files import TOKEN, FilesServer, files_server

DATA = os.urandom(3_000_000)
DIGEST = ALGORITHMS["blake3"].hexdigest(DATA)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesServer]:
    with files_server(tmp_path_factory.mktemp("get")) as found:
        (found.root / "big file.bin").write_bytes(DATA)
        (found.root / "music" / "live").mkdir(parents=True)
        for name in ("one.ogg", "two.txt", "live/three.ogg"):
            (found.root / "music" / name).write_bytes(name.encode())
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIONET_TOKEN", raising=False)
    return tmp_path


def test_a_file_arrives_whole_under_its_own_name(
    server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", server.endpoint, "big file.bin"]) == 0
    captured = capsys.readouterr()
    assert (here / "big file.bin").read_bytes() == DATA
    assert captured.out.startswith("big file.bin: 3000000 bytes in ")
    assert captured.out.endswith(f" s, BLAKE3 {DIGEST}\n")
    assert captured.err == ""
    assert main(["get", server.endpoint, "big file.bin"]) == 0
    assert "; 1 unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["big file.bin", "copy"], ["big file.bin", "-o", "copy"]])
def test_another_name_and_json(
    server: FilesServer, here: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", server.endpoint, *words, "--json", "--parallel", "3", "--limit-rate", "1G"]) == 0
    file, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert file == {
        "outcome": "fetched",
        "name": "big file.bin",
        "path": "copy",
        "size": 3_000_000,
        "hash": "blake3",
        "digest": DIGEST,
        "mtime_ns": (server.root / "big file.bin").stat().st_mtime_ns,
    }
    assert summary["summary"].pop("seconds") >= 0
    assert summary["summary"] == {"fetched": 1, "unchanged": 0, "failed": 0, "left_out": 0, "size": 3_000_000}
    assert os.listdir(here) == ["copy"]


def test_a_directory_a_pattern_and_a_comparison(
    server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", server.endpoint, "music"]) == 0
    assert capsys.readouterr().out.startswith("3 files fetched, 28 bytes in ")
    assert (here / "music/live/three.ogg").read_bytes() == b"live/three.ogg"
    assert main(["get", server.endpoint, "music/*.ogg", "big file.bin", "new/"]) == 0
    assert sorted(os.listdir(here / "new")) == ["big file.bin", "one.ogg"]
    assert main(["get", server.endpoint, "music", ".", "--verify"]) == 0
    (here / "music/one.ogg").write_bytes(b"ONE.ogg")
    (here / "music/two.txt").unlink()
    capsys.readouterr()
    assert main(["get", server.endpoint, "music", ".", "--verify"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("1 files the same, ")
    assert "; 2 failed" in captured.out
    assert captured.err == (
        "error: music/one.ogg: './music/one.ogg' differs from 'music/one.ogg' of the server\n"
        "error: music/two.txt: there is no './music/two.txt'\n"
    )


@pytest.mark.parametrize("name", ["nope", "../etc/passwd", "nope*"])
def test_what_the_server_refuses_leaves_nothing(
    server: FilesServer, here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", server.endpoint, name, "copy"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert os.listdir(here) == []


def test_one_of_several_that_is_not_there(server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", server.endpoint, "nope", "music/one.ogg", ".", "--json"]) == 1
    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.get("outcome") for each in outcomes] == ["failed", "fetched", None]
    assert (outcomes[0]["code"], outcomes[0]["reason"]) == ("NOT_FOUND", "there is no 'nope'")
    assert outcomes[2]["summary"]["failed"] == 1


def test_tokens(
    server: FilesServer, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", server.closed, "music/one.ogg"]) == 1
    assert "--token, or AIONET_TOKEN" in capsys.readouterr().err
    assert main(["get", server.closed, "music/one.ogg", "--token", TOKEN]) == 0
    monkeypatch.setenv("AIONET_TOKEN", TOKEN)
    assert main(["get", server.closed, "music/one.ogg", "other"]) == 0
    monkeypatch.setenv("AIONET_TOKEN", f"wrong-{TOKEN}")
    assert main(["get", server.closed, "music/one.ogg", "third", "--debug"]) == 1
    assert TOKEN not in capsys.readouterr().err
    assert main(["get", "--help"]) == 0
    assert TOKEN not in capsys.readouterr().out


def test_a_server_that_stalls_in_the_middle(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        words = ["get", f"tcp://127.0.0.1:{port}", "a", "--timeout", "0.2", "--retries", "0"]
        assert main(words) == 1
        done.set()
        thread.join(10)
    assert capsys.readouterr().err == "error: nothing passed for 0.2 s\nhint: a longer timeout waits longer\n"
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "Missing argument"),
        (["tcp://127.0.0.1:1"], 2, "which file of tcp://127.0.0.1:1?"),
        (["a", "-o", "-"], 2, "a file or a directory"),
        (["a", "-"], 2, "a file or a directory"),
        (["a", "--limit-rate", "fast"], 2, "'fast' is no rate"),
        (["a", "--parallel", "0"], 2, "--parallel"),
        (["tcp://127.0.0.1:1", ""], 2, "an empty name"),
        (["a", "-o", ""], 2, "an empty name"),
        (["a", "--limit-rate", "1"], 4, "below the 8192"),
        (["nonsense://x", "a"], 4, "nonsense"),
        (["a", "--token", "line\nfeed"], 4, "token"),
    ],
)
def test_usage(args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", *args]) == code
    assert said in capsys.readouterr().err


def test_one_that_is_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["get", f"tcp://127.0.0.1:{port}", "a"]) == 3
    assert "cannot reach" in capsys.readouterr().err


def test_the_endpoint_may_be_left_out() -> None:
    assert split_endpoint(("song.ogg", "x")) == ("tcp://127.0.0.1:5000", ["song.ogg", "x"])
    assert split_endpoint(("unix:///run/f.sock",)) == ("unix:///run/f.sock", [])


@pytest.mark.parametrize(("name", "title"), [("sha256", "SHA-256"), ("blake3", "BLAKE3")])
def test_the_digest_that_is_wanted(
    server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str], name: str, title: str
) -> None:
    assert main(["get", server.endpoint, "big file.bin", "--hash", name]) == 0
    assert capsys.readouterr().out.endswith(f" s, {title} {ALGORITHMS[name].hexdigest(DATA)}\n")
    assert main(["get", server.endpoint, "big file.bin", "--hash", name, "--verify", "--json"]) == 0
    file = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (file["hash"], file["digest"]) == (name, ALGORITHMS[name].hexdigest(DATA))
    assert main(["get", server.endpoint, "big file.bin", "--hash", "md5"]) == 2


def test_a_machine_without_blake3(server: FilesServer, here: Path) -> None:
    def get(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; sys.modules['blake3'] = None; from aionet.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "get", server.endpoint, "big file.bin", *words]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    got = get()
    assert (got.returncode, got.stderr) == (0, "")
    assert got.stdout.endswith(f" s, SHA-256 {hashlib.sha256(DATA).hexdigest()}\n")
    refused = get("--hash", "blake3")
    assert refused.returncode == 4
    assert "hash 'blake3' is not to be had here: it is one of sha256" in refused.stderr
    assert "pip install blake3" in refused.stderr
    assert "Traceback" not in refused.stderr
