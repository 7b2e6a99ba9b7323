"""``bench`` against servers that are not ours: redis-server, socat, nc."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aionet.cli import main
from aionet.load.result import Result

from ..tools import require


@contextmanager
def running(*command: str, port: int) -> Iterator[str]:
    """The program, once its port answers."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.02)
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("args", [["--pipeline", "16"], ["--codec", "line:crlf"], ["--rate", "2000"]])
def test_redis(port: int, tmp_path: Path, args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    program = require("redis-server")
    ping, pong = ("PING", "+PONG") if "--codec" in args else (r"PING\r\n", r"+PONG\r\n")
    with running(
        program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path), port=port
    ) as place:
        assert main(["bench", place, "--messages", "2000", "--payload", ping, "--expect", pong, *args, "--json"]) == 0
        result = Result.from_json(capsys.readouterr().out)
        assert (result.answered, result.faults, result.failures) == (2000, {}, {})
        assert main(["bench", place, "--messages", "10", "--payload", r"PING\r\n"]) == 1
        assert r"expected b'PING\r\n', got b'+PONG\r\n'" in capsys.readouterr().out


def test_socat(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    program = require("socat")
    with running(program, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", "EXEC:cat", port=port) as place:
        assert main(["bench", place, "-c", "3", "--messages", "600", "--pipeline", "4", "--json"]) == 0
        result = Result.from_json(capsys.readouterr().out)
    assert (result.answered, result.faults, result.failures) == (600, {}, {})


def test_nc_which_takes_one_connection_and_answers_nothing(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    program = require("nc")
    with running(program, "-lk", "127.0.0.1", str(port), port=port) as place:
        assert main(["bench", place, "-c", "1", "--messages", "5", "--timeout", "0.3"]) == 1
    captured = capsys.readouterr()
    assert "1 failed: no answer in time" in captured.out
    assert "nothing came for 0.3 s" in captured.out
    assert "Traceback" not in captured.err
