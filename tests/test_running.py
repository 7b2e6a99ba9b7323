"""run() owns its process: signals, exit codes, and an end in bounded time whatever handlers do."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aionet import Router, Server
from aionet.errors import BindError, ConfigError
from aionet.running import serve

from .serving import Recorder, program

PROGRAM = """
    import asyncio, contextlib, sys, time
    import aionet.running, aionet.server
    from aionet import LineCodec, Router, StreamHandler
    from aionet.running import serve

    aionet.running.LAST_RESORT = 0.2
    aionet.server.LAST_WORDS = 0.2

    class Polite(StreamHandler):
        codec = LineCodec()
        def on_message(self, conn, message):
            conn.write(message.upper())

    class Blocking(Polite):
        def on_message(self, conn, message):
            print("blocking", flush=True)
            time.sleep(30)

    class Staying(Polite):
        def on_drain(self, conn):
            print("draining", flush=True)

    async def swallowing(conn):
        print("draining", flush=True)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def threading(conn):
        print("draining", flush=True)
        await asyncio.to_thread(time.sleep, 30)

    handler = {"polite": Polite(), "blocking": Blocking(), "staying": Staying(), "swallowing": swallowing,
               "threading": threading}[sys.argv[2]]
    router = Router()
    router.add("tcp://127.0.0.1:0", handler)

    def started(server):
        print(server.addresses[0].port, flush=True)

    code = serve(router, loop=sys.argv[1], on_started=started, drain_timeout=float(sys.argv[3]))
    print("returned", code, flush=True)
    sys.exit(code)
"""

LOOPS = ["asyncio", "uvloop"]


class Running:
    """The program above, and one client of its server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.client: socket.socket | None = None

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            return (await self.process.stdout.readline()).decode().strip()

    async def connect(self) -> socket.socket:
        port = int(await self.line())
        self.client = socket.create_connection(("127.0.0.1", port))
        return self.client

    async def end(self) -> tuple[int, str, str]:
        async with asyncio.timeout(20):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def running(loop: str, handler: str, drain_timeout: float) -> AsyncIterator[Running]:
    found = Running(await program(PROGRAM, loop, handler, str(drain_timeout)))
    try:
        yield found
    finally:
        if found.client is not None:
            found.client.close()
        if found.process.returncode is None:
            found.process.kill()
            await found.process.communicate()


only_asyncio = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The loop under test is the program's; the test's own does not matter."""


@only_asyncio
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_the_exit_code_is_0(loop: str, number: signal.Signals) -> None:
    async with running(loop, "polite", 20) as found:
        client = await found.connect()
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"
        found.process.send_signal(number)
        code, out, err = await found.end()
        assert (code, out, err) == (0, "returned 0\n", "")
        assert client.recv(100) == b""


@only_asyncio
@pytest.mark.parametrize("loop", LOOPS)
async def test_who_is_cut_at_the_deadline_makes_it_5(loop: str) -> None:
    async with running(loop, "staying", 0.05) as found:
        client = await found.connect()
        client.sendall(b"here\n")
        assert client.recv(100) == b"HERE\n"
        found.process.terminate()
        assert await found.line() == "draining"
        code, out, err = await found.end()
        assert (code, out) == (5, "returned 5\n")
        assert err.endswith(f"127.0.0.1:{client.getsockname()[1]}\n")
        assert err.count("\n") == 1


@only_asyncio
@pytest.mark.parametrize("loop", LOOPS)
async def test_a_second_signal_ends_the_drain_at_once(loop: str) -> None:
    async with running(loop, "staying", 3600) as found:
        client = await found.connect()
        client.sendall(b"here\n")
        assert client.recv(100) == b"HERE\n"
        found.process.terminate()
        assert await found.line() == "draining"
        found.process.send_signal(signal.SIGINT)
        code, out, err = await found.end()
        assert (code, out) == (5, "returned 5\n")
        assert err.endswith(f"127.0.0.1:{client.getsockname()[1]}\n")
        assert err.count("\n") == 1


@only_asyncio
@pytest.mark.parametrize("loop", LOOPS)
async def test_a_second_signal_ends_it_even_where_a_callback_blocks_the_loop(loop: str) -> None:
    async with running(loop, "blocking", 3600) as found:
        client = await found.connect()
        client.sendall(b"now\n")
        assert await found.line() == "blocking"
        found.process.terminate()
        found.process.send_signal(signal.SIGINT)  # of two signals of one kind the second could be lost
        code, out, err = await found.end()
        assert (code, out, err) == (5, "", "")


@only_asyncio
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("handler", ["swallowing", "threading"])
async def test_what_cannot_be_ended_does_not_keep_the_process(loop: str, handler: str) -> None:
    async with running(loop, handler, 0.05) as found:
        await found.connect()
        assert await found.line() == "draining"
        found.process.terminate()
        code, out, _ = await found.end()
        assert (code, out) == (5, "")


@pytest.mark.parametrize("loop", LOOPS)
def test_what_cannot_start_raises_and_leaves_signals_as_they_were(loop: str) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        router = Router()
        router.add(f"tcp://127.0.0.1:{taken.getsockname()[1]}", Recorder())
        with pytest.raises(BindError, match="address already in use"):
            serve(router, loop=loop)  # type: ignore[arg-type]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_loop_that_is_none() -> None:
    with pytest.raises(ConfigError, match="unknown loop 'trio'"):
        serve(Router(), loop="trio")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the router has no routes"):
        serve(Router())


@pytest.mark.parametrize("loop", LOOPS)
def test_signals_are_given_back(loop: str) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    router = Router()
    router.add("tcp://127.0.0.1:0", Recorder())
    calls: list[str] = []

    def started(server: Server) -> None:
        calls.append("started")
        signal.raise_signal(signal.SIGTERM)

    code = serve(
        router,
        loop=loop,  # type: ignore[arg-type]
        on_started=started,
        on_draining=lambda server: calls.append("draining"),
    )
    assert code == 0
    assert calls == ["started", "draining"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@only_asyncio
async def test_run_logs_to_standard_error() -> None:
    source = """
        from aionet import Router, StreamHandler, run
        router = Router()
        router.add("tcp://127.0.0.1:0", StreamHandler())
        raise SystemExit(run(router))
    """
    process = await program(source)
    assert process.stderr is not None
    said = b""
    while b"tcp://127.0.0.1:" not in said:
        said += await process.stderr.readline()
    process.terminate()
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in said + err


@only_asyncio
@pytest.mark.parametrize(
    ("routes", "code", "says"),
    [
        ("router.add('tcp://127.0.0.1:' + sys.argv[1], StreamHandler())", 3, "address already in use\nhint: "),
        ("", 4, "the router has no routes\nhint: "),
        ("router.add('tls://127.0.0.1:0', StreamHandler())", 3, "TLS needs a certificate\nhint: "),
    ],
    ids=["taken", "no routes", "no certificate"],
)
async def test_run_says_why_it_cannot_start_in_two_lines(routes: str, code: int, says: str) -> None:
    source = f"import sys\nfrom aionet import Router, StreamHandler, run\nrouter = Router()\n{routes}\nrun(router)\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await program(source, str(taken.getsockname()[1]))
        out, err = await process.communicate()
    assert (process.returncode, out) == (code, b"")
    lines = [line for line in err.decode().splitlines() if line.startswith(("error: ", "hint: "))]
    assert len(lines) == 2
    assert says in "\n".join(lines)
    assert "Traceback" not in err.decode()
