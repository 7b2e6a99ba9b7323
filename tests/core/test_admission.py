"""Counting connections, and keeping clear of the descriptor limit."""

from __future__ import annotations

import os
import resource
from typing import Any

import pytest

from aionet.core.admission import MAX_BACKLOG, Admission, _descriptors_in_use, address_key, descriptor_budget
from aionet.limits import Limits


class Listener:
    def __init__(self, admission: Admission, takes: int = 0) -> None:
        self.admission = admission
        self.takes = takes
        self.calls = 0

    def make_room(self) -> None:
        self.calls += 1
        if self.takes:
            self.takes -= 1
            self.admission.add(None)
        if self.takes:
            self.admission.wait_for_room(self)


def test_full_at_the_limit_and_not_before() -> None:
    door = Admission(2, 100)
    door.add(None)
    assert not door.full
    door.add(None)
    assert door.full
    door.remove(None)
    assert not door.full
    assert door.count == 1


def test_one_address_is_crowded_at_its_limit() -> None:
    door = Admission(100, 2)
    for _ in range(2):
        assert not door.crowded("192.0.2.1")
        door.add("192.0.2.1")
    assert door.crowded("192.0.2.1")
    assert not door.crowded("192.0.2.2")
    assert not door.crowded(None)
    door.remove("192.0.2.1")
    assert not door.crowded("192.0.2.1")
    door.remove("192.0.2.1")
    assert door._addresses == {}  # nothing is kept of addresses that are gone


def test_a_routes_own_limits_count_for_the_server_too() -> None:
    server = Admission(3, 2)
    first, second = Admission(2, 100, parent=server), Admission(100, 1, parent=server)
    first.add("192.0.2.1")
    second.add("192.0.2.1")
    assert server.count == 2
    assert first.crowded("192.0.2.1")
    assert second.crowded("192.0.2.1")
    assert not first.crowded("192.0.2.2")
    assert not first.full
    first.add("192.0.2.2")
    assert first.full
    assert second.full
    first.remove("192.0.2.1")
    assert not second.full
    assert server.count == 2


def test_who_waits_is_called_once_for_each_time_it_asked() -> None:
    door = Admission(1, 100)
    listener = Listener(door)
    door.add(None)
    door.wait_for_room(listener)
    door.wait_for_room(listener)
    door.remove(None)
    assert listener.calls == 1
    door.add(None)
    door.remove(None)
    assert listener.calls == 1


def test_who_waits_at_a_route_is_called_when_the_server_has_room() -> None:
    server = Admission(1, 100)
    route, other = Admission(10, 100, parent=server), Admission(10, 100, parent=server)
    listener = Listener(route)
    other.add(None)
    assert route.full
    route.wait_for_room(listener)
    other.remove(None)
    assert listener.calls == 1


def test_who_waits_again_while_it_is_called_waits_for_the_next() -> None:
    door = Admission(1, 100)
    listener = Listener(door, takes=2)
    door.add(None)
    door.wait_for_room(listener)
    door.remove(None)
    assert (listener.calls, door.count) == (1, 1)
    door.remove(None)
    assert (listener.calls, door.count) == (2, 1)


def test_the_last_one_to_leave_is_told_of() -> None:
    empty: list[bool] = []
    door = Admission(2, 100)
    door.on_empty = lambda: empty.append(True)
    door.add(None)
    door.add(None)
    door.remove(None)
    assert empty == []
    door.remove(None)
    assert empty == [True]


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("127.0.0.1", 5), None),
        (("127.9.9.9", 5), None),
        (("::1", 5, 0, 0), None),
        (("::ffff:127.0.0.1", 5, 0, 0), None),
        ("/run/x.sock", None),
        ("", None),
        (None, None),
        ((), None),
    ],
)
def test_address_key(peer: Any, key: str | None) -> None:
    assert address_key(peer) == key


def test_ipv6_is_counted_by_64_bits() -> None:
    """Whoever has one address there has 2 ** 64 of them (RFC 6177)."""
    keys = [address_key((host, 5, 0, 0)) for host in ("2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1")]
    assert keys[0] == keys[1] != keys[2]
    assert None not in keys
    assert address_key(("fe80::1%eth0", 5, 0, 2)) == address_key(("fe80::2%eth0", 5, 0, 2))
    assert address_key(("::10", 5, 0, 0)) is not None  # not ::1, which it begins with


def test_an_address_that_turns_out_to_be_another_is_counted_as_that() -> None:
    above = Admission(10, 2)
    admission = Admission(10, 1, parent=above)
    admission.add(None)
    assert not admission.crowded("a")
    admission.move(None, "a")
    assert admission.crowded("a")
    assert not above.crowded("a")
    admission.move("a", "b")
    assert not admission.crowded("a")
    assert admission.crowded("b")
    admission.remove("b")
    assert (admission.count, above.count) == (0, 0)
    assert not admission.crowded("b")


# ── descriptors ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("aionet.core.admission._descriptors_in_use", lambda: 20)
    return 20


def limit(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, soft))


@pytest.mark.parametrize("soft", [64, 256, 1024, 4096, 20_000, 1_048_576])
def test_connections_and_queue_together_stay_below_the_limit(
    soft: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, soft)
    budget = descriptor_budget(Limits(max_connections=10_000))
    assert 1 <= budget.connections <= 10_000
    assert 1 <= budget.backlog <= MAX_BACKLOG
    assert budget.connections + budget.backlog + used < soft


@pytest.mark.parametrize(
    ("soft", "connections"), [(64, 24), (1024, 898), (20_000, 19_464), (1_048_576, 30_000), (30, 1)]
)
def test_where_accepting_stops_exactly_less_is_kept_free(
    soft: int, connections: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, soft)
    budget = descriptor_budget(Limits(max_connections=30_000), 2, exact=True)
    assert (budget.connections, budget.backlog) == (connections, MAX_BACKLOG)


def test_plenty_of_descriptors_change_nothing(used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 1_048_576)
    budget = descriptor_budget(Limits(max_connections=500))
    assert (budget.connections, budget.backlog) == (500, MAX_BACKLOG)


def test_no_limit_or_no_way_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, resource.RLIM_INFINITY)
    assert descriptor_budget(Limits(max_connections=7)).connections == 7
    monkeypatch.setattr("aionet.core.admission.resource", None)
    assert descriptor_budget(Limits(max_connections=7)).connections == 7


def test_descriptors_in_use_are_counted_or_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _descriptors_in_use() > 2

    def refuse(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert _descriptors_in_use() > 2
