"""UDP ports on real loopback sockets: callbacks, sending, what is dropped and counted, and that nothing ends a port."""

import asyncio
import socket
from typing import Any

import pytest

from aionet.core.datagram import open_datagram_port
from aionet.core.datagram_calls import SLOTS
from aionet.core.datagram_queue import MAX_BYTES, MAX_DATAGRAMS
from aionet.endpoint import Endpoint
from aionet.events import Address, DatagramsDropped, DatagramStats, Events

from .udp_tools import Port, Recorder, Watch, client_of, listen, spin, throttled_port

pytestmark = pytest.mark.usefixtures("no_leaks", "calls")


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
        for number in range(SLOTS + 6):
            client.send(b"%d" % number)
        for number in range(SLOTS + 6):
            assert (await client.receive())[0] == b"%d" % number
    assert set(sent_while_handling[: SLOTS - 1]) == {0}
    assert sent_while_handling[SLOTS] == SLOTS


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
    assert port.stats == DatagramStats(2, 1, 2, 2, 1)  # the second was read, and not served


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
