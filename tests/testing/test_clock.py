from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import anyio
import pytest

from aionet.testing import VirtualClockLoop


@pytest.fixture
def loop() -> Iterator[VirtualClockLoop]:
    loop = VirtualClockLoop()
    yield loop
    loop.close()


def test_sleeping_takes_no_time_and_the_clock_shows_all_of_it(loop: VirtualClockLoop) -> None:
    real, virtual = time.monotonic(), loop.time()
    loop.run_until_complete(asyncio.sleep(1_000_000))
    assert loop.time() == pytest.approx(virtual + 1_000_000)
    assert time.monotonic() - real < 60


def test_timers_run_in_order_at_their_time(loop: VirtualClockLoop) -> None:
    seen: list[tuple[str, float]] = []
    start = loop.time()

    def note(name: str) -> None:
        seen.append((name, loop.time() - start))

    for name, delay in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0)):
        loop.call_later(delay, note, name)
    loop.advance(2)
    assert seen == [("a", 1.0), ("a2", 1.0), ("b", 2.0)]
    loop.advance(0.5)
    assert len(seen) == 3
    assert loop.time() == start + 2.5
    loop.advance(100)
    assert seen[-1] == ("c", 3.0)
    assert loop.time() == start + 102.5


def test_advancing_runs_what_timers_bring_about(loop: VirtualClockLoop) -> None:
    seen: list[float] = []

    def again() -> None:
        seen.append(loop.time())
        loop.call_soon(loop.call_later, 1.0, again)

    again()
    loop.advance(10)
    assert len(seen) == 11


def test_advancing_by_nothing_runs_what_is_ready(loop: VirtualClockLoop) -> None:
    seen: list[str] = []
    loop.call_soon(loop.call_soon, seen.append, "ready")
    loop.call_later(0.001, seen.append, "never")
    loop.advance()
    assert seen == ["ready"]


def test_time_does_not_go_back(loop: VirtualClockLoop) -> None:
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="forward"):
            loop.advance(seconds)


def test_a_cancelled_timer_holds_nothing_up(loop: VirtualClockLoop) -> None:
    start = loop.time()
    loop.call_later(1000, lambda: None).cancel()
    loop.run_until_complete(asyncio.sleep(1))
    assert loop.time() == pytest.approx(start + 1)


def test_waiting_for_what_cannot_come_is_an_error(loop: VirtualClockLoop) -> None:
    future = loop.create_future()
    with pytest.raises(RuntimeError, match="cannot come"):
        loop.run_until_complete(future)
    future.cancel()


def test_threads_are_waited_for(loop: VirtualClockLoop) -> None:
    async def work() -> int:
        return await asyncio.to_thread(lambda: 42)

    assert loop.run_until_complete(work()) == 42
    loop.run_until_complete(loop.shutdown_default_executor())


def test_asyncio_and_anyio_work_on_it() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 10)
        with anyio.move_on_after(20):
            await anyio.sleep_forever()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 5)
            tasks.start_soon(anyio.sleep, 30)
        return loop.time() - start

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        assert runner.run(main()) == pytest.approx(60)


def test_a_real_file_descriptor_is_heard(loop: VirtualClockLoop) -> None:
    async def main() -> bytes:
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        return output

    assert loop.run_until_complete(main()) == b"hello\n"
