"""The proxy does to connections what it is told, at the byte, and to nobody else."""

from __future__ import annotations

import anyio
import pytest

from aionet import Connection, Router, Server, connect
from aionet.errors import ConfigError
from aionet.testing import Direction, Fault, FaultKind, FaultProxy


async def echo(conn: Connection[bytes]) -> None:
    async for chunk in conn:
        await conn.send(chunk)
    await conn.send(b"end")


def server_of_echo() -> Server:
    router = Router()
    router.add("tcp://127.0.0.1:0", echo)
    return Server(router)


async def read_all(conn: Connection[bytes]) -> tuple[bytes, str]:
    """All that comes, and how it ended."""
    received = b""
    try:
        while True:
            received += await conn.receive()
    except anyio.EndOfStream:
        return received, "end"
    except anyio.BrokenResourceError:
        return received, "reset"


async def read_exactly(conn: Connection[bytes], count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += await conn.receive()
    return received


async def test_unharmed_bytes_pass_both_ways_and_so_does_the_end() -> None:
    data = bytes(range(256)) * 4000
    async with server_of_echo() as server, FaultProxy(server.addresses[0]) as proxy:
        async with connect(proxy.endpoint) as conn, anyio.create_task_group() as tasks:

            async def send() -> None:
                await conn.send(data)
                await conn.send_eof()

            tasks.start_soon(send)
            assert await read_all(conn) == (data + b"end", "end")
        assert (proxy.connections, proxy.happened, proxy.passed) == (1, 0, 2 * len(data) + 3)


@pytest.mark.parametrize("after", [0, 1, 100])
async def test_a_cut_is_an_orderly_end_after_exactly_so_many_bytes(after: int) -> None:
    faults = [Fault(FaultKind.CUT, after=after, direction=Direction.DOWN), None]
    async with server_of_echo() as server, FaultProxy(server.addresses[0], faults) as proxy:
        async with connect(proxy.endpoint) as conn:
            if after:
                await conn.send(b"x" * 1000)
            assert await read_all(conn) == (b"x" * after, "end")
        assert proxy.happened == 1
        async with connect(proxy.endpoint) as conn:  # the next one passes
            await conn.send(b"hello")
            assert await read_exactly(conn, 5) == b"hello"
        assert (proxy.connections, proxy.happened) == (2, 1)


async def test_both_directions_count_together() -> None:
    faults = [Fault(FaultKind.CUT, after=150)]
    async with server_of_echo() as server, FaultProxy(server.addresses[0], faults) as proxy:
        async with connect(proxy.endpoint) as conn:
            await conn.send(b"x" * 100)
            assert await read_all(conn) == (b"x" * 50, "end")
        assert proxy.passed == 150


async def test_a_reset() -> None:
    faults = [Fault(FaultKind.RESET, after=10, direction=Direction.UP)]
    async with (
        server_of_echo() as server,
        FaultProxy(server.addresses[0], faults) as proxy,
        connect(proxy.endpoint) as conn,
    ):
        await conn.send(b"x" * 1000)
        received, how = await read_all(conn)
        assert how == "reset"
        assert len(received) <= 10


async def test_a_stall_lets_nothing_pass_and_ends_nothing() -> None:
    faults = [Fault(FaultKind.STALL, after=4, direction=Direction.UP)]
    async with (
        server_of_echo() as server,
        FaultProxy(server.addresses[0], faults) as proxy,
        connect(proxy.endpoint) as conn,
    ):
        await conn.send(b"12345678")
        with anyio.move_on_after(0.2) as waited:
            await read_exactly(conn, 5)
        assert waited.cancelled_caught
        assert not conn.closing
        assert proxy.passed <= 8
    assert proxy.happened == 1


async def test_a_throttled_connection_goes_on() -> None:
    faults = [Fault(FaultKind.THROTTLE, rate=100_000, after=10)]
    async with server_of_echo() as server, FaultProxy(server.addresses[0], faults) as proxy:
        async with connect(proxy.endpoint) as conn:
            started = anyio.current_time()
            await conn.send(b"x" * 10_000)
            assert await read_exactly(conn, 10_000) == b"x" * 10_000
            assert anyio.current_time() - started >= 0.08  # never faster than it was told
        assert proxy.passed == 20_000


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    async with server_of_echo() as server:
        gone = server.addresses[0]
    async with FaultProxy(gone) as proxy, connect(proxy.endpoint) as conn:
        assert await read_all(conn) == (b"", "reset")


@pytest.mark.parametrize(
    ("kind", "more"), [(FaultKind.CUT, {"after": -1}), (FaultKind.THROTTLE, {}), (FaultKind.RESET, {"rate": 5})]
)
def test_what_is_no_fault(kind: FaultKind, more: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Fault(kind, **more)  # type: ignore[arg-type]
