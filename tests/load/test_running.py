"""Runs by processes of their own: started together, counted together, ended together."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aionet import Endpoint, LengthPrefixCodec
from aionet.core.loop import LoopName
from aionet.errors import ConnectError, StartupError
from aionet.load.outcome import Outcome
from aionet.load.running import run_load

from ..cli.conftest import endpoints, spawn
from ..core.test_connecting import refusing
from .runs import exchange, plan_for


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with served(tmp_path_factory.mktemp("echo")) as (place, _):
        yield place


@contextmanager
def served(cwd: Path) -> Iterator[tuple[Endpoint, subprocess.Popen[str]]]:
    process = spawn("serve", "tcp://127.0.0.1:0=echo", "--json", cwd=cwd)
    try:
        yield Endpoint.parse(endpoints(process)["echo"]), process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("processes", "loop"), [(1, "auto"), (2, "asyncio")])
def test_all_is_answered(echo: Endpoint, processes: int, loop: LoopName) -> None:
    seen: list[int] = []
    plan = plan_for(echo, exchange(codec=LengthPrefixCodec, pipeline=4), messages=2000, connections=5)
    outcome = run_load(plan, processes, watch=lambda outcome: seen.append(outcome.total().answered), loop=loop)
    total = outcome.total()
    assert (total.answered, total.wrong, total.failures) == (2000, 0, {})
    assert (outcome.processes, outcome.connections) == (processes, 5)
    assert len(outcome.cpu) == processes
    assert seen
    assert seen == sorted(seen)


def test_no_more_processes_than_connections(echo: Endpoint) -> None:
    assert run_load(plan_for(echo, messages=10, connections=1), 5).processes == 1


def test_phases_of_all_processes_are_the_same(echo: Endpoint) -> None:
    plan = plan_for(echo, duration=0.3, warmup=0.1)
    outcome = run_load(plan, 2)
    assert len(outcome.intervals) == 6
    assert all(interval.reports == 2 for interval in outcome.intervals)
    assert outcome.seconds == pytest.approx(0.3, abs=0.001)


def test_nobody_there() -> None:
    with pytest.raises(ConnectError, match="refused") as caught:
        run_load(plan_for(Endpoint.parse(f"tcp://127.0.0.1:{refusing()}")), 2)
    assert caught.value.hint is not None


def test_no_datagram_ever_answered_because_nobody_is_there() -> None:
    with pytest.raises(ConnectError, match=r"cannot reach udp://127\.0\.0\.1:\d+: connection refused"):
        run_load(plan_for(Endpoint.parse(f"udp://127.0.0.1:{refusing()}")))


def test_stopped_it_brings_what_there_is(echo: Endpoint) -> None:
    seen: list[Outcome] = []
    plan = plan_for(echo, duration=60.0)
    outcome = run_load(plan, 2, watch=seen.append, stop=lambda: bool(seen))
    assert outcome.interrupted
    assert outcome.total().answered > 0
    assert outcome.seconds < 30
    assert not outcome.total().failures


def test_stopped_before_it_began(echo: Endpoint) -> None:
    outcome = run_load(plan_for(echo, duration=60.0), stop=lambda: True)
    assert outcome.interrupted
    assert outcome.seconds < 30


def test_a_server_that_dies_is_no_error_of_ours(tmp_path: Path) -> None:
    with served(tmp_path) as (place, process):
        outcome = run_load(plan_for(place, duration=60.0), watch=lambda outcome: process.kill())
    total = outcome.total()
    assert total.failures.total() == 4
    assert total.answered > 0


def test_a_process_that_dies_is_told(echo: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    popen = subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(StartupError, match=r"ended unexpectedly \(exit code -9\)"):
        run_load(plan_for(echo, duration=60.0), 2, watch=lambda outcome: started[0].kill())
    assert all(process.poll() is not None for process in started)


def test_no_descriptor_and_no_process_is_left(echo: Endpoint) -> None:
    before = len(os.listdir("/proc/self/fd"))
    run_load(plan_for(echo, messages=10), 2)
    assert len(os.listdir("/proc/self/fd")) == before
