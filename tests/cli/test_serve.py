"""``serve`` as a process: starts, signals, exit codes, and what it says when it cannot start."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aionet.cli import main
from aionet.cli.serve import raise_descriptor_limit
from aionet.endpoint import Endpoint

from .conftest import ROOT, endpoints, spawn

OWN = """
from aionet import LineCodec, Router, StreamHandler

class Stays(StreamHandler):
    codec = LineCodec()
    def on_message(self, conn, line):
        if line == b"fail":
            raise ValueError("\\x1b[31m" + line.decode())
        conn.write(line)
    def on_drain(self, conn):
        conn.write(b"draining")

def make():
    router = Router()
    router.add("tcp://127.0.0.1:0", Stays(), name="stays")
    return router
"""


@contextmanager
def served(*args: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    process = spawn("serve", *args, "--json", cwd=cwd)
    try:
        yield process, endpoints(process)
    finally:
        process.kill()
        process.communicate()


def dial(endpoint: str) -> socket.socket:
    place = Endpoint.parse(endpoint)
    return socket.create_connection((place.host, place.port), timeout=10)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error."""
    err = process.communicate(timeout=20)[1]
    return process.returncode, err


@pytest.mark.parametrize(("number", "loop"), [(signal.SIGTERM, "asyncio"), (signal.SIGINT, "uvloop")])
def test_the_first_signal_drains_and_ends_well(number: int, loop: str, tmp_path: Path) -> None:
    with served("tcp://127.0.0.1:0=echo", "--loop", loop, cwd=tmp_path) as (process, where):
        with dial(where["echo"]) as sock:
            sock.sendall(b"hi")
            assert sock.recv(10) == b"hi"
            process.send_signal(number)
            assert sock.recv(10) == b""
        code, err = finish(process)
    assert code == 0
    assert err.startswith("draining: 1 open, at most 10 s (Ctrl+C again: at once)\nstopped after 0.")


def test_a_router_of_ones_own_the_drain_deadline_and_who_was_cut(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with (
        served("own:make", "--drain-timeout", "0.1", cwd=tmp_path) as (process, where),
        dial(where["stays"]) as sock,
    ):
        sock.sendall(b"hi\n")
        assert sock.recv(10) == b"hi\n"
        process.send_signal(signal.SIGTERM)
        code, err = finish(process)
        peer = "{}:{}".format(*sock.getsockname())
    assert code == 5
    assert "draining: 1 open, at most 0.1 s" in err
    assert f"drain deadline: 1 cut after 0.1 s: {peer}" in err
    assert ", 1 cut\n" in err
    assert "Traceback" not in err


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with (
        served("tcp://127.0.0.1:0=own:Stays", "--drain-timeout", "600", cwd=tmp_path) as (process, where),
        dial(where["stays"]) as sock,
    ):
        sock.sendall(b"hi\n")
        assert sock.recv(10) == b"hi\n"
        process.send_signal(signal.SIGINT)
        assert sock.recv(10) == b"draining\n"
        process.send_signal(signal.SIGINT)
        assert finish(process)[0] == 5


def test_a_handler_that_fails_is_logged_with_its_traceback_and_the_peer_escaped(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with served("own:make", cwd=tmp_path) as (process, where):
        with dial(where["stays"]) as sock:
            sock.sendall(b"fail\n")
            assert sock.recv(10) == b""
        process.send_signal(signal.SIGTERM)
        code, err = finish(process)
    assert code == 0
    assert "WARNING aionet.error: stays failed in on_message, peer 127.0.0.1:" in err
    assert "own.py" in err
    assert "ValueError: \\x1b[31mfail" in err
    assert "\x1b" not in err


def test_the_words_go_to_stderr_and_nothing_to_stdout(tmp_path: Path) -> None:
    process = spawn("serve", "tcp://127.0.0.1:0=echo", "--prefix", "E: ", "--log-level", "info", cwd=tmp_path)
    try:
        assert process.stderr is not None
        said = ""
        while "Ctrl+C to stop" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "")
    assert "printf 'hi\\n' | nc -N 127.0.0.1 " in said
    assert "INFO aionet.server: server: draining -> closed" in rest
    assert limits[0] == limits[1]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["ecoh"], 4, "error: unknown service 'ecoh'\nhint: did you mean 'echo'?"),
        (["tpc://127.0.0.1:0=echo"], 4, "unknown scheme 'tpc'\nhint: did you mean 'tcp'?"),
        (["no_such_module:router"], 3, "error: no module named 'no_such_module'\nhint: looked in "),
        (["broken:router"], 3, "error: broken.py:2: ZeroDivisionError: division by zero\n"),
        (["misplaced:router"], 4, "error: misplaced.py:2: endpoint 'tcp://127.0.0.1': no port\nhint: such as"),
        (["files", "--directory", "gone"], 4, "error: the directory to serve, 'gone' does not exist\nhint: make it"),
        (["echo", "--drain-timeout", "-1"], 2, "error: Invalid value for '--drain-timeout'"),
        (["echo", "--max-connections", "0"], 2, "error: Invalid value for '--max-connections'"),
        (["tls://127.0.0.1:0?cert=no_such.pem=echo"], 3, "no_such.pem"),
        (["tls://127.0.0.1:0=echo"], 3, "cert"),
        (["unix:///no/such/directory/app.sock=echo"], 3, "error: cannot listen on unix:///no/such/directory/app.sock"),
        (["tcp://192.0.2.1:0=echo"], 3, "error: cannot listen on tcp://192.0.2.1:0"),
    ],
)
def test_what_cannot_start(
    args: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("x = 0\n1 / x\n")
    (tmp_path / "misplaced.py").write_text("from aionet import Router\nRouter().add('tcp://127.0.0.1', None)\n")
    assert main(["serve", *args]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err
    for name in ("broken", "misplaced"):
        sys.modules.pop(name, None)


def test_a_busy_port_is_named_and_nothing_stays_bound(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 0))
        busy, other = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        assert main(["serve", f"tcp://127.0.0.1:{other}=echo", f"tcp://127.0.0.1:{busy}=chat"]) == 3
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", other), timeout=5)
    err = capsys.readouterr().err
    assert err.startswith(f"error: cannot listen on tcp://127.0.0.1:{busy}: address already in use\nhint: ")


@pytest.mark.skipif(
    not Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").is_file()
    or int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 2,
    reason="this system has no privileged ports",
)
def test_a_port_that_needs_privileges() -> None:
    # What is imported late is imported first: whoever root becomes here may not read the directory of this Python.
    code = (
        "import os, sys, encodings.idna; from aionet.cli import main; import aionet.cli.serve, aionet.services.echo\n"
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "sys.exit(main(['serve', 'tcp://127.0.0.1:1=echo']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 3
    assert done.stderr.startswith("error: cannot listen on tcp://127.0.0.1:1: permission denied\nhint: ")


def test_debug_shows_where_an_import_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_too.py").write_text("1 / 0\n")
    assert main(["serve", "broken_too:router", "--debug"]) == 3
    err = capsys.readouterr().err
    assert 'broken_too.py", line 1, in <module>' in err
    assert err.endswith("error: broken_too.py:1: ZeroDivisionError: division by zero\n")


def test_the_descriptor_limit_is_raised_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(which: int, limits: tuple[int, int]) -> None:
        asked.append((which, limits))
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_descriptor_limit()
    assert asked == [(resource.RLIMIT_NOFILE, (4096, 4096))]


def test_a_directory_over_http(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a.txt").write_text("hello")
    arguments = ("tcp://127.0.0.1:0=web", "--directory", "public", "--writable", "--web-host", "files.example.com")
    with served(*arguments, cwd=tmp_path) as (_, where):
        for request, line in (
            (b"GET /a.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
            (b"GET /a.txt HTTP/1.1\r\nHost: other.example.com\r\n\r\n", b"HTTP/1.1 421 Misdirected Request\r\n"),
            (b"MKCOL /new/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 201 Created\r\n"),
        ):
            with dial(where["web"]) as sock:
                sock.sendall(request)
                assert sock.makefile("rb").readline() == line
    assert (tmp_path / "public" / "new").is_dir()


def test_files_and_web_on_one_port(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with served("tcp://127.0.0.1:0=files,web", "--directory", ".", cwd=tmp_path) as (_, where):
        for request, line in (
            (b"GET a.txt\n", b"OK 5;"),
            (b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        ):
            with dial(where["files"]) as sock:
                sock.sendall(request)
                assert sock.makefile("rb").readline().startswith(line)
