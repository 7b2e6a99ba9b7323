"""The runner and the load generator: what is right is counted, and every kind of wrong is noticed."""

from __future__ import annotations

import os
import resource
import socket
import sys

import pytest

from benchmarks.compiling import compiled
from benchmarks.problems import MeasureError, Unavailable, WrongReplies
from benchmarks.processes import (
    Cores,
    LoadResult,
    LoadShape,
    Serving,
    available_cores,
    quiet_environment,
    raise_open_files,
    run_load,
    serving,
)

from .wrong_server import Answer, answering

CORES = available_cores()
UVLOOP = (sys.executable, "-m", "benchmarks.peers.uvloop_protocol")
PYTHON_PEERS = {
    "uvloop_protocol": UVLOOP,
    "uvloop_lines": (sys.executable, "-m", "benchmarks.peers.uvloop_lines"),
    **{
        f"asyncio_streams {style}": (sys.executable, "-m", "benchmarks.peers.asyncio_streams", "--style", style)
        for style in ("readline", "drain", "chunks")
    },
}


def load(server: Serving, shape: LoadShape, *, refill: str = "batch", duration: float = 0.2) -> LoadResult:
    return run_load(server, shape, core=CORES.load, warmup=0.05, duration=duration, refill=refill)


def test_a_second_of_echo_is_counted_and_verified() -> None:
    with serving(UVLOOP, CORES.server) as server:
        assert os.sched_getaffinity(server.pid) == {CORES.server}
        assert server.rss() > 1_000_000
        result = load(server, LoadShape(connections=64, size=1024, pipeline=1), duration=1.0)
    assert result.messages > 0
    assert result.seconds >= 1.0
    assert result.server_cpu > 0
    assert result.server_waited >= 0
    assert result.load_cpu > 0


@pytest.mark.parametrize("refill", ["batch", "sliding"])
@pytest.mark.parametrize("name", PYTHON_PEERS)
def test_every_peer_answers_lines_rightly(name: str, refill: str) -> None:
    with serving(PYTHON_PEERS[name], CORES.server) as server:
        assert load(server, LoadShape(8, 64, 16, lines=True), refill=refill).messages > 0


@pytest.mark.parametrize("shape", [LoadShape(4, 17, 1), LoadShape(3, 300_000, 8), LoadShape(1, 1_000_000, 16)], ids=str)
def test_the_c_server_answers_rightly_also_what_does_not_fit_into_a_socket(shape: LoadShape) -> None:
    with serving((str(compiled("echo_server")),), CORES.server) as server:
        assert load(server, shape).messages > 0


def flip_last_byte(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


WRONG: dict[str, tuple[Answer, str]] = {
    "another byte": (flip_last_byte, "byte 63 of 64 is 0x0b, sent was 0x0a"),
    "the number of another message": (lambda data: b"0000009" + data[7:], "reply 0: byte 6 of 64 is 0x39"),
    "messages in another order": (lambda data: data[64:] + data[:64], "byte 6 of 64"),
    "one message twice": (lambda data: data[:64] + data[:64] + data[128:], "reply 1: byte 6 of 64"),
    "a surplus byte": (lambda data: data + b"!", "more bytes came back"),
    "nothing, and closes": (lambda data: None, "closed by the server, 256 bytes of replies missing"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_replies_are_noticed(kind: str) -> None:
    answer, message = WRONG[kind]
    with answering(answer) as port, pytest.raises(WrongReplies, match=message):
        load(Serving(os.getpid(), port), LoadShape(1, 64, 4, lines=True))


def test_a_server_that_falls_silent_is_given_up() -> None:
    shape = LoadShape(1, 64, 4, lines=True)
    with answering(lambda data: data[:-1]) as port, pytest.raises(WrongReplies, match=r"no reply for 0\.3 s, 1 outst"):
        run_load(Serving(os.getpid(), port), shape, core=CORES.load, warmup=0.0, duration=0.1, stall=0.3)


def test_nobody_there_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MeasureError, match=rf"cannot connect to 127\.0\.0\.1:{port}: Connection refused"):
        load(Serving(os.getpid(), port), LoadShape(1, 64, 1))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (LoadShape(0, 64, 1), "--connections must be a number from 1 to 60000, not '0'"),
        (LoadShape(1, 16, 1), "--size must be a number from 17"),
        (LoadShape(1, 64, 0), "--pipeline must be"),
    ],
)
def test_load_that_makes_no_sense_is_refused(shape: LoadShape, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        load(Serving(os.getpid(), 1), shape)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("/no/such/program",), "cannot start /no/such/program: No such file"),
        ((sys.executable, "-c", "import no_such_module"), "No module named 'no_such_module'"),
        ((sys.executable, "-c", "pass"), "ended without a word"),
        ((sys.executable, "-c", "print('hello')"), "'hello' instead of 'ready HOST:PORT'"),
    ],
)
def test_a_server_that_does_not_start_is_unavailable_and_says_why(command: tuple[str, ...], message: str) -> None:
    with pytest.raises(Unavailable, match=message), serving(command, CORES.server):
        pytest.fail("it cannot be ready")


def test_the_server_is_gone_afterwards() -> None:
    with serving(UVLOOP, CORES.server) as server:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_ignores_the_polite_signal_is_gone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes.END_SECONDS", 0.05)
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('ready 127.0.0.1:1', flush=True); signal.pause()"
    with serving((sys.executable, "-c", deaf), CORES.server) as server:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_one_core_for_both_is_admitted() -> None:
    assert Cores(0, 0).shared
    assert not Cores(0, 1).shared


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
