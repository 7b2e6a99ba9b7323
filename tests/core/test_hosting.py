"""The inner door: what a route allows beyond what its port has let in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aionet.core.admission import TOO_MANY, Admission
from aionet.core.hosting import RouteDoor


class Outer:
    """The port's door."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def admit(self, conn: Any) -> bool:
        raise AssertionError("it has let the connection in already")

    def leave(self, conn: Any) -> None:
        self.left.append(conn)

    leave_early = leave


def visitor(key: str | None) -> SimpleNamespace:
    return SimpleNamespace(address_key=key)


def test_without_a_limit_of_its_own_all_may_come() -> None:
    outer = Outer()
    door = RouteDoor(outer, None)
    conn = visitor("a")
    assert door.refuses("a") is None
    assert door.admit(conn)
    door.leave(conn)
    door.leave_early(conn)
    assert outer.left == [conn, conn]


def test_a_limit_of_its_own() -> None:
    limit = Admission(2, 1)
    door = RouteDoor(Outer(), limit)
    first, second = visitor("a"), visitor(None)
    assert door.admit(first)
    assert door.refuses("a") == TOO_MANY
    assert door.refuses("b") is None
    assert door.admit(second)
    assert door.refuses("b") == "its route has all the connections it may have (2)"
    door.leave(first)
    assert door.refuses("a") is None
    door.leave(second)
    assert limit.count == 0
