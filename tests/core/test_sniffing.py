"""The first of a connection: every step, every deadline, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import ssl
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aionet import CloseReason, Limits, LineCodec, StreamHandler, Timeouts
from aionet.core import admission, tls_transport
from aionet.core.sniffing import PendingConnection
from aionet.events import ConnectionRefused, HandlerFailed
from aionet.matching import ConnectionFacts
from aionet.routing import Matcher, Verdict, alpn, http, peer, prefix, silence, sni, tls, unix_user

from ..conftest import TLSFiles
from ..routing.hellos import real_hello
from ..serving import collect, eventually, open_raw, reset
from .port_tools import Named, ask, on_one_port, opened, route, tls_port, trusting

PORT = "tcp://127.0.0.1:0"


def three() -> list[dict[str, Any]]:
    return [
        route(Named("get"), match=prefix(b"GET ", b"PUT ")),
        route(Named("greeter", b"welcome"), match=silence(0.1)),
        route(Named("rest")),
    ]


# ---- first bytes ---------------------------------------------------------------------------------


async def test_routes_by_first_bytes() -> None:
    async with on_one_port(PORT, *three()) as (server, place):
        assert await ask(place, b"GET x\n") == b"get GET x 127.0.0.1\n"
        assert await ask(place, b"hello\n") == b"rest hello 127.0.0.1\n"
        assert await ask(place) == b"welcome\n"
        assert await ask(place, b"P", b"U", b"T", b" ", b"\n") == b"get PUT  127.0.0.1\n"
        assert await ask(place, b"PUB\n") == b"rest PUB 127.0.0.1\n"
        await eventually(lambda: not server.connections)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 11)), last=st.sampled_from([b"GET ", b"GEX ", b"PUT"]))
def test_any_split_reaches_the_same_route_with_every_byte(cuts: set[int], last: bytes) -> None:
    said = last + b"a line\n"
    places = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    pieces = [said[start:end] for start, end in itertools.pairwise(places)]

    async def once() -> bytes:
        async with on_one_port(PORT, *three()) as (_, place):
            return await ask(place, *pieces)

    name = b"get" if last.endswith(b" ") and last != b"GEX " else b"rest"
    assert asyncio.run(once()) == name + b" " + said[:-1] + b" 127.0.0.1\n"


async def test_more_than_a_matcher_asks_for_is_not_taken_before_the_decision() -> None:
    seen: list[int] = []

    class Waits(Matcher):
        def match(self, data: bytes, facts: Any) -> Verdict:
            seen.append(len(data))
            return Verdict.NEED_MORE

    handler = Named("rest")
    async with on_one_port(PORT, route(Named("never"), match=Waits()), route(handler)) as (_, place):
        said = b"x" * 8000 + b"\n"
        assert (await ask(place, said)).startswith(b"rest xxx")
        assert max(seen) == 64


async def test_a_client_that_has_said_all_is_decided_by_that() -> None:
    class Raw(StreamHandler[bytes]):
        def on_message(self, conn: Any, message: bytes) -> None:
            conn.write(b"raw %s\n" % message)

    async with on_one_port(PORT, *three()[:2], route(Raw())) as (server, place):
        refused = collect(server, ConnectionRefused)
        assert await ask(place, b"GE", eof=True) == b"raw GE\n"
        assert await ask(place, eof=True) == b""  # looked in, and left
        assert not refused
        await eventually(lambda: not server.connections)


async def test_a_client_that_nothing_fits_is_refused() -> None:
    routes = [route(Named("get"), match=prefix(b"GET "))]
    async with on_one_port(PORT, *routes, timeouts=Timeouts(sniff=0.2)) as (server, place):
        refused = collect(server, ConnectionRefused)
        assert await ask(place, b"x" * 64) == b""
        await eventually(lambda: refused)
        assert refused[0].why == "no route matches its first bytes"
        assert refused[0].endpoint == place.location
        assert await ask(place, b"GET") == b""  # half a word, and no more
        assert await ask(place) == b""  # no word
        await eventually(lambda: not server.connections)
    assert sum(event.count for event in refused) == 3


async def test_the_deadline_leads_to_the_default_one_byte_a_moment_or_not() -> None:
    routes = [route(Named("get"), match=prefix(b"GET " + b"x" * 50)), route(Named("rest", b"hello"))]
    async with on_one_port(PORT, *routes, timeouts=Timeouts(sniff=0.3)) as (_, place):
        assert await ask(place) == b"hello\n"
        reader, writer = await opened(place)
        for byte in b"GET ":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert await reader.readline() == b"hello\n"  # each byte does not start it anew
        writer.transport.abort()


async def test_silence_does_not_decide_for_those_who_may_still_speak() -> None:
    slow = [route(Named("greeter", b"welcome"), match=silence(0.05) & peer("192.0.2.0/24")), *three()[::2]]
    async with on_one_port(PORT, *slow) as (_, place):
        reader, writer = await opened(place)
        await asyncio.sleep(0.3)
        writer.write(b"GET late\n")
        assert await reader.readline() == b"get GET late 127.0.0.1\n"
        writer.transport.abort()


async def test_facts_alone_decide_at_once(tmp_path: Path) -> None:
    own, other = unix_user(os.getuid()), unix_user(os.getuid() + 1)
    routes = [
        route(Named("other", b"other"), match=other),
        route(Named("own", b"own"), match=own),
        route(Named("rest")),
    ]
    async with on_one_port(f"unix://{tmp_path}/a.sock", *routes) as (_, place):
        assert await ask(place) == b"own\n"
    routes = [route(Named("near", b"near"), match=peer("127.0.0.0/8")), route(Named("rest"))]
    async with on_one_port(PORT, *routes) as (_, place):
        assert await ask(place) == b"near\n"


async def test_a_reset_while_it_is_looked_at() -> None:
    async with on_one_port(PORT, *three()) as (server, place):
        refused = collect(server, ConnectionRefused)
        for said in (b"", b"G"):
            sock = await open_raw(place)
            sock.send(said)
            await eventually(lambda: server.connections)
            reset(sock)
            await eventually(lambda: not server.connections)
        assert not refused


# ---- TLS and plain on one port -------------------------------------------------------------------


async def test_plain_and_tls_on_one_port(tls_files: TLSFiles) -> None:
    routes = [route(Named("h2"), match=alpn("h2")), route(Named("s"), match=sni("*.example.com"))]
    async with on_one_port(tls_port(tls_files), *routes, *three()) as (server, place):
        assert await ask(place, b"GET x\n") == b"get GET x 127.0.0.1\n"
        assert await ask(place) == b"welcome\n"
        assert await ask(place, b"hello\n") == b"rest hello 127.0.0.1\n"
        inside: dict[str, Any] = {"ssl": trusting(tls_files), "server_hostname": "localhost"}
        assert await ask(place, b"GET x\n", **inside) == b"get GET x 127.0.0.1\n"
        assert await ask(place, b"GE", b"T y\n", **inside) == b"get GET y 127.0.0.1\n"
        assert await ask(place, **inside) == b"welcome\n"
        assert await ask(place, b"hello\n", **inside) == b"rest hello 127.0.0.1\n"
        context = trusting(tls_files, "h2", "other")
        assert await ask(place, b"x\n", ssl=context, server_hostname="localhost") == b"h2 x 127.0.0.1\n"
        context = trusting(tls_files, "unknown")
        context.check_hostname = False
        assert await ask(place, b"x\n", ssl=context, server_hostname="a.example.com") == b"s x 127.0.0.1\n"
        await eventually(lambda: not server.connections)


async def test_a_tls_handshake_in_pieces_of_one_byte(tls_files: TLSFiles) -> None:
    handler = Named("rest", b"welcome")
    async with on_one_port(tls_port(tls_files), route(handler)) as (_, place):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls_client = trusting(tls_files).wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await opened(place)
        for _ in range(2):
            with contextlib.suppress(ssl.SSLWantReadError):
                tls_client.do_handshake()
            for byte in outgoing.read():
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            incoming.write(await reader.read(65536))
        while True:
            try:
                assert tls_client.read(100) == b"welcome\n"
                break
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65536))
        writer.transport.abort()


async def test_without_a_certificate_tls_is_bytes_like_any(tls_files: TLSFiles) -> None:
    chunks: list[bytes] = []

    class Passes(StreamHandler[bytes]):
        def on_message(self, conn: Any, message: bytes) -> None:
            chunks.append(message)

    routes = [route(Passes(), match=tls()), route(Named("rest"))]
    hello = real_hello("localhost")
    for endpoint in ("auto://127.0.0.1:0", PORT):
        async with on_one_port(endpoint, *[dict(each) for each in routes]) as (_, place):
            assert await ask(place, b"hello\n") == b"rest hello 127.0.0.1\n"
            _, writer = await opened(place)
            writer.write(hello)
            await eventually(lambda: b"".join(chunks) == hello)
            writer.transport.abort()
            chunks.clear()


@pytest.mark.parametrize("scheme", ["tls", "auto"])
async def test_half_a_hello(tls_files: TLSFiles, scheme: str) -> None:
    hello = real_hello("localhost")
    deadline = Timeouts(handshake=0.2, sniff=0.2)
    endpoint = tls_port(tls_files, scheme)
    async with on_one_port(endpoint, route(Named("rest")), timeouts=deadline) as (server, place):
        refused = collect(server, ConnectionRefused)
        assert await ask(place, hello[: len(hello) // 2]) == b""
        await eventually(lambda: refused)
        assert refused[0].why == "the TLS handshake was not finished in time"
        assert not server.connections


async def test_a_handshake_that_fails_is_reported_once(tls_files: TLSFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its peer stays on until the handshake's time is over."""
    monkeypatch.setattr(tls_transport, "TLS_SHUTDOWN", 0.2)
    endpoint = tls_port(tls_files, "tls")
    async with on_one_port(endpoint, route(Named("rest")), timeouts=Timeouts(handshake=0.05)) as (server, place):
        refused = collect(server, ConnectionRefused)
        sock = await open_raw(place)
        sock.send(b"\x16\x03\x01\x00\x05hello")
        await eventually(lambda: refused and not server.connections)
        sock.close()
    assert [(event.count, event.why[:10]) for event in refused] == [(1, "TLS failed")]


async def test_a_client_without_the_certificate_that_is_asked_for_leaves_an_event(tls_files: TLSFiles) -> None:
    endpoint = tls_port(tls_files, "tls", f"&client_ca={tls_files.ca}")
    async with on_one_port(endpoint, route(Named("rest"))) as (server, place):
        refused = collect(server, ConnectionRefused)
        with contextlib.suppress(ssl.SSLError):
            assert await ask(place, b"x\n", ssl=trusting(tls_files), server_hostname="localhost") == b""
        await eventually(lambda: refused)
        assert refused[0].why == "TLS failed: PEER_DID_NOT_RETURN_A_CERTIFICATE"
        assert isinstance(refused[0].peer, tuple)


async def test_stalled_handshakes_count_by_address(tls_files: TLSFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """One peer could hold every place for as long as a handshake may take."""
    monkeypatch.setattr(admission, "_LOOPBACK", ("none",))
    limits = Limits(max_connections_per_address=2)
    async with on_one_port(tls_port(tls_files, "tls"), route(Named("rest")), limits=limits) as (server, place):
        refused = collect(server, ConnectionRefused)
        stalled = [await open_raw(place) for _ in range(2)]
        await eventually(lambda: server.connections == 2)
        assert await ask(place, b"\x16") == b""
        await eventually(lambda: refused)
        assert refused[0].why == admission.TOO_MANY
        for sock in stalled:
            sock.close()


async def test_a_drain_does_not_wait_for_those_who_have_not_found_their_route(tls_files: TLSFiles) -> None:
    async with on_one_port(tls_port(tls_files), *three(), drain_timeout=3600) as (server, place):
        silent, hello = await open_raw(place), await open_raw(place)
        hello.send(real_hello()[:100])
        await eventually(lambda: server.connections == 2)
        assert (await server.drain()).cut == ()
        silent.close()
        hello.close()


# ---- out of the way --------------------------------------------------------------------------------


def _counting(calls: Counter[str]) -> Any:
    def profile(frame: FrameType, event: str, arg: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and ("/aionet/core/" in name or "/aionet/codecs/" in name or "port_tools" in name):
            calls[frame.f_code.co_qualname] += 1

    return profile


async def _count(place: Any, handler: Named, **options: Any) -> tuple[Counter[str], type]:
    reader, writer = await opened(place, **options)
    writer.write(b"first\n")
    await reader.readline()
    calls: Counter[str] = Counter()
    sys.setprofile(_counting(calls))
    try:
        for number in range(50):
            writer.write(b"%d\n" % number)
            await reader.readline()
    finally:
        sys.setprofile(None)
    kind = type(handler.conns[-1])
    writer.transport.abort()
    return calls, kind


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_message_costs_the_same_calls_as_on_a_port_of_its_own(tls_files: TLSFiles, secure: bool) -> None:
    """Goal: 0 more. The same class, the same functions, each called as often."""
    options: dict[str, Any] = {"ssl": trusting(tls_files), "server_hostname": "localhost"} if secure else {}
    alone, sniffed = Named("rest"), Named("rest")
    own = tls_port(tls_files, "tls") if secure else PORT
    async with on_one_port(own, route(alone)) as (_, place):
        expected = await _count(place, alone, **options)
    routes = [route(Named("get"), match=prefix(b"GET ")), route(sniffed)]
    async with on_one_port(tls_port(tls_files), *routes) as (_, place):
        found = await _count(place, sniffed, **options)
    ours = {name: count for name, count in expected[0].items() if count >= 50}
    assert {name: count for name, count in found[0].items() if count >= 50} == ours
    assert found[1] is expected[1]


async def test_a_port_with_one_route_makes_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[PendingConnection] = []
    init = PendingConnection.__init__

    def count(self: PendingConnection, context: Any) -> None:
        made.append(self)
        init(self, context)

    monkeypatch.setattr(PendingConnection, "__init__", count)
    async with on_one_port(PORT, route(Named("rest"))) as (_, place):
        assert await ask(place, b"x\n") == b"rest x 127.0.0.1\n"
    assert not made
    async with on_one_port(PORT, *three()) as (_, place):
        assert await ask(place, b"x\n") == b"rest x 127.0.0.1\n"
    assert len(made) == 1


async def test_no_task_is_made_for_a_connection() -> None:
    async with on_one_port(PORT, *three()) as (server, place):
        before = len(asyncio.all_tasks())
        socks = [await open_raw(place) for _ in range(20)]
        await eventually(lambda: server.connections == 20)
        assert len(asyncio.all_tasks()) == before
        for sock in socks:
            sock.close()


# ---- places ----------------------------------------------------------------------------------------


async def test_who_waits_for_a_place_is_looked_at_when_there_is_one() -> None:
    async with on_one_port(PORT, *three(), limits=Limits(max_connections=1)) as (server, place):
        first = await open_raw(place)
        await eventually(lambda: server.connections)
        answer = asyncio.ensure_future(ask(place, b"GET x\n"))
        await asyncio.sleep(0.02)
        assert not answer.done()
        first.close()
        assert await answer == b"get GET x 127.0.0.1\n"


async def test_a_full_route_refuses_and_the_others_go_on() -> None:
    routes = three()
    routes[0]["limits"] = Limits(max_connections=1)
    async with on_one_port(PORT, *routes) as (server, place):
        refused = collect(server, ConnectionRefused)
        reader, writer = await opened(place)
        writer.write(b"GET x\n")
        await reader.readline()
        assert await ask(place, b"GET y\n") == b""
        assert await ask(place, b"hello\n") == b"rest hello 127.0.0.1\n"
        await eventually(lambda: refused)
        assert refused[0].why == "its route has all the connections it may have (1)"
        writer.close()
        await eventually(lambda: not server.connections)
        assert await ask(place, b"GET y\n") == b"get GET y 127.0.0.1\n"


class Hasty(Matcher):
    """Looks at bytes that may not be there yet."""

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return Verdict.MATCH if data[0] == 65 else Verdict.NO_MATCH


@pytest.mark.parametrize("scheme", ["auto", "tls"])
async def test_a_matcher_that_fails_closes_the_connection(tls_files: TLSFiles, scheme: str) -> None:
    routes = [route(Named("a"), match=Hasty()), route(Named("rest"))]
    async with on_one_port(tls_port(tls_files, scheme), *routes) as (server, place):
        failed = collect(server, HandlerFailed)
        with contextlib.suppress(ConnectionError):
            assert await ask(place, ssl=trusting(tls_files), server_hostname="localhost") == b""
        await eventually(lambda: failed and not server.connections)
        assert [(event.where, str(event.exc)) for event in failed] == [("match", "index out of range")]


async def test_a_codec_that_cannot_be_made_closes_the_connection() -> None:
    broken = False

    def codec() -> LineCodec:
        if broken:
            raise ValueError("no more")
        return LineCodec()

    class Plain(StreamHandler[bytes]):
        pass

    routes = [route(Plain(), match=prefix(b"A"), codec=codec), route(Named("rest"))]
    async with on_one_port(PORT, *routes) as (server, place):
        failed = collect(server, HandlerFailed)
        broken = True
        assert await ask(place, b"A\n") == b""
        await eventually(lambda: not server.connections)
        assert [(event.where, str(event.exc)) for event in failed] == [("codec", "no more")]


@pytest.mark.timeout(120)
async def test_two_thousand_silent_clients_disturb_nobody() -> None:
    """Short form of 10,000, for which a process may not have the descriptors."""
    crowd, handler = 2000, Named("rest")
    routes = [route(handler, match=prefix(b"x"))]
    timeouts = Timeouts(sniff=1.0)
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 3 * crowd:
        pytest.skip("not enough descriptors")
    async with on_one_port(PORT, *routes, timeouts=timeouts) as (server, place):
        refused = collect(server, ConnectionRefused)
        reader, writer = await opened(place)
        writer.write(b"x\n")
        assert await reader.readline() == b"rest x 127.0.0.1\n"
        silent = []
        for number in range(crowd):
            silent.append(await open_raw(place))
            if not number % 100:
                writer.write(b"x\n")
                assert await reader.readline() == b"rest x 127.0.0.1\n"
        while server.connections > 1:
            writer.write(b"x\n")
            assert await reader.readline() == b"rest x 127.0.0.1\n"
        assert handler.closed == []
        for sock in silent:
            sock.close()
        writer.close()
        await eventually(lambda: handler.closed == [CloseReason.PEER_CLOSED])
    assert sum(event.count for event in refused) == crowd


async def test_heads_that_smuggle_do_not_reach_the_http_route() -> None:
    routes = [route(Named("app"), match=http()), route(Named("rest"))]
    async with on_one_port(PORT, *routes) as (_, place):
        head = b"GET / HTTP/1.1\r\nHost: a\r\n"
        assert (await ask(place, head + b"\r\n")).startswith(b"app ")
        for smuggled in (b"Host : b\r\n\r\n", b"Host: b\r\n\r\n", b" folded\r\n\r\n", b"X: a\rY: b\r\n\r\n"):
            assert (await ask(place, head + smuggled)).startswith(b"rest ")
