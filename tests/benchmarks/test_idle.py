from __future__ import annotations

import os
import sys

import pytest

from benchmarks.idle import bytes_per_connection
from benchmarks.problems import WrongReplies
from benchmarks.processes import Serving, available_cores, serving

from .wrong_server import answering

CORES = available_cores()


def test_the_slope_of_a_real_server_is_plausible() -> None:
    with serving((sys.executable, "-m", "benchmarks.peers.uvloop_protocol"), CORES.server) as server:
        value, sizes = bytes_per_connection(server, (0, 150, 300))
    assert len(sizes) == 3
    assert sizes == sorted(sizes)
    assert 100 < value < 50_000


def test_a_connection_that_is_not_served_is_noticed() -> None:
    with answering(lambda data: None) as port, pytest.raises(WrongReplies, match="0 bytes came back"):
        bytes_per_connection(Serving(os.getpid(), port), (0, 1))


def test_a_wrong_reply_is_noticed() -> None:
    with answering(lambda data: data.upper()) as port, pytest.raises(WrongReplies, match="not what was sent"):
        bytes_per_connection(Serving(os.getpid(), port), (0, 1))
