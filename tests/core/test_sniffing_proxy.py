"""The PROXY protocol at the door: believed from those who are trusted, refused from all others, and bounded."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Any

import pytest

from aionet import Endpoint, Limits, Router, StreamHandler, Timeouts
from aionet.codecs.proxy_header import MAX_HEADER, SIGNATURE_V2, format_v1, format_v2
from aionet.core import admission
from aionet.errors import EndpointError, RouteError
from aionet.events import ConnectionClosed, ConnectionOpened, ConnectionRefused
from aionet.routing import peer, prefix, silence

from ..conftest import TLSFiles
from ..serving import Recorder, collect, eventually, serving
from ..tools import require
from .port_tools import Named, ask, on_one_port, opened, route, tls_port, trusting

TRUSTED = "tcp://127.0.0.1:0?proxy=127.0.0.0/8"
CLIENT = (("192.0.2.9", 4711), ("192.0.2.1", 443))
CLIENT6 = (("2001:db8::9", 4711, 0, 0), ("2001:db8::1", 443, 0, 0))

HEADERS = {
    "v1": format_v1(*CLIENT),
    "v1 over IPv6": format_v1(*CLIENT6),
    "v2": format_v2(*CLIENT),
    "v2 over IPv6": format_v2(*CLIENT6),
    "v2 with facts and checksum": format_v2(*CLIENT, tlvs=[(0x02, b"example.com"), (0xE0, bytes(2000))], checksum=True),
}


class Where(StreamHandler[bytes]):
    """Answers with whom it sees."""

    def on_message(self, conn: Any, message: bytes) -> None:
        conn.write(b"%r %r %s\n" % (conn.peername, conn.sockname, message))


def seen(names: Any, said: bytes = b"hello") -> bytes:
    return b"%r %r %s\n" % (*names, said)


@pytest.mark.parametrize("kind", HEADERS)
async def test_the_client_is_whom_the_header_names(kind: str) -> None:
    header = HEADERS[kind]
    names = CLIENT6 if "IPv6" in kind else CLIENT
    async with on_one_port(TRUSTED, route(Where())) as (server, place):
        opened_, closed = collect(server, ConnectionOpened), collect(server, ConnectionClosed)
        assert await ask(place, header + b"hello") == seen(names)
        assert await ask(
            place, *(header[at : at + 1] for at in range(0, min(len(header), 120))), header[120:], b"hello"
        )
        await eventually(lambda: len(closed) == 2)
        assert [*(event.peer for event in opened_), *(event.peer for event in closed)] == [names[0]] * 4


async def test_whom_a_proxy_does_not_name_is_seen_as_it_comes() -> None:
    async with on_one_port(TRUSTED, route(Where())) as (_, place):
        for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ::2 3 4\r\n", format_v2(None, None)):
            answer = await ask(place, header + b"hello")
            assert answer.startswith(b"('127.0.0.1', ")
            assert answer.endswith(b" hello\n")


async def test_a_unix_client_behind_a_proxy() -> None:
    async with on_one_port(TRUSTED, route(Where())) as (_, place):
        assert await ask(place, format_v2("/run/a", "/run/b") + b"hello") == b"'/run/a' '/run/b' hello\n"


async def test_it_is_off_by_default() -> None:
    async with on_one_port("tcp://127.0.0.1:0", route(Where())) as (_, place):
        answer = await ask(place, HEADERS["v1"])
        assert b"192.0.2.9" in answer  # bytes like any, and not believed
        assert answer.startswith(b"('127.0.0.1', ")


@pytest.mark.parametrize("way", ["tls", "auto", "auto plain"])
async def test_tls_behind_the_header_in_one_segment(tls_files: TLSFiles, way: str) -> None:
    scheme, _, plain = way.partition(" ")
    async with on_one_port(tls_port(tls_files, scheme, "&proxy=127.0.0.1"), route(Where())) as (_, place):
        if plain:
            assert await ask(place, HEADERS["v2"] + b"hello") == seen(CLIENT)
            return
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(tls_files).wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await opened(place)
        header = HEADERS["v2"]
        while True:
            try:
                tls.do_handshake()
                tls.write(b"hello")
                writer.write(outgoing.read())
                break
            except ssl.SSLWantReadError:
                writer.write(header + outgoing.read())
                header = b""
                incoming.write(await reader.read(65536))
        while True:
            try:
                assert tls.read(1000) == seen(CLIENT)
                break
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65536))
        writer.transport.abort()


async def test_routes_go_by_the_real_client() -> None:
    routes = [
        route(Named("inner", b"inner"), match=peer("192.0.2.0/24")),
        route(Named("greeter", b"welcome"), match=silence(0.1)),
        route(Named("get"), match=prefix(b"GET ")),
        route(Named("rest")),
    ]
    far = format_v1(("198.51.100.1", 1), ("198.51.100.2", 2))
    async with on_one_port(TRUSTED, *routes) as (_, place):
        assert await ask(place, HEADERS["v1"]) == b"inner\n"
        assert await ask(place, far) == b"welcome\n"
        assert await ask(place, far + b"GET x\n") == b"get GET x 198.51.100.1\n"
        assert await ask(place, far + b"hello\n") == b"rest hello 198.51.100.1\n"


async def test_the_real_client_is_counted() -> None:
    limits = Limits(max_connections_per_address=1)
    async with on_one_port(TRUSTED, route(Where()), limits=limits) as (server, place):
        refused = collect(server, ConnectionRefused)
        reader, writer = await opened(place)
        writer.write(HEADERS["v1"] + b"hello")
        assert await reader.readline() == seen(CLIENT)
        assert await ask(place, HEADERS["v2"] + b"hello") == b""
        assert (refused[0].peer, refused[0].why) == (CLIENT[0], admission.TOO_MANY)
        assert await ask(place, HEADERS["v2 over IPv6"] + b"hello") == seen(CLIENT6)
        writer.close()
        await eventually(lambda: not server.connections)
        assert await ask(place, HEADERS["v2"] + b"hello") == seen(CLIENT)


# ---- bad input -----------------------------------------------------------------------------------

FORGED = [
    (b"hello\n", "a PROXY header was expected"),
    (b"GET / HTTP/1.1\r\n\r\n", "a PROXY header was expected"),
    (b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 70000\r\n", "is no port"),
    (b"PROXY TCP4 2001:db8::1 192.0.2.1 4711 443\r\n", "is no address"),
    (b"PROXY " + b"x" * 200, "at most 107 bytes"),
    (SIGNATURE_V2 + struct.pack("!BBH", 0x21, 0x11, MAX_HEADER), f"{MAX_HEADER} "),
    (SIGNATURE_V2 + struct.pack("!BBH", 0x31, 0x11, 12) + bytes(12), "version and command"),
    (SIGNATURE_V2 + struct.pack("!BBH", 0x21, 0x11, 4) + bytes(4), "too few for its addresses"),
    (format_v2(*CLIENT, checksum=True)[:-1] + b"\0", "checksum is wrong"),
]


@pytest.mark.parametrize(("said", "why"), FORGED, ids=[str(number) for number in range(len(FORGED))])
async def test_what_is_no_header_is_refused_from_a_proxy(said: bytes, why: str) -> None:
    handler = Recorder()
    async with serving(handler, TRUSTED) as (server, place):
        refused = collect(server, ConnectionRefused)
        assert await ask(place, said) == b""
        await eventually(lambda: refused)
        assert why in refused[0].why
        await eventually(lambda: not server.connections)
    assert not handler.closed


@pytest.mark.parametrize("header", ["v1", "v2"])
async def test_a_header_from_anybody_else_is_refused(header: str) -> None:
    async with on_one_port("tcp://127.0.0.1:0?proxy=192.0.2.0/24", route(Where())) as (server, place):
        refused = collect(server, ConnectionRefused)
        assert await ask(place, HEADERS[header] + b"hello") == b""
        await eventually(lambda: refused)
        assert refused[0].why == "a PROXY header from an address that is not trusted to send one"
        assert (await ask(place, b"hello")).endswith(b" hello\n")  # whoever comes without one comes as himself
        assert (await ask(place, b"PROX", b"Y?")).endswith(b" PROXY?\n")


async def test_those_who_are_not_trusted_and_wait_for_our_first_words(tls_files: TLSFiles) -> None:
    silent = [route(Named("greeter", b"welcome"), match=silence(0.1)), route(Named("rest"))]
    async with on_one_port("tcp://127.0.0.1:0?proxy=192.0.2.0/24", *silent) as (_, place):
        assert await ask(place) == b"welcome\n"
    greets = Named("greeter", b"welcome")
    quick = Timeouts(sniff=0.2)
    async with on_one_port("tcp://127.0.0.1:0?proxy=192.0.2.0/24", route(greets), timeouts=quick) as (_, place):
        assert await ask(place) == b"welcome\n"
        assert await ask(place, b"PROX") == b"welcome\n"
    async with on_one_port(tls_port(tls_files, "tls", "&proxy=192.0.2.0/24"), *silent, timeouts=quick) as (_, place):
        inside: dict[str, Any] = {"ssl": trusting(tls_files), "server_hostname": "localhost"}
        assert await ask(place, **inside) == b"welcome\n"
        assert await ask(place, b"x\n", **inside) == b"rest x 127.0.0.1\n"


@pytest.mark.parametrize("said", [b"", HEADERS["v1"][:20], HEADERS["v2"][:20]], ids=["nothing", "v1", "v2"])
async def test_a_header_that_does_not_come_is_given_up(said: bytes) -> None:
    async with serving(Recorder(), TRUSTED, timeouts=Timeouts(sniff=0.2)) as (server, place):
        refused = collect(server, ConnectionRefused)
        reader, writer = await opened(place)
        for byte in said:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        await eventually(lambda: refused)
        assert refused[0].why == "0.2 s have passed before the PROXY header was complete"
        writer.transport.abort()


async def test_a_header_that_ends_in_the_middle() -> None:
    async with serving(Recorder(), TRUSTED) as (server, place):
        refused = collect(server, ConnectionRefused)
        assert await ask(place, HEADERS["v2"][:20], eof=True) == b""
        assert await ask(place, eof=True) == b""  # a proxy's health check
        await eventually(lambda: not server.connections)
        (event,) = refused
        assert event.why == "the client has ended the connection before the PROXY header was complete"


def test_networks_are_checked() -> None:
    with pytest.raises(EndpointError, match="does not appear to be an IPv4 or IPv6 network"):
        Endpoint.parse("tcp://127.0.0.1:1?proxy=example.com")
    with pytest.raises(RouteError, match="has host bits set"):
        Router().add("tcp://127.0.0.1:1", Where(), proxy_protocol=["10.0.0.1/8"])


# ---- a client nobody here wrote ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_curl(tls_files: TLSFiles, scheme: str) -> None:
    curl = require("curl")

    class Page(Where):
        def on_message(self, conn: Any, message: bytes) -> None:
            page = repr(conn.peername).encode()
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
            conn.close()

    async with on_one_port(tls_port(tls_files, "auto", "&proxy=127.0.0.1"), route(Page())) as (_, place):
        process = await asyncio.create_subprocess_exec(
            *(curl, "--silent", "--show-error", "--haproxy-protocol", "--cacert", str(tls_files.ca)),
            f"{scheme}://127.0.0.1:{place.port}/",
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        assert said.startswith(b"('127.0.0.1', ")
