from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from aionet import Endpoint, LengthPrefixCodec, LineCodec
from aionet.errors import ConfigError
from aionet.load import Chat, Download, Plan, Script
from aionet.load.plan import Exchange, Share

from .runs import exchange, plan_for

TCP = Endpoint.parse("tcp://127.0.0.1:7000")
UDP = Endpoint.parse("udp://127.0.0.1:7000")
PING = Script((b"PING",), (b"PONG",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"duration": None}, "one of them is needed"),
        ({"messages": 5}, "one of them is needed"),
        ({"messages": 0, "duration": None, "warmup": 0.0}, "at least 1"),
        ({"messages": 5, "duration": None}, "no ramp, no warm-up"),
        ({"duration": 0.0}, "positive"),
        ({"duration": float("inf")}, "positive and finite"),
        ({"rate": -1.0}, "positive"),
        ({"rate": float("nan")}, "positive"),
        ({"timeout": 0.0}, "positive"),
        ({"connections": 0}, "positive"),
        ({"ramp": -1.0}, "positive"),
        ({"work": Chat(50, 64, "b"), "rate": 1.0, "connections": 10}, "50 speakers among 10 members"),
        ({"work": Chat(1, 64, "b"), "rate": 1.0, "connections": 1}, "another one hears"),
        ({"work": Chat(1, 64, "b")}, "has a rate"),
        ({"work": Chat(1, 20, "b"), "rate": 1.0}, "at least 40 bytes"),
        ({"endpoint": UDP, "work": exchange(codec=LineCodec)}, "a message already"),
        ({"endpoint": UDP, "work": Download("x")}, "a message already"),
        ({"endpoint": UDP, "work": exchange(65_508)}, "at most 65507"),
        ({"endpoint": UDP, "work": Exchange(PING, numbered=True)}, "at least 8 bytes"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Plan(**{"endpoint": TCP, "work": Exchange(PING), **changes})


@pytest.mark.parametrize("shares", [1, 2, 3, 7])
def test_shares_are_everything_once(shares: int) -> None:
    parts = [Share(number, shares).positions(10) for number in range(shares)]
    assert sorted(position for part in parts for position in part) == list(range(10))


def test_quotas_are_everything() -> None:
    plan = plan_for(TCP, messages=203, connections=10)
    assert sum(plan.quota(position) for position in range(10)) == 203
    assert plan_for(TCP, duration=1.0).quota(0) == 0


def test_it_goes_to_other_processes_whatever_the_codec() -> None:
    plan = plan_for(TCP, exchange(codec=partial(LengthPrefixCodec, 2)))
    sent = pickle.loads(pickle.dumps(plan))
    assert sent.work.script.requests(1) == plan.work.script.requests(1)  # type: ignore[union-attr]
    assert sent.endpoint == plan.endpoint


@pytest.mark.parametrize(("duration", "interval"), [(10.0, 0.25), (0.1, 0.05), (1000.0, 0.5)])
def test_intervals_are_many_and_not_too_short(duration: float, interval: float) -> None:
    assert plan_for(TCP, duration=duration).interval == interval


def test_what_is_known_of_sizes() -> None:
    assert plan_for(TCP, Exchange(PING)).bytes_per_message == (4, 4)
    assert plan_for(TCP, exchange(10, LengthPrefixCodec)).bytes_per_message == (14, 14)
    assert plan_for(TCP, Download("x")).bytes_per_message == (0, 0)
    assert plan_for(TCP, Chat(1, 64, "b"), rate=1.0, duration=1.0).bytes_per_message == (64, 64)
