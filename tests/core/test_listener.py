"""Accepting: who comes in, who waits, who is refused, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import resource
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from aionet import CloseReason, Connection, Endpoint, Limits, LineCodec, Router, Server, Timeouts
from aionet.core import admission, listener
from aionet.core.admission import TOO_MANY
from aionet.core.loop import shared
from aionet.errors import TLSConfigError
from aionet.events import AcceptResumed, AcceptSuspended, ConnectionRefused

from ..conftest import TLSFiles
from ..serving import Recorder, collect, descriptors, eventually, open_raw, program, quiet, reset, serving


class Peer:
    """A client that says a line and hears the answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, place: Endpoint) -> Peer:
        if place.scheme == "unix":
            return cls(*await asyncio.open_unix_connection(place.path))
        return cls(*await asyncio.open_connection(place.host, place.port))

    async def ask(self, line: bytes) -> bytes:
        self.writer.write(line + b"\n")
        return (await self.reader.readline()).strip()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


# ---- the limit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["server", "route", "handler"])
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
async def test_at_the_limit_the_next_one_waits_and_is_served_when_one_leaves(
    whose: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "REPORT_EVERY", 0.1)
    handler = Recorder()
    limits = Limits(max_connections=2)
    if whose == "handler":
        handler.limits = limits
    endpoint = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path}/a.sock"
    options: dict[str, Any] = {"limits": limits} if whose == "server" else {}
    if whose == "route":
        options["route"] = {"limits": limits}
    async with serving(handler, endpoint, **options) as (server, place):
        suspended, resumed = collect(server, AcceptSuspended), collect(server, AcceptResumed)
        first, second = await Peer.connect(place), await Peer.connect(place)
        assert await first.ask(b"one") == b"ONE"
        assert await second.ask(b"two") == b"TWO"
        third = await Peer.connect(place)  # the kernel's queue takes it
        answer = asyncio.ensure_future(third.ask(b"three"))
        assert await first.ask(b"still") == b"STILL"
        assert (server.connections, len(handler.connections), answer.done()) == (2, 2, False)
        assert [(event.connections, event.limit) for event in suspended] == [(2, 2)]
        await second.close()
        assert await answer == b"THREE"
        assert not resumed
        await first.close()
        await third.close()
        await eventually(lambda: not server.connections)
        fourth = await Peer.connect(place)
        assert await fourth.ask(b"four") == b"FOUR"
        await fourth.close()
        await eventually(lambda: resumed)
        assert len(suspended) == 1


async def test_routes_share_the_servers_limit_and_keep_to_their_own() -> None:
    handlers = [Recorder(), Recorder()]
    router = Router()
    router.add("tcp://127.0.0.1:0", handlers[0], limits=Limits(max_connections=2))
    router.add("tcp://127.0.0.1:0", handlers[1])
    with quiet():
        async with Server(router, limits=Limits(max_connections=3)) as server:
            peers = [await Peer.connect(server.addresses[0]) for _ in range(4)]
            await eventually(lambda: len(handlers[0].connections) == 2)
            others = [await Peer.connect(server.addresses[1]) for _ in range(2)]
            assert await others[0].ask(b"a") == b"A"
            answer = asyncio.ensure_future(others[1].ask(b"b"))
            for peer in peers:  # two of the first route wait too, and whoever waited first is first
                assert len(handlers[0].connections) <= 2
                await peer.close()
            assert await answer == b"B"
            for peer in others:
                await peer.close()
            await eventually(lambda: not server.connections)
            assert len(handlers[0].closed) == 4


async def test_a_burst_waits_in_order_and_all_are_served() -> None:
    handler = Recorder()
    async with serving(handler, limits=Limits(max_connections=3)) as (server, place):
        seen: list[int] = []

        async def visit(number: int) -> None:
            peer = await Peer.connect(place)
            assert await peer.ask(b"%d" % number) == b"%d" % number
            seen.append(server.connections)
            await peer.close()

        await asyncio.gather(*(visit(number) for number in range(60)))
        assert max(seen) <= 3
        await eventually(lambda: len(handler.closed) == 60)


@pytest.mark.asyncio(loop_factories=["asyncio"])  # uvloop leaves them in the kernel's queue, where nobody sees them
async def test_who_waits_too_long_is_let_go_unseen() -> None:
    shared(asyncio.get_running_loop()).reactor = None  # ours accepts nobody who would have to wait here
    handler = Recorder()
    options: dict[str, Any] = {"limits": Limits(max_connections=1), "timeouts": Timeouts(first_message=0.1)}
    async with serving(handler, **options) as (_, place):
        sockets = [socket.create_connection((place.host, place.port)) for _ in range(4)]  # accepted together
        await eventually(lambda: handler.connections)
        busy = handler.connections[0]
        peers = [Peer(*await asyncio.open_connection(sock=sock)) for sock in sockets]
        (inside,) = (peer for peer in peers if peer.writer.get_extra_info("sockname") == busy.peername)
        assert await inside.ask(b"first") == b"FIRST"
        for peer in peers:
            if peer is not inside:
                with contextlib.suppress(ConnectionResetError):
                    assert await peer.reader.read() == b""
        assert await inside.ask(b"still") == b"STILL"
        assert (len(handler.connections), handler.closed) == (1, [])
        for peer in peers:
            await peer.close()


async def test_who_waited_too_long_is_not_let_in_any_more() -> None:
    handler = Recorder()
    options: dict[str, Any] = {"limits": Limits(max_connections=1), "timeouts": Timeouts(first_message=0.1)}
    async with serving(handler, **options) as (_, place):
        peers = await asyncio.gather(*(Peer.connect(place) for _ in range(4)))  # all of them say nothing
        await asyncio.gather(*(peer.reader.read() for peer in peers), return_exceptions=True)
        assert set(handler.closed) <= {CloseReason.MESSAGE_TIMEOUT}
        for peer in peers:
            await peer.close()


async def test_a_waiting_peer_that_has_left_is_let_in_and_out() -> None:
    handler = Recorder()
    async with serving(handler, limits=Limits(max_connections=1)) as (server, place):
        peers = await asyncio.gather(*(Peer.connect(place) for _ in range(4)))
        await eventually(lambda: handler.connections)
        for peer in peers:
            reset(peer.writer)
        await eventually(lambda: not server.connections)
        last = await Peer.connect(place)
        assert await last.ask(b"here") == b"HERE"
        await last.close()


async def test_draining_lets_go_of_those_who_wait() -> None:
    handler = Recorder()
    async with serving(handler, limits=Limits(max_connections=1), drain_timeout=3600) as (server, place):
        peers = await asyncio.gather(*(Peer.connect(place) for _ in range(4)))
        await eventually(lambda: handler.connections)
        assert (await server.drain()).cut == ()
        for peer in peers:
            with contextlib.suppress(ConnectionResetError):
                assert await peer.reader.read() == b""
            await peer.close()
        assert handler.closed == [CloseReason.SHUTDOWN]


async def test_reports_of_a_full_house_do_not_grow_with_the_visitors() -> None:
    handler = Recorder()
    async with serving(handler, limits=Limits(max_connections=2)) as (server, place):
        reports = collect(server, AcceptSuspended, AcceptResumed)

        async def visit() -> None:
            peer = await Peer.connect(place)
            assert await peer.ask(b"a") == b"A"
            await peer.close()

        for _ in range(30):
            await asyncio.gather(*(visit() for _ in range(6)))
        assert len(handler.closed) >= 178
        assert [type(report) for report in reports] == [AcceptSuspended]


# ---- one address ---------------------------------------------------------------------------------


async def test_one_address_has_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_LOOPBACK", ("none",))
    handler = Recorder()
    async with serving(handler, limits=Limits(max_connections_per_address=2)) as (server, place):
        refused = collect(server, ConnectionRefused)
        inside = [await Peer.connect(place) for _ in range(2)]
        for peer in inside:
            assert await peer.ask(b"in") == b"IN"
        for _ in range(20):
            with await open_raw(place) as sock, contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        (report,) = refused
        assert report.why == TOO_MANY
        assert report.endpoint == place.location
        assert isinstance(report.peer, tuple)
        assert len(handler.connections) == 2
        await inside.pop().close()
        await eventually(lambda: server.connections == 1)
        again = await Peer.connect(place)
        assert await again.ask(b"again") == b"AGAIN"
        await server.drain()
        assert sum(event.count for event in refused) == 20
        for peer in (*inside, again):
            await peer.close()


async def test_those_who_waited_count_for_their_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_LOOPBACK", ("127.0.0.2",))
    handler = Recorder()
    limits = Limits(max_connections=2, max_connections_per_address=1)
    async with serving(handler, "tcp://0.0.0.0:0", limits=limits) as (server, place):
        first, second = (socket.socket() for _ in range(2))
        for sock in (first, second):
            sock.bind(("127.0.0.2", 0))
            sock.connect(("127.0.0.1", place.port))
        await eventually(lambda: len(handler.connections) == 2)
        crowd = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(5)]
        first.close()
        second.close()
        await eventually(lambda: len(handler.closed) >= 2 and server.connections)
        await asyncio.sleep(0.05)
        assert len(handler.connections) == 1
        for sock in crowd:
            sock.close()


# ---- descriptors ---------------------------------------------------------------------------------

CROWDED = """
    import asyncio, json, resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    from aionet import LineCodec, Router, Server, StreamHandler
    from aionet.core.loop import run

    class Shout(StreamHandler):
        codec = LineCodec()
        def on_message(self, conn, message):
            conn.write(message.upper())

    async def main():
        failures, events = [], []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: failures.append(str(context)[:200]))
        router = Router()
        for _ in range(int(sys.argv[2])):
            router.add("tcp://127.0.0.1:0", Shout())
        async with Server(router, drain_timeout=0) as server:
            server.events.subscribe(lambda event: events.append(type(event).__name__))
            print(json.dumps([place.port for place in server.addresses]), flush=True)
            await loop.run_in_executor(None, sys.stdin.readline)
            print(json.dumps([server.connections, len(failures), failures[:3],
                              {name: events.count(name) for name in events if name.startswith(("Accept", "Handler"))}]))

    run(main(), loop=sys.argv[1])
"""


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("routes", [1, 5])
async def test_out_of_descriptors_nobody_is_hurt_and_all_are_served(loop: str, routes: int) -> None:
    process = await program(CROWDED, loop, str(routes))
    assert process.stdout is not None
    ports = json.loads(await process.stdout.readline())
    places = [Endpoint("tcp", "127.0.0.1", port) for port in ports]
    friends = [await Peer.connect(places[0]) for _ in range(20)]
    for friend in friends:
        assert await friend.ask(b"friend") == b"FRIEND"
    served = 0
    for _ in range(2):
        async with asyncio.timeout(30):
            crowd = [socket.socket() for _ in range(600)]
            for number, sock in enumerate(crowd):
                sock.setblocking(False)  # not all of them find room in the kernel's queue: nobody waits for them
                sock.connect_ex(("127.0.0.1", places[number % routes].port))
            await asyncio.sleep(0.05)
            for friend in friends:  # unaffected, though nobody else gets in
                assert await friend.ask(b"still") == b"STILL"
            for sock in crowd:
                reset(sock)
            late = await Peer.connect(places[-1])
            assert await late.ask(b"late") == b"LATE"
            await late.close()
            served += 1
    for friend in friends:
        assert await friend.ask(b"still here") == b"STILL HERE"
    out, err = await process.communicate(b"\n")
    connections, failures, examples, counts = json.loads(out)
    assert (failures, examples) == (0, [])
    assert connections <= 22
    assert set(counts) <= {"AcceptSuspended", "AcceptResumed"}
    assert counts.get("AcceptSuspended", 0) <= 3 * routes
    assert process.returncode == 0
    # What asyncio had accepted in the very turn in which the loop closed is collected with it, and warned of.
    err = re.sub(rb"Exception ignored in: .*?\nResourceWarning: [^\n]*\n", b"", err, flags=re.DOTALL)
    assert b"Traceback" not in err
    assert err.count(b"\n") <= 8 * routes
    for friend in friends:
        await friend.close()


def test_the_budget_keeps_clear_of_the_descriptor_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_descriptors_in_use", lambda: 20)
    for soft in (64, 256, 1024, 20_000, 1 << 20):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, soft=soft: (soft, soft))
        for listeners in (1, 2, 7, 100):
            budget = admission.descriptor_budget(Limits(), listeners)
            assert 1 <= budget.connections <= 10_000
            assert 1 <= budget.backlog <= 4096
            if budget.backlog > 1:
                assert budget.connections + listeners * (budget.backlog + 1) < soft - 20
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (-1, -1))
    assert admission.descriptor_budget(Limits(), 3) == admission.DescriptorBudget(10_000, 4096)


async def test_after_two_thousand_visits_nothing_is_left(tls_files: TLSFiles) -> None:
    handler, other = Recorder(), Recorder()
    router = Router()
    router.add("tcp://127.0.0.1:0", handler)
    router.add(f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}", other)
    with quiet():
        async with Server(router, timeouts=Timeouts(handshake=0.2)) as server:
            plain, tls = server.addresses
            context = ssl.create_default_context(cafile=str(tls_files.ca))

            async def visit(number: int) -> None:
                kind = number % 8
                if number % 24 == 0:
                    with contextlib.suppress(OSError):
                        reader, writer = await asyncio.open_connection(
                            tls.host, tls.port, ssl=ssl.create_default_context() if number % 48 else context
                        )
                        writer.write(b"hello\n")
                        await reader.readline()
                        writer.close()
                    return
                sock = await open_raw(tls if kind == 1 else plain)
                if kind < 5:
                    sock.send([b"", b"garbage", b"half", b"line\n", b"line\nhalf"][kind])
                (reset if kind % 2 else socket.socket.close)(sock)

            await asyncio.gather(*(visit(number) for number in range(64)))
            await eventually(lambda: not server.connections)
            await asyncio.sleep(0.3)
            before, tasks = descriptors(), len(asyncio.all_tasks())
            for start in range(0, 1936, 88):
                await asyncio.gather(*(visit(start + number) for number in range(88)))
            await eventually(lambda: not server.connections and not handler.connections and not other.connections)
            await eventually(lambda: len(asyncio.all_tasks()) == tasks)
            await eventually(lambda: descriptors() <= before)


# ---- options and deadlines -----------------------------------------------------------------------


@pytest.mark.parametrize("nodelay", [True, False])
async def test_options_of_the_endpoint_are_in_force_on_accepted_sockets(nodelay: bool) -> None:
    handler = Recorder()
    query = f"nodelay={int(nodelay)}&keepalive_idle=7&keepalive_interval=3&keepalive_count=2&rcvbuf=30000&sndbuf=40000"
    async with serving(handler, f"tcp://127.0.0.1:0?{query}&user_timeout=1234") as (_, place):
        assert place.options["rcvbuf"] == 30000
        with await open_raw(place):
            await eventually(lambda: handler.connections)
            sock = socket.socket(fileno=handler.connections[0].fileno())
            try:
                tcp = socket.IPPROTO_TCP
                assert bool(sock.getsockopt(tcp, socket.TCP_NODELAY)) is nodelay
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 7
                assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 3
                assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == 2
                assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 1234
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 60000
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 80000
            finally:
                sock.detach()


async def test_deadlines_can_all_be_switched_off(tls_files: TLSFiles) -> None:
    off = Timeouts(
        handshake=math.inf, first_message=math.inf, message=math.inf, idle=math.inf, send=math.inf, linger=math.inf
    )
    handler = Recorder()
    async with serving(handler, timeouts=off) as (_, place):
        peer = await Peer.connect(place)
        assert await peer.ask(b"a") == b"A"
        peer.writer.write(bytes(5000))  # a fault: closing lingers
        assert await peer.reader.readline() == b"error: FrameTooLarge\n"
        await peer.close()
        await eventually(lambda: handler.closed == [CloseReason.FRAMING_ERROR])
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(handler, endpoint, timeouts=off) as (_, place):
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        peer = Peer(*await asyncio.open_connection(place.host, place.port, ssl=context))
        assert await peer.ask(b"a") == b"A"
        await peer.close()


async def test_a_start_that_fails_in_the_loop_closes_what_it_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    router = Router()
    router.add("tls://127.0.0.1:0", Recorder(), ssl_context="no context")
    with pytest.raises(TLSConfigError, match=r"'no context' is no ssl.SSLContext"):
        await Server(router).start()
    assert descriptors() == before


async def test_ipv6_and_localhost() -> None:
    handler = Recorder()
    async with serving(handler, "tcp://localhost:0") as (server, _):
        for place in server.addresses:
            peer = await Peer.connect(place)
            assert await peer.ask(b"a") == b"A"
            await peer.close()
    async with serving(handler, "tcp://[::1]:0") as (_, place):
        peer = await Peer.connect(place)
        assert await peer.ask(b"a") == b"A"
        assert handler.connections[0].peername is not None
        await peer.close()


async def test_coroutine_routes_at_the_limit() -> None:
    async def shout(conn: Connection[bytes]) -> None:
        async for line in conn:
            await conn.send(line.upper())

    limits = Limits(max_connections=2)
    async with serving(shout, route={"codec": LineCodec()}, limits=limits) as (server, place):

        async def visit(number: int) -> None:
            peer = await Peer.connect(place)
            assert await peer.ask(b"%d" % number) == b"%d" % number
            await peer.close()

        await asyncio.gather(*(visit(number) for number in range(20)))
        await eventually(lambda: not server.connections)
