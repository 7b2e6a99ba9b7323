from __future__ import annotations

import pytest

from benchmarks.loads import Load, LoadResult, Window, run_load
from benchmarks.problems import MeasureError, Unavailable
from benchmarks.processes import Serving, available_cores, serving
from benchmarks.programs import c
from benchmarks.tracing import calls_in_summary, syscalls_per_message
from tests.tools import require

SUMMARY = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 81.00    0.012345           3      4000           sendto
 19.00    0.002345           3      4096        12 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.014690                  8096        12 total
"""


@pytest.mark.parametrize(
    "total", ["                  8096        12", "           1      8096        12", " " * 18 + "8096" + " " * 10]
)
def test_the_sum_is_found_by_its_column(total: str) -> None:
    text = SUMMARY.replace("                  8096        12", total)
    assert calls_in_summary(text) == 8096


@pytest.mark.parametrize("text", ["", "strace: Process 7 detached\n", SUMMARY.replace("8096", "many")])
def test_a_summary_that_is_none_is_said(text: str) -> None:
    with pytest.raises(MeasureError, match="no summary"):
        calls_in_summary(text)


def test_without_strace_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="strace is not installed"):
        syscalls_per_message(Serving((1,), (1,)), lambda: pytest.fail("not loaded"))


def test_an_echo_in_c_is_a_read_and_a_write() -> None:
    require("strace")
    cores = available_cores()
    load = Load("streams", {"connections": 1, "size": 64})
    results: list[LoadResult] = []

    def run() -> LoadResult:
        results.append(run_load(server, load, Window(0.0, 0.2), cores.load))
        return results[-1]

    with serving(c("c_echo"), [cores.server]) as server:
        calls = syscalls_per_message(server, run)
    once = 20 / results[0].verified  # to accept, and to close
    assert 2.9 < calls < 3.1 + once, "recv, send, epoll_wait"
