"""The life of a server: all routes or none, the order of leaving, and that it always ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aionet import (
    CloseReason,
    Connection,
    DatagramHandler,
    Endpoint,
    LineCodec,
    Router,
    Server,
    ServerState,
    StreamHandler,
    Timeouts,
)
from aionet.core import listener as listener_module
from aionet.core.listener import StreamListener
from aionet.core.sockets import bind_stream
from aionet.errors import BindError, ConfigError, ServerStateError, TLSConfigError
from aionet.events import ConnectionClosed, DrainFinished, HandlerFailed, ListenerStarted, ServerStateChanged
from aionet.server import TRANSITIONS

from .serving import Recorder, collect, descriptors, eventually, open_raw, quiet, serving

GREETING = b"hello\n"


def router_of(*endpoints: str, handler: Any = None) -> Router:
    router = Router()
    for endpoint in endpoints:
        datagrams = endpoint.startswith("udp")
        router.add(endpoint, DatagramHandler() if datagrams else handler or Recorder())
    return router


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def bindable(endpoint: Endpoint) -> bool:
    """Whether the system would give this place to somebody else."""
    kind = socket.SOCK_DGRAM if endpoint.is_datagram else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        if not endpoint.is_datagram:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((endpoint.host, endpoint.port))
            if not endpoint.is_datagram:
                sock.listen()
        except OSError as exc:
            return exc.errno != errno.EADDRINUSE
    return True


# ---- starting ------------------------------------------------------------------------------------


async def test_addresses_are_real_ports_in_the_order_of_the_routes(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    server = Server(router_of("tcp://127.0.0.1:0", f"unix://{path}", "udp://127.0.0.1:0", "tcp://[::1]:0"))
    started = collect(server, ListenerStarted)
    assert not server.addresses
    async with server:
        places = server.addresses
        assert [place.scheme for place in places] == ["tcp", "unix", "udp", "tcp"]
        assert all(place.port for place in places if place.scheme != "unix")
        assert places[3].host == "::1"
        assert [event.endpoint for event in started] == [place.location for place in places]
        assert [event.route for event in started] == ["recorder", "recorder-2", "datagramhandler", "recorder-3"]
        assert server.state is ServerState.SERVING
        assert server.connections == 0
        assert path.exists()
    assert not path.exists()
    assert all(bindable(place) for place in places if place.host == "127.0.0.1")


async def test_one_endpoint_taken_and_nothing_stays_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        endpoints = [f"tcp://127.0.0.1:{free_port()}", f"udp://127.0.0.1:{free_port()}", f"unix://{path}"]
        server = Server(router_of(*endpoints, f"tcp://127.0.0.1:{busy}"))
        with pytest.raises(BindError, match=f"cannot listen on tcp://127.0.0.1:{busy}: address already in use") as e:
            await server.start()
        assert e.value.errno == errno.EADDRINUSE
        assert e.value.hint is not None
        assert "shows who has it" in e.value.hint
    assert server.state is ServerState.CLOSED
    assert all(bindable(Endpoint.parse(endpoint)) for endpoint in endpoints[:2])
    assert not path.exists()
    assert descriptors() == before
    await server.wait_closed()


async def test_a_datagram_handler_that_runs_already_is_ended_when_the_start_fails() -> None:
    ended = asyncio.Event()

    async def stubborn(port: Any) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        router = Router()
        router.add(f"udp://127.0.0.1:{free_port()}", stubborn)
        router.add(f"tcp://127.0.0.1:{taken.getsockname()[1]}", Recorder())
        server = Server(router)
        with pytest.raises(BindError):
            await server.start()
        assert bindable(router.routes[0].endpoint)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("fails", ["no certificate", "codec"])
async def test_a_configuration_that_cannot_be_leaves_nothing_bound(fails: str) -> None:
    router = router_of(f"tcp://127.0.0.1:{free_port()}")
    if fails == "codec":
        router.add("tcp://127.0.0.1:0", Recorder(), codec=lambda: "nonsense")  # type: ignore[arg-type]
    else:
        router.add("tls://127.0.0.1:0", Recorder())
    with pytest.raises(ConfigError, match="which is no Codec" if fails == "codec" else "TLS needs a certificate") as e:
        await Server(router).start()
    assert isinstance(e.value, TLSConfigError) == (fails != "codec")
    assert bindable(router.routes[0].endpoint)


async def test_a_router_without_routes() -> None:
    server = Server(Router())
    with pytest.raises(ConfigError, match="the router has no routes"):
        await server.start()
    assert server.state is ServerState.CLOSED


async def _cancelled_after(steps: int, main: Callable[[], Awaitable[object]]) -> bool:
    """Run ``main`` for so many steps of the loop, then cancel it; whether it was still running."""
    task = asyncio.ensure_future(main())
    for _ in range(steps):
        await asyncio.sleep(0)
    running = not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return running


async def test_cancelled_anywhere_in_its_start_nothing_stays_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    places = [f"tcp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}"]
    places += [f"unix://{path}", f"udp://127.0.0.1:{free_port()}"]
    with quiet():
        for steps in range(1, 100):
            before = descriptors()
            server = Server(router_of(*places))
            if not await _cancelled_after(steps, server.start):
                await server.abort()
                break
            assert server.state is ServerState.CLOSED
            for _ in range(3):  # what a loop closes, it closes a step later
                await asyncio.sleep(0)
            assert all(bindable(place) for place in map(Endpoint.parse, places) if place.scheme != "unix"), steps
            assert not path.exists()
            assert descriptors() == before, steps
        else:
            pytest.fail("the start never came to its end")


async def test_who_came_in_before_the_start_failed_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Recorder()
    clients: list[socket.socket] = []
    router = router_of("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", handler=handler)
    server = Server(router)
    start = StreamListener.start

    async def fail_second(self: StreamListener) -> None:
        if not clients:
            await start(self)
            clients.append(await open_raw(server.addresses[0]))
            await eventually(lambda: handler.connections)
        else:
            raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(StreamListener, "start", fail_second)
    with quiet(), pytest.raises(OSError, match="no memory"):
        await server.start()
    assert server.connections == 0
    assert handler.closed == [CloseReason.SHUTDOWN]
    clients[0].close()


# ---- the table of its life -----------------------------------------------------------------------


async def _in_state(state: ServerState, stack: contextlib.AsyncExitStack) -> Server:
    """A server brought to this state. (The two that pass by themselves are held where a handler or a start waits.)"""
    gate = asyncio.Event()

    async def held(conn: Connection[bytes]) -> None:
        await gate.wait()

    server = Server(router_of("tcp://127.0.0.1:0", handler=held))
    if state is ServerState.NEW:
        return server
    await server.start()
    stack.push_async_callback(server.wait_closed)
    if state is ServerState.SERVING:
        stack.push_async_callback(server.abort)
    if state is ServerState.DRAINING:
        client = await open_raw(server.addresses[0])
        await eventually(lambda: server.connections)
        task = asyncio.ensure_future(server.drain())
        stack.push_async_callback(lambda: task)
        stack.callback(client.close)
        stack.callback(gate.set)
        await asyncio.sleep(0)
    if state is ServerState.CLOSED:
        await server.drain()
    assert server.state is state
    return server


ALLOWED = {
    "start": {ServerState.NEW},
    "drain": {ServerState.SERVING},
    "abort": {ServerState.NEW, ServerState.SERVING, ServerState.DRAINING, ServerState.CLOSED},
    "wait_closed": {ServerState.NEW, ServerState.CLOSED},
}


@pytest.mark.parametrize("state", [state for state in ServerState if state is not ServerState.STARTING])
@pytest.mark.parametrize("operation", ["start", "drain", "abort"])
async def test_what_each_state_allows(state: ServerState, operation: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = await _in_state(state, stack)
        if state in ALLOWED[operation]:
            await getattr(server, operation)()
            assert server.state is (ServerState.SERVING if operation == "start" else ServerState.CLOSED)
            await server.abort()
            assert server.state is ServerState.CLOSED
        else:
            with pytest.raises(ServerStateError, match=f"a server that is {state.value} cannot become ") as caught:
                await getattr(server, operation)()
            assert server.state is state
            assert (caught.value.hint == "make a new Server") == (state is ServerState.CLOSED)


async def test_aborted_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(router_of(f"tcp://127.0.0.1:{free_port()}"))
    begun, gate = asyncio.Event(), asyncio.Event()
    bind = bind_stream

    async def slow(endpoint: Endpoint, *, backlog: int) -> list[socket.socket]:
        begun.set()
        await gate.wait()
        return await bind(endpoint, backlog=backlog)

    monkeypatch.setattr(listener_module, "bind_stream", slow)
    starting = asyncio.ensure_future(server.start())
    await begun.wait()
    with pytest.raises(ServerStateError, match="a server that is starting cannot"):
        await server.drain()
    aborting = asyncio.ensure_future(server.abort())
    await asyncio.sleep(0)
    gate.set()
    await aborting
    assert server.state is ServerState.CLOSED
    with pytest.raises(ServerStateError, match="aborted while it was starting"):
        await starting
    assert bindable(server.router.routes[0].endpoint)


async def test_every_change_of_state_is_an_event() -> None:
    server = Server(router_of("tcp://127.0.0.1:0"))
    changes = collect(server, ServerStateChanged)
    async with server:
        pass
    assert [(event.old, event.new) for event in changes] == [
        ("new", "starting"),
        ("starting", "serving"),
        ("serving", "draining"),
        ("draining", "closed"),
    ]
    for event in changes:
        assert ServerState(event.new) in TRANSITIONS[ServerState(event.old)]


async def test_wait_closed_of_one_that_never_started() -> None:
    server = Server(router_of("tcp://127.0.0.1:0"))
    await server.wait_closed()
    await server.abort()
    assert server.state is ServerState.CLOSED


@pytest.mark.parametrize("value", [-1, float("nan")])
def test_a_drain_deadline_is_a_number_of_seconds(value: float) -> None:
    with pytest.raises(ConfigError, match="drain_timeout must be a number of seconds"):
        Server(Router(), drain_timeout=value)


# ---- async with ----------------------------------------------------------------------------------


async def test_an_exception_inside_drains_and_passes_through() -> None:
    handler = Recorder()
    clients: list[socket.socket] = []
    server = Server(router_of("tcp://127.0.0.1:0", handler=handler))

    async def main() -> None:
        async with server:
            clients.append(await open_raw(server.addresses[0]))
            await eventually(lambda: handler.connections)
            raise ZeroDivisionError

    with quiet(), pytest.raises(ZeroDivisionError):
        await main()
    assert server.state is ServerState.CLOSED
    assert handler.closed == [CloseReason.SHUTDOWN]
    clients[0].close()


async def test_cancelled_inside_it_drains_and_cancelled_again_it_aborts() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def held(conn: Connection[bytes]) -> None:
        entered.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    server = Server(router_of("tcp://127.0.0.1:0", handler=held), drain_timeout=3600)

    async def main() -> None:
        async with server:
            await asyncio.sleep(3600)

    with quiet():
        task = asyncio.ensure_future(main())
        await eventually(lambda: server.state is ServerState.SERVING)
        client = await open_raw(server.addresses[0])
        await entered.wait()
        task.cancel()
        await eventually(lambda: server.state is ServerState.DRAINING)
        await asyncio.sleep(0.01)
        assert not cancelled.is_set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cancelled.is_set()
    assert server.state is ServerState.CLOSED
    assert server.connections == 0
    client.close()


async def test_leaving_the_block_after_a_drain_or_abort_waits_for_it() -> None:
    async with Server(router_of("tcp://127.0.0.1:0")) as server:
        await server.drain()
    async with Server(router_of("tcp://127.0.0.1:0")) as server:
        task = asyncio.ensure_future(server.abort())
        await asyncio.sleep(0)
    await task
    assert server.state is ServerState.CLOSED


# ---- draining ------------------------------------------------------------------------------------


async def test_idle_connections_of_callbacks_close_at_once() -> None:
    handler = Recorder()
    async with serving(handler, drain_timeout=3600) as (server, place):
        peers = [await asyncio.open_connection(place.host, place.port) for _ in range(3)]
        await eventually(lambda: len(handler.connections) == 3)
        finished = await server.drain()
        assert finished.cut == ()
        assert handler.closed == [CloseReason.SHUTDOWN] * 3
        for reader, writer in peers:
            assert await reader.read() == b""
            writer.close()


class Goodbye(StreamHandler[bytes]):
    codec = LineCodec()

    def on_drain(self, conn: Connection[bytes]) -> None:
        conn.write(b"goodbye")
        conn.close()


async def test_on_drain_may_say_goodbye() -> None:
    async with serving(Goodbye()) as (server, place):
        reader, writer = await asyncio.open_connection(place.host, place.port)
        await eventually(lambda: server.connections)
        await server.drain()
        assert await reader.read() == b"goodbye\n"
        writer.close()


async def test_a_reply_in_the_making_is_finished() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(conn: Connection[bytes]) -> None:
        async for question in conn:
            asked.set()
            await answer.wait()
            await conn.send(b"answer to " + question)
        await conn.send(b"goodbye")

    async with serving(slow, route={"codec": LineCodec()}, drain_timeout=3600) as (server, place):
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(b"one\ntwo\n")
        await asked.wait()
        drain = asyncio.ensure_future(server.drain())
        await eventually(lambda: server.state is ServerState.DRAINING)
        assert not drain.done()
        answer.set()
        assert await reader.read() == b"answer to one\nanswer to two\ngoodbye\n"
        writer.close()
        assert (await drain).cut == ()


async def test_nobody_new_comes_in_while_it_drains() -> None:
    gate = asyncio.Event()

    async def held(conn: Connection[bytes]) -> None:
        await gate.wait()

    async with serving(held) as (server, place):
        with await open_raw(place) as client:
            await eventually(lambda: server.connections)
            drain = asyncio.ensure_future(server.drain())
            await eventually(lambda: server.state is ServerState.DRAINING)
            await asyncio.sleep(0)  # uvloop closes its listening socket a step later
            with pytest.raises(ConnectionRefusedError):
                await open_raw(place)
            gate.set()
            client.close()
            await drain


class Stubborn(Recorder):
    def on_drain(self, conn: Connection[bytes]) -> None:
        pass


async def ignores_the_end(conn: Connection[bytes]) -> None:
    await asyncio.Event().wait()


async def swallows_cancellation(conn: Connection[bytes]) -> None:
    event = asyncio.Event()
    STUBBORN.append(event)
    while not event.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await event.wait()


STUBBORN: list[asyncio.Event] = []


@pytest.mark.parametrize("handler", [Stubborn(), ignores_the_end], ids=["callbacks", "coroutine"])
async def test_who_does_not_leave_is_cut_at_the_deadline_and_named(handler: object) -> None:
    async with serving(handler) as (server, place):
        finished, closed = collect(server, DrainFinished), collect(server, ConnectionClosed)
        with await open_raw(place) as client:
            await eventually(lambda: server.connections)
            result = await server.drain(0.02)
            assert result.cut == (client.getsockname(),)
            assert finished == [result]
            assert server.connections == 0
            assert [event.reason for event in closed] == [CloseReason.SHUTDOWN]


async def test_a_handler_that_swallows_its_cancellation_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionet.server.LAST_WORDS", 0.05)
    async with serving(swallows_cancellation) as (server, place):
        with await open_raw(place) as client:
            await eventually(lambda: STUBBORN)
            result = await server.drain(0)
            assert result.cut == (client.getsockname(),)
            assert server.state is ServerState.CLOSED
    STUBBORN.pop().set()
    await eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_handler_that_blocks_delays_but_does_not_hang_it() -> None:
    class Blocks(Recorder):
        def on_drain(self, conn: Connection[bytes]) -> None:
            time.sleep(0.05)

    async with serving(Blocks()) as (server, place):
        with await open_raw(place):
            await eventually(lambda: server.connections)
            await server.drain(0.01)
            assert server.state is ServerState.CLOSED


async def test_a_handler_that_fails_while_draining_is_reported_and_gone() -> None:
    class Fails(Recorder):
        def on_drain(self, conn: Connection[bytes]) -> None:
            raise ZeroDivisionError

    handler = Fails()
    async with serving(handler, drain_timeout=3600) as (server, place):
        with await open_raw(place):
            await eventually(lambda: server.connections)
            assert (await server.drain()).cut == ()
            assert len(handler.closed) == 1


@pytest.mark.parametrize("name", ["on_connect", "on_message", "on_drain", "on_close"])
async def test_a_callback_that_raises_cancelled_error_keeps_no_place_and_stops_no_drain(name: str) -> None:
    """It is no ``Exception``; uvloop left such a connection open and unread, and its place was never free again."""

    def fail(*_: Any) -> None:
        raise asyncio.CancelledError

    handler = type("Failing", (StreamHandler,), {"codec": LineCodec(), name: fail})()
    async with serving(handler) as (server, place):
        failures = collect(server, HandlerFailed)
        with await open_raw(place) as client:
            if name != "on_connect":
                await eventually(lambda: server.connections)
                await asyncio.get_running_loop().sock_sendall(client, b"x\n")
            if name == "on_drain":
                assert not (await server.drain(5)).cut
            elif name == "on_close":
                client.shutdown(socket.SHUT_WR)
            await eventually(lambda: failures and not server.connections)
            assert [failure.where for failure in failures] == [name]


async def test_abort_ends_a_drain() -> None:
    async with serving(ignores_the_end) as (server, place):
        with await open_raw(place) as client:
            await eventually(lambda: server.connections)
            drain = asyncio.ensure_future(server.drain(3600))
            await eventually(lambda: server.state is ServerState.DRAINING)
            await asyncio.gather(server.abort(), server.abort())
            assert (await drain).cut == (client.getsockname(),)
            assert server.state is ServerState.CLOSED


async def test_a_drain_that_is_cancelled_aborts() -> None:
    async with serving(ignores_the_end) as (server, place):
        with await open_raw(place):
            await eventually(lambda: server.connections)
            drain = asyncio.ensure_future(server.drain(3600))
            await eventually(lambda: server.state is ServerState.DRAINING)
            drain.cancel()
            with pytest.raises(asyncio.CancelledError):
                await drain
            assert server.state is ServerState.CLOSED
            assert server.connections == 0


async def test_a_peer_that_does_not_read_our_last_words_is_cut() -> None:
    class Talkative(Recorder):
        def on_connect(self, conn: Connection[bytes]) -> None:
            super().on_connect(conn)
            conn.write_encoded(bytes(8 << 20))

    handler = Talkative()
    async with serving(handler, timeouts=Timeouts(send=3600)) as (server, place):
        with await open_raw(place) as client:
            await eventually(lambda: server.connections)
            assert (await server.drain(0.05)).cut == (client.getsockname(),)
            assert handler.closed == [CloseReason.SHUTDOWN]


async def test_datagram_routes_leave_with_the_rest() -> None:
    calls: list[str] = []

    class Port(DatagramHandler):
        def on_drain(self, port: Any) -> None:
            calls.append("drain")

        def on_close(self, port: Any) -> None:
            calls.append("close")

    async with serving(Port(), "udp://127.0.0.1:0") as (server, place):
        await server.drain()
        assert calls == ["drain", "close"]
        assert bindable(place)
