"""Blocking calls: results, exceptions, time limits, and processes that exit while one still hangs."""

import asyncio
import subprocess
import sys
import threading

import pytest

from aionet.core.threads import MAX_THREADS, in_thread


async def test_what_it_returns_and_what_it_raises() -> None:
    assert await in_thread(lambda: 1 + 1, timeout=5) == 2
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, timeout=5)


async def test_one_that_hangs_is_given_up() -> None:
    hanging = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread(hanging.wait, timeout=0.01)
    hanging.set()


async def test_the_loop_goes_on_meanwhile() -> None:
    hanging = threading.Event()
    asyncio.get_running_loop().call_soon(hanging.set)  # would never run if the call blocked the loop
    assert await in_thread(hanging.wait, timeout=5)


async def test_hanging_calls_are_bounded() -> None:
    hanging = threading.Event()
    calls = [asyncio.ensure_future(in_thread(hanging.wait, timeout=30)) for _ in range(MAX_THREADS)]
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError, match="64 look-ups are under way"):
        await in_thread(lambda: None, timeout=1)
    hanging.set()
    assert all(await asyncio.gather(*calls))
    assert await in_thread(lambda: True, timeout=5)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_process_exits_while_a_call_hangs(loop: str) -> None:
    code = (
        "import threading\n"
        "from aionet.core.loop import run\n"
        "from aionet.core.threads import in_thread\n"
        "async def main():\n"
        "    try:\n"
        "        await in_thread(threading.Event().wait, timeout=0.05)\n"
        "    except TimeoutError:\n"
        "        print('gave up')\n"
        f"run(main(), loop={loop!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gave up\n", "")
