"""``bench`` as people call it, against servers of ours; those of others are in test_bench_peers.py."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from aionet.cli import main
from aionet.load.result import Result

from ..core.test_connecting import refusing
from .conftest import Served, spawn

SHORT = ["--duration", "0.2", "--warmup", "0", "--connections", "4"]


def bench(*args: str) -> int:
    return main(["bench", *args])


def test_a_table(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(served.endpoints["echo"], *SHORT, "--pipeline", "8") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == f"{served.endpoints['echo']}: 4 connections, 8 under way on each, 64 bytes, verified"
    assert [line.split()[0] for line in lines[3:7]] == ["messages", "answered", "latency", "generator"]
    assert "all right" in lines[4]
    assert lines[-1].endswith(" 100.000%")
    assert "error" not in captured.err


@pytest.mark.parametrize(
    ("service", "args", "unit"),
    [
        ("echo", ["--messages", "500", "--codec", "length:2"], "messages"),
        ("echo", ["--messages", "500", "--codec", "json", "--size", "200", "--processes", "2"], "messages"),
        ("echo", ["--messages", "100", "--payload", r"a\r\n\x00"], "messages"),
        ("echo", [*SHORT, "--rate", "500", "--ramp", "0.1"], "messages"),
        ("datagram", ["--messages", "100", "--timeout", "0.5"], "datagrams"),
        ("datagram", [*SHORT, "--rate", "200", "--payload", "hello"], "datagrams"),
    ],
)
def test_json(served: Served, service: str, args: list[str], unit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(served.endpoints[service], *args, "--json") == 0
    result = Result.from_json(capsys.readouterr().out)
    assert result.unit == unit
    assert result.sound
    assert result.answered > 0
    assert not result.faults.keys() - {"lost"}
    if "--messages" in args:
        assert result.answered == int(args[1])


def test_chat(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["chat", served.endpoints["chat"], "--duration", "0.5", "--warmup", "0", "-c", "6", "--speakers", "2"]
    assert bench(*args, "--json") == 0
    result = Result.from_json(capsys.readouterr().out)
    assert (result.unit, result.settings["speakers"], result.settings["rate"]) == ("deliveries", 2, 8.0)
    assert result.connections == 6


def test_files(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    (served.directory / "for bench").write_bytes(b"x" * 100_000)
    assert bench("files", served.endpoints["files"], "for bench", "--messages", "20", "-c", "4") == 0
    assert "downloads" in capsys.readouterr().out
    assert bench("files", served.endpoints["files"], "not there", "--messages", "20", "-c", "4") == 1
    assert "NOT_FOUND" in capsys.readouterr().out


def test_wrong_replies_are_an_error_and_the_way_out_is_named(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(served.endpoints["echo"], "--messages", "10", "--payload", "hello", "--expect", "HELLO") == 1
    captured = capsys.readouterr()
    assert "expected b'HELLO', got b'hello'" in captured.out
    assert "warning: no reply was what was expected" in captured.err
    assert bench(served.endpoints["echo"], "--messages", "10", "--payload", "hello", "--no-verify") == 0


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_nobody_there(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"{scheme}://127.0.0.1:{refusing()}"
    assert bench(place, *SHORT) == 3
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: cannot reach {place}: connection refused\nhint: ")
    assert captured.out == ""


def test_comparing(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    echo = served.endpoints["echo"]
    assert bench(echo, *SHORT, "--json") == 0
    before = tmp_path / "before.json"
    before.write_text(capsys.readouterr().out)
    assert bench(echo, *SHORT, "--size", "100", "--compare", str(before)) == 0
    out = capsys.readouterr().out
    assert "95 % interval" in out
    assert "not the same test: size: 64, now 100" in out
    assert bench(echo, *SHORT, "--json", "--compare", str(before)) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert "95 % interval" in captured.err


def test_comparing_with_something_else(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    assert bench(served.endpoints["echo"], *SHORT, "--compare", str(other)) == 4
    assert f"error: {other}: it is no result of bench" in capsys.readouterr().err


def test_a_rate_that_holds(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("aionet.load.search.HIGHEST", 400.0)
    args = [*SHORT, "--find-max", "p99<10s", "--rate", "200", "--json"]
    assert bench(served.endpoints["echo"], *args) == 0
    result = Result.from_json(capsys.readouterr().out)
    assert 0 < result.search["rate"] <= 400  # a machine that is busy with other things keeps less
    assert [(trial["confirms"], trial["held"]) for trial in result.search["trials"][-2:]] == [(True, True)] * 2


def test_a_rate_that_nothing_keeps(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aionet.load.search.LOWEST", 200.0)
    assert bench(served.endpoints["echo"], *SHORT, "--find-max", "max<1us", "--rate", "200") == 1
    assert "error: no rate keeps max<1us" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing argument"),
        (["tcp://127.0.0.1:1", "--find-max", "fast"], "'fast' is no limit"),
        (["tcp://127.0.0.1:1", "--payload", r"a\q"], "is no escape"),
        (["tcp://127.0.0.1:1", "--rate", "0"], "not in the range"),
        (["tcp://127.0.0.1:1", "--plot", "picture.txt"], "ends with one of"),
    ],
)
def test_usage(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(*args) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_early_it_tells_what_there_is(served: Served, number: int, tmp_path: Path) -> None:
    process = spawn("bench", served.endpoints["echo"], "--warmup", "0", "--json", cwd=tmp_path)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 20
        while not children.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(1.0)  # it has begun by then; if not, it brings less
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "error" not in err
    assert "Traceback" not in err
    result = Result.from_json(out)
    assert result.interrupted
    assert result.seconds < 10
