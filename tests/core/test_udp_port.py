"""UDP ports on real loopback sockets: the three styles, what is dropped and counted, and that nothing ends a port."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from aionet.core.datagram import listen_datagram, open_datagram_port
from aionet.core.datagram_queue import MAX_BYTES, MAX_DATAGRAMS
from aionet.core.udp_port import BATCH, UDPPort
from aionet.endpoint import Endpoint
from aionet.events import Address, DatagramsDropped, DatagramStats, Event, Events, HandlerFailed
from aionet.handler import DatagramHandler, DatagramPort

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = Endpoint.parse("udp://127.0.0.1:0")
Port = DatagramPort[bytes]


class Recorder(DatagramHandler):
    """Notes each callback; answers with the data."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data: list[bytes] = []

    def on_bind(self, port: Port) -> None:
        self.calls.append("bind")

    def on_datagram(self, port: Port, data: bytes, peer: Address) -> Any:
        self.calls.append("datagram")
        self.data.append(data)
        port.send(data, peer)

    def on_drain(self, port: Port) -> None:
        self.calls.append("drain")

    def on_close(self, port: Port) -> None:
        self.calls.append("close")


class Watch:
    def __init__(self) -> None:
        self.events = Events()
        self.seen: list[Event] = []
        self.events.subscribe(self.seen.append)

    @property
    def dropped(self) -> int:
        return sum(event.count for event in self.seen if isinstance(event, DatagramsDropped))

    @property
    def failures(self) -> list[HandlerFailed]:
        return [event for event in self.seen if isinstance(event, HandlerFailed)]


async def listen(handler: object, events: Events | None = None, endpoint: Endpoint = LOOPBACK) -> UDPPort:
    (port,) = await listen_datagram(endpoint, handler, events=events or Events(), route="test")
    return port


async def client_of(port: UDPPort) -> UDPPort:
    return await open_datagram_port(port.endpoint, events=Events())


class Throttled(socket.socket):
    """A socket whose send buffer is full whenever the test says so."""

    full = False

    def sendto(self, *args: Any) -> int:
        if self.full:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return super().sendto(*args)


def throttled_port(events: Events, handler: object | None = None) -> tuple[UDPPort, Throttled]:
    sock = Throttled(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    port = UDPPort(asyncio.get_running_loop(), sock, handler or Recorder(), events=events, endpoint=LOOPBACK)
    port.start()
    return port, sock


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go round until the condition holds; the test's own time limit ends a vain wait."""
    while not condition():  # noqa: ASYNC110 - what is waited for is a count, nothing sets an event
        await asyncio.sleep(0)


async def spin(turns: int = 5) -> None:
    """Let the loop go round: on loopback a datagram is readable as soon as it is sent."""
    for _ in range(turns):
        await asyncio.sleep(0)


# -- callback style ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1472, 65507])
async def test_echo_of_every_size(size: int) -> None:
    port = await listen(Recorder())
    async with port, await client_of(port) as client:
        client.send(bytes(size))
        data, peer = await client.receive()
        assert data == bytes(size)
        assert peer == port.sockname
        assert client.stats == DatagramStats(1, 1, 0, size, size)
    assert port.stats == DatagramStats(1, 1, 0, size, size)


async def test_ipv6() -> None:
    port = await listen(Recorder(), endpoint=Endpoint.parse("udp://[::1]:0"))
    async with port, await client_of(port) as client:
        client.send(b"six")
        assert (await client.receive())[0] == b"six"
        assert str(port.endpoint).startswith("udp://[::1]:")


async def test_ipv4_on_a_dual_stack_port() -> None:
    port = await listen(Recorder(), endpoint=Endpoint.parse("udp://*:0"))
    async with (
        port,
        await open_datagram_port(Endpoint("udp", "127.0.0.1", port.endpoint.port), events=Events()) as client,
    ):
        client.send(b"four")
        assert (await client.receive())[0] == b"four"


async def test_life_in_order_without_a_task() -> None:
    handler = Recorder()
    port = await listen(handler)
    tasks = len(asyncio.all_tasks())
    async with await client_of(port) as client:
        client.send(b"x")
        await client.receive()
        assert len(asyncio.all_tasks()) == tasks
    port.drain()
    port.drain()
    port.close()
    await port.wait_closed()
    assert handler.calls == ["bind", "datagram", "drain", "close"]
    assert port.closing
    assert port.fileno() == -1
    assert "closed" in repr(port)


async def test_a_batch_is_bounded_and_its_replies_leave_together() -> None:
    sent_while_handling: list[int] = []

    class Count(Recorder):
        def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
            super().on_datagram(port, data, peer)
            sent_while_handling.append(port.stats.datagrams_sent)

    port = await listen(Count())
    async with port, await client_of(port) as client:
        for number in range(BATCH + 6):
            client.send(b"%d" % number)
        for number in range(BATCH + 6):
            assert (await client.receive())[0] == b"%d" % number
    assert set(sent_while_handling[: BATCH - 1]) == {0}
    assert sent_while_handling[BATCH] == BATCH


async def test_a_failing_handler_loses_one_datagram_alone() -> None:
    class Picky(Recorder):
        def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
            if data == b"bad":
                raise LookupError("no")
            super().on_datagram(port, data, peer)

    watch = Watch()
    port = await listen(Picky(), watch.events)
    async with port, await client_of(port) as client:
        for data in (b"1", b"bad", b"2"):
            client.send(data)
        assert [(await client.receive())[0] for _ in range(2)] == [b"1", b"2"]
        (failure,) = watch.failures
        assert (failure.route, failure.where, failure.peer) == ("test", "on_datagram", client.sockname)
        assert isinstance(failure.exc, LookupError)


async def test_a_reply_too_long_is_dropped_and_counted() -> None:
    class Long(Recorder):
        def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
            port.send(bytes(70_000), peer)
            port.send(b"short", peer)

    watch = Watch()
    port = await listen(Long(), watch.events)
    async with port, await client_of(port) as client:
        client.send(b"x")
        assert (await client.receive())[0] == b"short"
    assert port.stats == DatagramStats(1, 1, 1, 1, 5)
    assert watch.dropped == 1
    assert watch.seen == [DatagramsDropped(port.endpoint.location, 1, "message too long (1)")]


async def test_a_peer_that_has_gone_does_not_end_the_port() -> None:
    port = await listen(Recorder())
    async with port:
        with socket.socket(type=socket.SOCK_DGRAM) as gone:
            gone.connect(("127.0.0.1", port.endpoint.port))
            gone.send(b"x")
            address = gone.getsockname()
        await spin()
        port.send(b"again", address)
        async with await client_of(port) as client:
            client.send(b"y")
            assert (await client.receive())[0] == b"y"


async def test_closing_in_the_middle_of_a_batch_sends_the_replies() -> None:
    class Once(Recorder):
        def on_datagram(self, port: Port, data: bytes, peer: Address) -> None:
            super().on_datagram(port, data, peer)
            port.close()
            port.send(b"too late", peer)

    handler = Once()
    port = await listen(handler)
    async with await client_of(port) as client:
        client.send(b"1")
        client.send(b"2")
        assert (await client.receive())[0] == b"1"
    assert handler.calls == ["bind", "datagram", "close"]
    assert port.stats == DatagramStats(1, 1, 1, 1, 1)


async def test_callbacks_of_life_that_raise_are_reported() -> None:
    class Bad(Recorder):
        def on_drain(self, port: Port) -> None:
            raise ValueError("drain")

        def on_close(self, port: Port) -> None:
            raise ValueError("close")

    watch = Watch()
    port = await listen(Bad(), watch.events)
    port.drain()
    await port.wait_closed()
    assert [failure.where for failure in watch.failures] == ["on_drain", "on_close"]


@pytest.mark.parametrize(
    ("data", "peer", "error"),
    [
        (b"x", None, ValueError),
        (b"x", ("localhost", 9), ValueError),
        (b"x", ("::1", 9), ValueError),
        (b"x", ("127.0.0.1", 0), ValueError),
        (b"x", ("127.0.0.1", 65536), ValueError),
        (b"x", "/run/sock", ValueError),
        ("text", ("127.0.0.1", 9), TypeError),
        (5, ("127.0.0.1", 9), TypeError),
    ],
)
async def test_send_refuses_what_is_our_own_mistake(data: Any, peer: Any, error: type[Exception]) -> None:
    async with await listen(Recorder()) as port:
        with pytest.raises(error):
            port.send(data, peer)
        assert port.stats.datagrams_sent == 0


async def test_what_waits_is_a_copy() -> None:
    async with await listen(Recorder()) as port, await client_of(port) as client:
        buffer = bytearray(b"first")
        port.send(buffer, client.sockname)  # type: ignore[arg-type]
        buffer[:] = b"other"
        assert (await client.receive())[0] == b"first"


# -- the outbox -------------------------------------------------------------------------------------------------------


async def test_what_the_system_does_not_take_waits_in_order() -> None:
    watch = Watch()
    port, sock = throttled_port(watch.events)
    async with port, await client_of(port) as client:
        sock.full = True
        for number in range(100):
            port.send(b"%d" % number, client.sockname)
        assert port.stats.datagrams_sent == 0
        sock.full = False
        port.send(b"100", client.sockname)  # behind what waits, though there is room again
        assert [int((await client.receive())[0]) for _ in range(101)] == list(range(101))
    assert port.stats.datagrams_dropped == watch.dropped == 0


@pytest.mark.parametrize(("size", "room"), [(0, MAX_DATAGRAMS), (50_000, MAX_BYTES // 50_000)])
async def test_a_full_outbox_drops_and_counts(size: int, room: int) -> None:
    watch = Watch()
    port, sock = throttled_port(watch.events)
    peer = ("127.0.0.1", 9)
    sock.full = True
    for _ in range(room + 7):
        port.send(bytes(size), peer)
    assert port.stats.datagrams_dropped == 7
    sock.full = False
    port.close()  # what waits leaves as far as the system takes it
    assert port.stats == DatagramStats(0, room, 7, 0, room * size)
    assert watch.dropped == 7


async def test_closing_while_the_system_takes_nothing() -> None:
    watch = Watch()
    port, sock = throttled_port(watch.events)
    sock.full = True
    for _ in range(3):
        port.send(b"x", ("127.0.0.1", 9))
    await port.aclose()
    port.send(b"x", ("127.0.0.1", 9))
    assert port.stats.datagrams_dropped == 4
    assert watch.dropped == 3


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


async def test_a_full_inbox_drops_the_newest_and_counts() -> None:
    watch, handler = Watch(), Slow()
    port = await listen(handler, watch.events)
    total = MAX_DATAGRAMS + 1 + 20
    async with await client_of(port) as client:
        for number in range(total):
            client.send(b"%d" % number)
            if number % BATCH == 0:
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
