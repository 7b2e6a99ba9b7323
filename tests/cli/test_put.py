"""``put`` against the files service."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aionet.cli import main
from aionet.services.files.hashing import ALGORITHMS

from .files import TOKEN, FilesServer, files_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesServer]:
    with files_server(tmp_path_factory.mktemp("put")) as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album" / "live").mkdir(parents=True)
    for name in ("one.ogg", "two.ogg", "album/three.ogg", "album/live/four.ogg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "album" / "link").symlink_to("three.ogg")
    return tmp_path


def test_a_file(server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = os.urandom(3_000_000)
    (here / "big").write_bytes(data)
    assert main(["put", server.endpoint, "big"]) == 0
    captured = capsys.readouterr()
    assert (server.root / "big").read_bytes() == data
    assert captured.out.startswith("big: 3000000 bytes in ")
    assert captured.out.endswith(f" s, BLAKE3 {ALGORITHMS['blake3'].hexdigest(data)}\n")
    assert captured.err == ""
    assert main(["put", server.endpoint, "big", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["outcome"] == "unchanged"


def test_several_a_directory_and_a_comparison(
    server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["put", server.endpoint, "one.ogg", "two.ogg", "new/deep/"]) == 0
    assert sorted(os.listdir(server.root / "new/deep")) == ["one.ogg", "two.ogg"]
    assert main(["put", server.endpoint, "one.ogg", "-o", "other.ogg"]) == 0
    assert (server.root / "other.ogg").read_bytes() == b"one.ogg"
    capsys.readouterr()
    assert main(["put", server.endpoint, "-r", "album/"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("2 files sent, ")
    assert captured.err == "1 links, special files or unspeakable names were left out\n"
    assert (server.root / "album/live/four.ogg").read_bytes() == b"album/live/four.ogg"
    assert main(["put", server.endpoint, "album", "--verify"]) == 0
    (server.root / "album/live/four.ogg").write_bytes(b"other")
    assert main(["put", server.endpoint, "album", "--verify", "--json"]) == 1
    assert main(["put", server.endpoint, "album", "--again"]) == 0
    assert (server.root / "album/live/four.ogg").read_bytes() == b"album/live/four.ogg"


def test_what_fails_is_told_and_the_rest_is_sent(
    server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "album" / ".hidden").write_bytes(b"x")
    (here / "album" / "line\nfeed").write_bytes(b"x")
    assert main(["put", server.endpoint, "album", "part/"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("2 files sent, ")
    assert "; 2 failed\n" in captured.out
    assert captured.err.splitlines()[:2] == [
        "error: part/album/line\\nfeed: control character in the name 'part/album/line\\nfeed'",
        "error: part/album/.hidden: the name 'part/album/.hidden' is hidden: it begins with a dot",
    ]


def test_a_server_that_takes_nothing(server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["put", server.closed, "one.ogg", "--token", TOKEN]) == 1
    err = capsys.readouterr().err
    assert err == f"error: {server.closed} takes no files\nhint: it has to be served writable\n"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "Missing argument"),
        (["tcp://127.0.0.1:1"], 2, "which file shall tcp://127.0.0.1:1 get?"),
        (["-"], 2, "standard input has no size"),
        (["", "songs/"], 2, "an empty name"),
        (["one.ogg", "--limit-rate", "-1"], 2, "is no rate"),
    ],
)
def test_usage(here: Path, args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["put", *args]) == code
    assert said in capsys.readouterr().err


def test_what_is_not_there(server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["put", server.endpoint, "nothing"]) == 1
    assert capsys.readouterr().err == "error: there is no 'nothing'\n"


def test_the_digest_that_is_wanted(server: FilesServer, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["put", server.endpoint, "one.ogg", "-o", "hashed.ogg", "--hash", "sha256"]) == 0
    assert capsys.readouterr().out.endswith(f" s, SHA-256 {hashlib.sha256(b'one.ogg').hexdigest()}\n")
