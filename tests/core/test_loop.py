"""Choosing a loop, running on it, and the end of a tick."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from aionet.core import loop as loops
from aionet.core.loop import BUSY_FOR, LoopShared, loop_factory, loop_name, run, shared
from aionet.errors import ConfigError
from aionet.testing import VirtualClockLoop


async def name_of_the_loop() -> str:
    return loop_name(asyncio.get_running_loop())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no uvloop")
@pytest.mark.parametrize(("name", "expected"), [("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")])
def test_run_runs_on_the_loop_that_was_asked_for(name: Any, expected: str) -> None:
    assert run(name_of_the_loop(), loop=name) == expected


def test_what_main_returns_is_not_shown_to_anybody() -> None:
    shown: list[str] = []

    class Large:
        def __repr__(self) -> str:
            shown.append("a million lines")
            return shown[0]

    async def main() -> Large:
        return result

    result = Large()
    assert run(main()) is result
    assert not shown


def test_without_uvloop_auto_is_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "uvloop", None)
    assert run(name_of_the_loop()) == "asyncio"
    with pytest.raises(ConfigError, match="not installed"):
        loop_factory("uvloop")


def test_an_unknown_loop_is_refused_and_nothing_is_left_behind() -> None:
    main = name_of_the_loop()
    with pytest.raises(ConfigError, match="unknown loop"):
        run(main, loop="trio")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="cannot reuse"):  # closed, so nobody warns that it was never awaited
        main.send(None)


async def test_a_loop_has_one_of_what_is_shared() -> None:
    loop = asyncio.get_running_loop()
    assert shared(loop) is shared(loop)
    assert shared(loop).is_uvloop == (loop_name(loop) == "uvloop")
    assert (shared(loop).buffer is None) == (shared(loop).is_uvloop or shared(loop).reactor is not None)


# ── the end of a tick ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def clock() -> Iterator[VirtualClockLoop]:
    loop = VirtualClockLoop()
    yield loop
    loop.close()


class Waiting:
    """Notes its flushes; ``then`` is done at the first."""

    def __init__(self, log: list[str], name: str, then: Any = None) -> None:
        self.log = log
        self.name = name
        self.then = then

    def flush_tick(self) -> None:
        self.log.append(self.name)
        then, self.then = self.then, None
        if then is not None:
            then()

    def settle_all(self) -> None:
        self.log.append(f"settle {self.name}")


def test_all_that_waits_is_flushed_once_at_the_end_of_the_tick_groups_first(clock: VirtualClockLoop) -> None:
    log: list[str] = []
    state = shared(clock)
    state.flush_later(Waiting(log, "a"))
    state.publish_later(Waiting(log, "group"))
    state.flush_later(Waiting(log, "b"))
    assert log == []
    clock.advance()
    assert log == ["group", "a", "b"]
    clock.advance(1)
    assert log == ["group", "a", "b"]


def test_a_group_that_speaks_after_another_settles_that_one(clock: VirtualClockLoop) -> None:
    log: list[str] = []
    state = shared(clock)
    first, second = Waiting(log, "1"), Waiting(log, "2")
    state.publish_later(first)
    state.publish_later(first)
    assert log == []
    state.publish_later(second)
    assert log == ["settle 1"]
    clock.advance()
    state.publish_later(first)
    assert log[1:] == ["1", "1", "2"]


def test_what_a_flush_brings_about_waits_for_the_next_tick(clock: VirtualClockLoop) -> None:
    log: list[str] = []
    state = shared(clock)

    def bring_about() -> None:
        clock.call_soon(log.append, "read in between")
        state.flush_later(Waiting(log, "later"))

    state.flush_later(Waiting(log, "now", then=bring_about))
    clock.advance()
    assert log == ["now", "read in between", "later"]


def test_a_flush_that_fails_holds_up_nobody(clock: VirtualClockLoop) -> None:
    log: list[str] = []
    escaped: list[Any] = []
    clock.set_exception_handler(lambda loop, context: escaped.append(context["exception"]))
    state = shared(clock)

    def fail() -> None:
        raise ZeroDivisionError

    for waiting in (Waiting(log, "a", then=fail), Waiting(log, "b")):
        state.flush_later(waiting)
    clock.advance()
    assert log == ["a", "b"]
    assert [type(exc) for exc in escaped] == [ZeroDivisionError]


class Counted:
    flushed = 0

    def flush_tick(self) -> None:
        self.flushed += 1


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_call_from_another_thread_refused_in_debug_mode_does_not_stop_the_flushes() -> None:
    loop = asyncio.get_running_loop()
    end_of_tick, items, errors = LoopShared(loop), [Counted(), Counted()], list[Exception]()

    def mistake() -> None:
        try:
            end_of_tick.flush_later(items[0])
        except RuntimeError as exc:
            errors.append(exc)

    loop.set_debug(True)
    thread = threading.Thread(target=mistake)
    thread.start()
    thread.join()
    loop.set_debug(False)
    assert len(errors) == 1
    end_of_tick.flush_later(items[1])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [item.flushed for item in items] == [1, 1]


def test_a_loop_is_busy_for_some_turns_after_somebody_spoke(clock: VirtualClockLoop) -> None:
    """Not for one alone: who speaks now and then would find the longest turn under way each time."""
    found = LoopShared(clock, native=False)
    assert found.was_busy()  # nobody counts: it may be
    reactor = SimpleNamespace(heard=0)
    found.reactor = reactor  # type: ignore[assignment]
    assert not found.was_busy()
    for _ in range(2):
        reactor.heard += 1
        assert [found.was_busy() for _ in range(BUSY_FOR + 2)] == [True] * BUSY_FOR + [False] * 2
    found.waiting.append(Waiting([], "a member of a group"))  # type: ignore[arg-type]
    assert found.was_busy()
