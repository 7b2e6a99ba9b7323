"""Servers are started fresh, on their core, told where to listen, and gone at last."""

from __future__ import annotations

import os
import resource
import socket
import sys
from pathlib import Path

import pytest

from benchmarks.problems import MeasureError, Unavailable
from benchmarks.processes import Cores, Serving, available_cores, quiet_environment, raise_open_files, serving
from benchmarks.programs import Program, python

CORES = available_cores()
UVLOOP = python("asyncio_protocol")


def saying(text: str) -> Program:
    return Program(lambda: (sys.executable, "-c", text))


def test_a_server_runs_on_its_core() -> None:
    with serving(UVLOOP, [CORES.load]) as server:
        assert os.sched_getaffinity(server.pids[0]) == {CORES.load}
        assert server.rss() > 1_000_000
        socket.create_connection(("127.0.0.1", server.ports[0])).close()


def test_copies_share_a_port() -> None:
    program = python("aionet_echo", "--shared", "yes", "--port", "{port}")
    with serving(Program(program.find, program.arguments, copies=2), [CORES.server, CORES.load]) as server:
        assert len(set(server.pids)) == 2
        assert server.rss() > 2_000_000
        socket.create_connection(("127.0.0.1", server.ports[0])).close()


def test_one_that_does_not_announce_itself_is_ready_when_it_accepts(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("serve {port} from {scratch} for {who}")
    text = """
import http.server, pathlib, sys
assert pathlib.Path(sys.argv[1]).read_text() == f"serve {sys.argv[2]} from {sys.argv[3]} for me"
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), http.server.BaseHTTPRequestHandler).serve_forever()
"""
    arguments = ("-c", text, "{config}", "{port}", "{scratch}")
    program = Program(lambda: (sys.executable,), arguments, config, announces=False)
    with serving(program, [CORES.server], {"who": "me"}) as server:
        assert len(server.ports) == 1


def test_several_ports_are_told_in_order() -> None:
    with serving(saying("print('ready 127.0.0.1:1,2,3', flush=True); input()"), [CORES.server]) as server:
        assert server.ports == (1, 2, 3)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (Program(lambda: ("/no/such/program",)), "cannot start /no/such/program: No such file"),
        (saying("import no_such_module"), "No module named 'no_such_module'"),
        (saying("pass"), "ended without a word"),
        (saying("print('hello')"), "'hello' instead of 'ready HOST:PORT'"),
        (Program(saying("raise SystemExit(3)").find, announces=False), "it ended with code 3"),
    ],
)
def test_a_server_that_does_not_start_is_unavailable_and_says_why(program: Program, message: str) -> None:
    with pytest.raises(Unavailable, match=message), serving(program, [CORES.server]):
        pytest.fail("it cannot be ready")


def test_one_that_is_never_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes.START_SECONDS", 0.2)
    for announces in (True, False):
        silent = Program(saying("import time; time.sleep(60)").find, announces=announces)
        with pytest.raises(Unavailable, match="not ready within 0 s"), serving(silent, [CORES.server]):
            pytest.fail("it cannot be ready")


def test_the_server_is_gone_afterwards() -> None:
    with serving(UVLOOP, [CORES.server]) as server:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(server.pids[0], 0)
    with pytest.raises(MeasureError, match="does not say how much memory"):
        server.rss()


def test_a_server_that_ignores_the_polite_signal_is_gone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes.END_SECONDS", 0.05)
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('ready 127.0.0.1:1', flush=True); signal.pause()"
    with serving(saying(deaf), [CORES.server]) as server:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(server.pids[0], 0)


def test_one_core_for_both_is_admitted() -> None:
    assert Cores(0, 0).shared
    assert not Cores(0, 1).shared
    assert set(CORES.usable) == os.sched_getaffinity(0)


def test_variables_that_slow_python_down_do_not_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("MALLOC_PERTURB_", "1")
    assert not [key for key in quiet_environment() if key.startswith(("PYTHON", "MALLOC_"))]


def test_as_many_files_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_open_files() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_memory_of_several_processes_is_added() -> None:
    own = Serving((os.getpid(),), (1,)).rss()
    assert Serving((os.getpid(), os.getpid()), (1,)).rss() > 1.5 * own
