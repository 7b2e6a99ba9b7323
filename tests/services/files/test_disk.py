from __future__ import annotations

import asyncio
import threading

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
