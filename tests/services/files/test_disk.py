from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from aionet.services.files.disk import Disk, Lease
from aionet.services.files.errors import TransferError


def test_a_lease_closes_once() -> None:
    closed: list[str] = []
    lease = Lease(closed.append)
    lease.put("thing")
    assert lease.filled
    with lease.use() as thing:
        assert thing == "thing"
    assert closed == []
    lease.release()
    lease.release()
    assert closed == ["thing"]
    with pytest.raises(TransferError), lease.use():
        pass


def test_what_comes_too_late_is_closed_at_once() -> None:
    closed: list[str] = []
    lease = Lease(closed.append)
    lease.release()
    with pytest.raises(TransferError):
        lease.put("late")
    assert closed == ["late"]


def test_what_is_in_use_is_closed_by_its_user() -> None:
    closed: list[str] = []
    lease = Lease(closed.append)
    lease.put("thing")
    with lease.use():
        lease.release()
        assert closed == []
    assert closed == ["thing"]


def test_it_is_closed_once_also_if_the_user_fails() -> None:
    closed: list[str] = []
    lease = Lease(closed.append)
    lease.put("thing")

    def fail() -> None:
        with lease.use():
            lease.release()
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert closed == ["thing"]


async def test_a_cancelled_task_does_not_lose_what_its_thread_opens() -> None:
    closed: list[str] = []
    lease = Lease(closed.append)
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def open_slowly() -> None:
        started.set()
        assert go_on.wait(10)
        try:
            lease.put("late")
        finally:
            done.set()

    async def work() -> None:
        try:
            await disk.run(open_slowly)
        finally:
            lease.release()

    disk = Disk()
    task = asyncio.create_task(work())
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == []
    go_on.set()
    await asyncio.to_thread(done.wait, 10)
    assert closed == ["late"]


async def test_no_more_threads_than_allowed_work_at_once() -> None:
    disk = Disk(threads=2)
    running, most = 0, 0
    lock = threading.Lock()
    barrier = threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(10)
        with lock:
            running -= 1

    await asyncio.gather(*(disk.run(work) for _ in range(10)))
    assert most == 2


async def test_a_call_waits_for_the_thread_of_one_whose_task_was_cancelled() -> None:
    order: list[str] = []
    lease: Lease[list[str]] = Lease(list.clear)
    lease.put(order)
    started, go_on = threading.Event(), threading.Event()

    def first(thing: list[str]) -> None:
        started.set()
        assert go_on.wait(10)
        thing.append("first")

    disk = Disk()
    task = asyncio.create_task(lease.run(disk, first))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    second = asyncio.create_task(lease.run(disk, list.append, "second"))
    await asyncio.wait((second,), timeout=0.1)
    go_on.set()
    await second
    assert order == ["first", "second"]
    lease.release()


async def test_a_call_whose_turn_never_comes_is_refused() -> None:
    lease: Lease[str] = Lease(lambda thing: None)
    lease.put("thing")
    lease.release()
    with pytest.raises(TransferError, match="released"):
        await lease.run(Disk(), str.upper)


async def test_a_call_is_a_threads_when_start_returns() -> None:
    called = threading.Event()
    call = Disk().start(called.set)
    assert called.wait(10)  # though the loop has not run since
    await call


async def test_what_a_call_returns_or_raises_is_the_futures() -> None:
    disk = Disk(1)
    assert await disk.start(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await disk.start(divmod, 7, 0)


async def test_calls_are_made_in_their_order_and_one_at_a_time() -> None:
    order: list[int] = []
    lease: Lease[list[int]] = Lease(list.clear)
    lease.put(order)
    under_way = threading.Lock()

    def call(thing: list[int], number: int) -> int:
        assert under_way.acquire(blocking=False)
        thing.append(number)
        under_way.release()
        return number

    disks = Disk(4), Disk(4)  # of whichever
    calls = [lease.start(disks[number % 2], call, number) for number in range(50)]
    assert await asyncio.gather(*calls) == list(range(50))
    assert order == list(range(50))


async def test_a_failed_call_does_not_keep_the_next_one_from_its_turn() -> None:
    disk, lease = Disk(), Lease[str](lambda thing: None)
    lease.put("thing")
    calls = [lease.start(disk, function) for function in (str.upper, str.isdigit, bytes.fromhex, str.lower)]
    await asyncio.wait(calls)
    assert [call.exception() is None for call in calls] == [True, True, False, True]


class Gate:
    """A call that waits."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.made: list[str] = []

    def wait(self, thing: str) -> str:
        self.entered.set()
        assert self.go_on.wait(10)
        self.made.append(thing)
        return thing


async def test_waiters_that_are_cancelled_cancel_no_call() -> None:
    disk, gate = Disk(), Gate()
    lease: Lease[str] = Lease(gate.made.append)
    lease.put("thing")
    waiters = [asyncio.create_task(lease.run(disk, gate.wait)) for _ in range(3)]
    last = asyncio.create_task(lease.run(disk, gate.wait))
    assert await asyncio.to_thread(gate.entered.wait, 10)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)
    assert all(waiter.cancelled() for waiter in waiters)
    assert gate.made == []
    gate.go_on.set()
    assert await last == "thing"
    assert gate.made == ["thing"] * 4
    lease.release()


@pytest.mark.parametrize("queued", [0, 1, 3])
async def test_released_while_a_call_is_under_way_and_others_wait(queued: int) -> None:
    """The first one closes it, as the last that uses it; the others are refused."""
    disk, gate, closed = Disk(), Gate(), list[str]()
    lease = Lease(closed.append)
    lease.put("thing")
    first, *others = [lease.start(disk, gate.wait) for _ in range(1 + queued)]
    assert await asyncio.to_thread(gate.entered.wait, 10)
    lease.release()
    assert closed == []
    gate.go_on.set()
    assert await first == "thing"
    assert closed == ["thing"]
    if others:
        await asyncio.wait(others)
    assert [type(call.exception()) for call in others] == [TransferError] * queued
    with pytest.raises(TransferError, match="released"):
        await lease.start(disk, gate.wait)
    assert gate.made == closed == ["thing"]


async def test_released_while_all_threads_are_busy() -> None:
    disk, gate, closed = Disk(1), Gate(), list[str]()
    lease = Lease(closed.append)
    lease.put("thing")
    busy = disk.start(gate.wait, "other")
    call = lease.start(disk, str.upper)
    lease.release()
    assert closed == ["thing"]
    gate.go_on.set()
    await busy
    with pytest.raises(TransferError, match="released"):
        await call


async def test_a_failure_that_nobody_waits_for_is_no_news() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    disk, gate = Disk(), Gate()
    lease: Lease[str] = Lease(lambda thing: None)
    lease.put("thing")

    def fail(thing: str) -> None:
        gate.wait(thing)
        raise OSError("disk")

    calls: list[asyncio.Future[Any]] = [lease.start(disk, fail), lease.start(disk, fail), disk.start(str.upper, "x")]
    gate.go_on.set()
    await asyncio.wait(calls)
    del calls
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


@pytest.mark.parametrize("make", [asyncio.new_event_loop, None], ids=["asyncio", "uvloop"])
def test_a_loop_that_is_closed_before_a_thread_is_done(
    make: Callable[[], asyncio.AbstractEventLoop] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """And the same threads serve the next loop."""
    if make is None:
        make = pytest.importorskip("uvloop").new_event_loop
        assert make is not None
    disk, gate, closed = Disk(1), Gate(), list[str]()
    lease = Lease(closed.append)
    lease.put("thing")

    async def begin() -> None:
        lease.start(disk, gate.wait)
        lease.start(disk, gate.wait)
        assert gate.entered.wait(10)

    loop = make()
    loop.run_until_complete(begin())
    for task in asyncio.all_tasks(loop):  # as asyncio.run does
        task.cancel()
        loop.run_until_complete(asyncio.wait((task,)))
    loop.close()
    lease.release()
    gate.go_on.set()
    with asyncio.Runner(loop_factory=make) as runner:
        assert runner.run(disk.run(str.upper, "next")) == "NEXT"
    assert gate.made == closed == ["thing"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


LEAVING = """
import asyncio, sys, threading, time
from aionet.services.files.disk import Disk, Lease

made = []
def call(thing):
    entered.set()
    time.sleep(0.2)
    made.append(thing)
    sys.stdout.write(thing)

async def main():
    lease.start(disk, call)
    for _ in range(20):
        lease.start(disk, call)
    assert await asyncio.to_thread(entered.wait, 10)
    lease.release()

entered, disk, lease = threading.Event(), Disk(1), Lease(lambda thing: sys.stdout.write(" closed"))
lease.put("made")
asyncio.run(main())
"""


def test_no_more_than_the_call_under_way_is_waited_for_by_an_interpreter_that_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEAVING], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "made closed", "")


def test_threads_end_with_the_disk_that_they_are_of() -> None:
    disk = Disk(2)

    async def use(disk: Disk) -> None:
        await asyncio.gather(*(disk.run(threading.Event().wait, 0.01) for _ in range(4)))

    before = set(threading.enumerate())
    asyncio.run(use(disk))
    threads = set(threading.enumerate()) - before
    assert 0 < len(threads) <= 2
    del disk
    gc.collect()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
