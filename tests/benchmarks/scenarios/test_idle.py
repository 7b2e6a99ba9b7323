from __future__ import annotations

import os

import pytest

from benchmarks.problems import MeasureError, WrongReplies
from benchmarks.processes import Serving, available_cores, serving
from benchmarks.programs import python
from benchmarks.scenarios.idle import bytes_per_connection
from tests.benchmarks.wrong_server import answering

CORES = available_cores()


def test_the_slope_of_a_real_server_is_plausible() -> None:
    with serving(python("asyncio_protocol"), [CORES.server]) as server:
        sample = bytes_per_connection(server, (0, 150, 300), CORES.load)
    sizes = [sample[f"rss at {step}"] for step in (0, 150, 300)]
    assert sizes == sorted(sizes)
    assert 100 < sample["bytes"] < 50_000
    assert sample["accepted/s"] > 10


def test_a_connection_that_is_not_served_is_noticed() -> None:
    with answering(lambda data: None) as port, pytest.raises(WrongReplies, match="closed by the server"):
        bytes_per_connection(Serving((os.getpid(),), (port,)), (0, 1), CORES.load)


def test_a_server_that_takes_no_more_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.loads.HOLD_STALL", 0.3)
    with (
        answering(lambda data: data) as port,
        pytest.raises(MeasureError, match="took 1 connections of 2: no reply") as e,
    ):
        bytes_per_connection(Serving((os.getpid(),), (port,)), (0, 1), CORES.load)
    assert not isinstance(e.value, WrongReplies)


def test_a_wrong_reply_is_noticed() -> None:
    with answering(lambda data: data.lower()) as port, pytest.raises(WrongReplies, match="not what was sent"):
        bytes_per_connection(Serving((os.getpid(),), (port,)), (0, 1), CORES.load)
