"""The styles of a UDP port that have an inbox: async ``on_datagram``, coroutines, and clients."""

import asyncio
import socket

import anyio
import pytest

from aionet.core.datagram import open_datagram_port
from aionet.core.datagram_calls import SLOTS
from aionet.core.datagram_queue import MAX_DATAGRAMS
from aionet.endpoint import Endpoint
from aionet.events import Address, DatagramStats, Events

from .udp_tools import Port, Recorder, Watch, client_of, listen, spin, until

pytestmark = pytest.mark.usefixtures("no_leaks", "calls")


# -- async on_datagram ------------------------------------------------------------------------------------------------


class Slow(Recorder):
    """Serves one datagram for each release of the semaphore."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Semaphore(0)
        self.now = self.most = 0

    async def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.gate.acquire()
        self.now -= 1
        if data == b"bad":
            raise LookupError
        super().on_datagram(port, data, peer)


async def test_async_datagrams_are_served_in_order_one_at_a_time() -> None:
    watch, handler = Watch(), Slow()
    port = await listen(handler, watch.events)
    async with port, await client_of(port) as client:
        for data in (b"1", b"bad", b"2", b"3"):
            client.send(data)
            handler.gate.release()
        assert [(await client.receive())[0] for _ in range(3)] == [b"1", b"2", b"3"]
        with pytest.raises(anyio.BusyResourceError):
            await port.receive()
    assert handler.most == 1
    assert [failure.where for failure in watch.failures] == ["on_datagram"]


@pytest.mark.parametrize("style", ["on_datagram", "handler"])
async def test_something_cancelled_that_a_handler_awaits_does_not_end_the_port(style: str) -> None:
    """``CancelledError`` is no ``Exception``: one datagram ended the port, and nobody was told."""

    async def answer(port: Port, data: bytes, peer: Address) -> None:
        if data == b"bad":
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            await cancelled
        port.send(data, peer)

    class Async(Recorder):
        async def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
            await answer(port, data, peer)

    async def coroutine(port: Port) -> None:
        async for data, peer in port:
            await answer(port, data, peer)

    watch = Watch()
    port = await listen(Async() if style == "on_datagram" else coroutine, watch.events)
    async with port, await client_of(port) as client:
        for data in (b"bad", b"good"):
            client.send(data)
        assert (await client.receive())[0] == b"good"
        assert [failure.where for failure in watch.failures] == [style]


async def test_a_full_inbox_drops_the_newest_and_counts() -> None:
    watch, handler = Watch(), Slow()
    port = await listen(handler, watch.events)
    total = MAX_DATAGRAMS + 1 + 20
    async with await client_of(port) as client:
        for number in range(total):
            client.send(b"%d" % number)
            if number % SLOTS == 0:
                await spin()
        await until(lambda: port.stats.datagrams_received == total)
        assert port.stats.datagrams_dropped == 20  # one is being served, the inbox is full
        for _ in range(total):
            handler.gate.release()
        port.drain()
        await port.wait_closed()
    assert handler.data == [b"%d" % number for number in range(total - 20)]
    assert watch.dropped == 20
    stats = port.stats
    assert stats.datagrams_received == len(handler.data) + stats.datagrams_dropped


async def test_closing_cancels_what_is_served_and_counts_what_waited() -> None:
    handler = Slow()
    port = await listen(handler)
    async with await client_of(port) as client:
        for _ in range(3):
            client.send(b"x")
        await until(lambda: port.stats.datagrams_received == 3 and handler.now)
    port.close()
    assert "close" not in handler.calls  # not before the task has ended
    await port.wait_closed()
    assert handler.calls == ["bind", "close"]
    assert port.stats.datagrams_dropped == 2


async def test_a_handler_closes_its_own_port() -> None:
    class Last(Recorder):
        async def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
            super().on_datagram(port, data, peer)
            await port.aclose()
            self.calls.append("after")

    handler = Last()
    port = await listen(handler)
    async with await client_of(port) as client:
        client.send(b"x")
        assert (await client.receive())[0] == b"x"
    await port.wait_closed()
    assert handler.calls == ["bind", "datagram", "after", "close"]


# -- coroutine style --------------------------------------------------------------------------------------------------


async def test_coroutine_reads_until_the_drain() -> None:
    served: list[bytes] = []

    async def handler(port: Port) -> None:
        async for data, peer in port:
            served.append(data)
            port.send(data, peer)
            if data == b"1":
                port.drain()  # type: ignore[attr-defined]
        served.append(b"end")

    port = await listen(handler)
    async with await client_of(port) as client:
        client.send(b"1")
        assert (await client.receive())[0] == b"1"
    await port.wait_closed()
    assert served == [b"1", b"end"]


async def test_coroutine_that_returns_closes_its_port() -> None:
    async def handler(port: Port) -> None:
        await port.receive()

    port = await listen(handler)
    async with await client_of(port) as client:
        client.send(b"x")
        await port.wait_closed()
    assert port.closing


async def test_coroutine_that_raises_starts_anew_at_the_next_datagram() -> None:
    starts: list[int] = []

    async def handler(port: Port) -> None:
        starts.append(1)
        async for data, peer in port:
            if data == b"bad":
                raise LookupError
            port.send(data, peer)

    watch = Watch()
    port = await listen(handler, watch.events)
    async with port, await client_of(port) as client:
        for data in (b"1", b"bad", b"2"):
            client.send(data)
        assert [(await client.receive())[0] for _ in range(2)] == [b"1", b"2"]
        assert len(starts) == 2
        assert [failure.where for failure in watch.failures] == ["handler"]
    assert len(watch.failures) == 1  # closing the port under it is no failure


async def test_coroutine_that_always_raises_makes_progress() -> None:
    async def handler(port: Port) -> None:
        raise LookupError

    watch = Watch()
    port = await listen(handler, watch.events)
    async with await client_of(port) as client:
        for _ in range(3):
            client.send(b"x")
        await until(lambda: port.stats.datagrams_dropped == 3)
    await port.aclose()
    assert len(watch.failures) in (3, 4)  # at each datagram, and at the start if that came before the first
    assert watch.dropped == 3


async def test_coroutine_is_cancelled_by_close() -> None:
    ended: list[str] = []

    async def handler(port: Port) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    port = await listen(handler)
    await spin()
    await port.aclose()
    assert ended == ["ended"]


# -- receiving on a client --------------------------------------------------------------------------------------------


async def test_a_refusal_is_raised_once_and_the_port_goes_on() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        number = sock.getsockname()[1]
    async with await open_datagram_port(Endpoint("udp", "127.0.0.1", number), events=Events()) as client:
        client.send(b"nobody there")
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await client.receive()
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        client.send(b"1")
        client.send(b"2")  # meets the refusal of the first, and leaves all the same
        assert client.stats == DatagramStats(0, 3, 0, 0, 14)
        with pytest.raises(anyio.BrokenResourceError):
            await client.receive()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", number))
            client.send(b"now")
            assert sock.recv(10) == b"now"


async def test_receive_cancelled_loses_nothing() -> None:
    async with await listen(Recorder()) as port, await client_of(port) as client:
        with anyio.move_on_after(0):
            await client.receive()
        task = asyncio.ensure_future(client.receive())
        await spin()
        with pytest.raises(anyio.BusyResourceError):
            await client.receive()
        port.send(b"x", client.sockname)
        await until(lambda: client.stats.datagrams_received)
        task.cancel()
        got = [item for item in await asyncio.gather(task, return_exceptions=True) if isinstance(item, tuple)]
        if not got:
            got = [await client.receive()]
        assert got == [(b"x", port.sockname)]


async def test_receive_on_a_closed_port() -> None:
    port = await listen(Recorder())
    client = await client_of(port)
    waiting = asyncio.ensure_future(client.receive())
    await spin()
    client.close()
    await port.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await waiting
    with pytest.raises(anyio.ClosedResourceError):
        await client.receive()
