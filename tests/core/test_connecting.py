"""Connecting: racing addresses, errors that say why, and no socket left behind wherever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aionet import Endpoint, LineCodec, Timeouts, connect
from aionet.codecs.proxy_header import format_v2, parse
from aionet.core import connecting
from aionet.errors import AionetError, ConnectError, ConnectTimeout, EncodeError, EndpointError, TLSConfigError

from ..conftest import TLSFiles
from ..serving import Recorder, descriptors, eventually, serving

INET = socket.AF_INET


@contextlib.contextmanager
def blackhole() -> Iterator[int]:
    """A port where connecting gets no answer: its queue is full and nobody accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def refusing() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def resolve_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Let every name resolve to these ports of this machine."""

    async def resolve(endpoint: Endpoint, kind: int, proto: int, *, passive: bool) -> list[Any]:
        return [(INET, ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(connecting, "resolve", resolve)


async def test_an_address_that_does_not_answer_costs_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Recorder()
    async with serving(handler) as (_, place):
        with blackhole() as silent:
            before = descriptors()
            resolve_to(monkeypatch, silent, place.port)
            loop = asyncio.get_running_loop()
            started = loop.time()
            async with connect("tcp://some.example.com:7", codec=LineCodec()) as conn:
                assert loop.time() - started > 0.2  # the second address has to wait for its turn
                await conn.send(b"hello")
                assert await conn.receive() == b"HELLO"
                assert conn.route == "tcp://some.example.com:7"
            await eventually(lambda: descriptors() == before)


async def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", 3600)
    async with serving(Recorder()) as (_, place):
        resolve_to(monkeypatch, refusing(), refusing(), place.port)
        async with connect("tcp://some.example.com:7"):
            pass


async def test_when_all_fail_the_first_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, refusing(), refusing())
    with pytest.raises(ConnectError, match=r"cannot reach tcp://some.example.com:7: connection refused") as caught:
        await connect("tcp://some.example.com:7")
    assert caught.value.hint == "nobody listens there: is the server running, and is the port right?"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert isinstance(caught.value, ConnectionError)


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    targets: list[Any] = [(six, 1), (six, 2), (six, 3), (four, 4)]
    order: list[Any] = [address for _, address in connecting._interleaved(targets)]
    assert order == [1, 4, 2, 3]


async def test_no_answer_in_time() -> None:
    with blackhole() as silent:
        before = descriptors()
        with pytest.raises(ConnectTimeout, match=r"no answer within 0.05 s") as caught:
            await connect(f"tcp://127.0.0.1:{silent}", timeout=0.05)
        assert isinstance(caught.value, TimeoutError)
        await eventually(lambda: descriptors() == before)


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ConnectError, match=r"cannot reach tcp://no.such.name.invalid:7: ") as caught:
        await connect("tcp://no.such.name.invalid:7")
    assert isinstance(caught.value.__cause__, (socket.gaierror, UnicodeError))
    with pytest.raises(ConnectError, match="cannot reach "):
        await connect(f"tcp://{'a' * 70}.invalid:7")


@pytest.mark.parametrize(
    ("endpoint", "error", "says"),
    [
        ("udp://127.0.0.1:7", EndpointError, "cannot connect to udp"),
        ("fd://3", EndpointError, "cannot connect to fd://3"),
        ("tcp://127.0.0.1:0", EndpointError, "a host and a port are needed"),
        ("tcp://*:7000", EndpointError, "a host and a port are needed"),
        ("tls://127.0.0.1:7?ca=/no/such.pem", TLSConfigError, "cannot read CA file '/no/such.pem': No such file"),
        ("unix:///no/such.sock", ConnectError, "no such file or directory"),
        (f"unix:///{'a' * 200}", ConnectError, "path too long"),
    ],
)
async def test_what_cannot_be_connected_to(endpoint: str, error: type[AionetError], says: str) -> None:
    before = descriptors()
    with pytest.raises(error, match=says):
        await connect(endpoint)
    assert descriptors() == before


async def test_unix_and_ipv6(tmp_path: Path) -> None:
    for endpoint in (f"unix://{tmp_path}/a.sock", "tcp://[::1]:0", "tcp://localhost:0"):
        async with serving(Recorder(), endpoint) as (_, place), connect(place, codec=LineCodec()) as conn:
            await conn.send(b"hello")
            assert await conn.receive() == b"HELLO"
            await conn.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await conn.receive()


async def test_a_unix_server_with_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(path)
        listener.listen(0)
        listener.setblocking(False)
        for _ in range(3):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(path)
        with pytest.raises(ConnectTimeout):
            await connect(f"unix://{path}", timeout=0.05)
        opening = asyncio.ensure_future(connect(f"unix://{path}", codec=LineCodec()).__aenter__())
        await asyncio.sleep(0.01)
        assert not opening.done()
        stack.enter_context(listener.accept()[0])  # one of those who queue; now there is room
        conn = await opening
        with contextlib.suppress(BlockingIOError):
            while True:
                last = stack.enter_context(listener.accept()[0])
        last.sendall(b"hello\n")
        assert await conn.receive() == b"hello"
        await conn.aclose()


async def test_options_of_the_endpoint_are_in_force() -> None:
    async with serving(Recorder()) as (_, place):
        for nodelay in (True, False):
            options = place.with_options(nodelay=nodelay, keepalive_idle=7, rcvbuf=30000)
            async with connect(options) as conn:
                sock = socket.socket(fileno=conn.fileno())
                try:
                    assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
                    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 60000
                finally:
                    sock.detach()


@pytest.mark.parametrize("case", ["race", "tls", "unix"])
async def test_cancelled_at_any_stage_nothing_is_left(
    case: str, tls_files: TLSFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Recorder()
    endpoint = {
        "race": "tcp://127.0.0.1:0",
        "tls": f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}",
        "unix": f"unix://{tmp_path}/a.sock",
    }[case]
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", 0)
    async with serving(handler, endpoint) as (server, place):
        with blackhole() as silent:
            if case == "race":
                resolve_to(monkeypatch, silent, place.port, place.port)
            target = str(place.location)
            if case == "tls":
                target += f"?ca={tls_files.ca}"
            conn = await connect(target)
            await conn.aclose()
            await eventually(lambda: not server.connections)
            before = descriptors()
            for steps in range(200):
                task = asyncio.ensure_future(connect(target).__aenter__())
                for _ in range(steps):
                    await asyncio.sleep(0)
                finished = task.done()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await (await task).aclose()
                if finished:
                    break
            else:
                pytest.fail("it never came to its end")
            gc.collect()  # what was dropped instead of closed would say so: warnings are errors
            await eventually(lambda: not server.connections and descriptors() <= before)


# ---- TLS -----------------------------------------------------------------------------------------


async def test_certificate_and_name_are_verified_unless_told_otherwise(tls_files: TLSFiles) -> None:
    files = f"cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), f"tls://127.0.0.1:0?{files}") as (_, place):
        where = place.location
        for options in (f"ca={tls_files.ca}", "verify=0", f"ca={tls_files.ca}&server_name=localhost"):
            async with connect(f"{where}?{options}", codec=LineCodec()) as conn:
                await conn.send(b"hello")
                assert await conn.receive() == b"HELLO"
                assert conn.tls is not None
                assert conn.tls.version == "TLSv1.3"
        for options, says in (
            ("", "the certificate is not trusted: (unable to get local issuer|self.signed) certificate"),
            (f"?ca={tls_files.other_ca}", "the certificate is not trusted: unable to get local issuer certificate"),
            (f"?ca={tls_files.ca}&server_name=a.example.com", "not trusted: .*not valid for 'a.example.com'"),
        ):
            with pytest.raises(ConnectError, match=says) as caught:
                await connect(where + options)
            assert caught.value.hint is not None
            assert ("by a name that stands in it" if "server_name" in options else "?ca=FILE") in caught.value.hint


async def test_a_context_of_ones_own(tls_files: TLSFiles) -> None:
    files = f"cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), f"tls://127.0.0.1:0?{files}") as (_, place):
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        async with connect(place.location, ssl_context=context, codec=LineCodec()) as conn:
            await conn.send(b"hello")
            assert await conn.receive() == b"HELLO"
        with pytest.raises(TLSConfigError, match=r"True is no ssl.SSLContext"):
            await connect(place.location, ssl_context=True)


async def test_a_peer_that_does_not_speak_tls() -> None:
    async with serving(Recorder()) as (_, place):
        with pytest.raises(ConnectTimeout, match=r"no answer within 0.1 s"):  # both wait for the other
            await connect(f"tls://127.0.0.1:{place.port}?verify=0", timeout=0.1)

    async def hangs_up(conn: Any) -> None:
        await conn.receive()

    async with serving(hangs_up) as (_, place):
        with pytest.raises(ConnectError, match=r"tls://127.0.0.1:.*the peer closed during the TLS handshake"):
            await connect(f"tls://127.0.0.1:{place.port}?verify=0")

    async def greeter(conn: Any) -> None:
        await conn.send(b"220 welcome\r\n")
        await conn.receive()

    async with serving(greeter) as (_, place):
        with pytest.raises(ConnectError, match="the TLS handshake failed: ") as caught:
            await connect(f"tls://127.0.0.1:{place.port}?verify=0")
        assert caught.value.hint == "does the peer speak TLS there?"


@pytest.mark.parametrize("first", ["connect", "handshake"])
async def test_a_peer_that_says_nothing(first: str) -> None:
    async def silent(conn: Any) -> None:
        await asyncio.Event().wait()

    async with serving(silent) as (_, place):
        where = f"tls://127.0.0.1:{place.port}?verify=0"
        if first == "connect":
            with pytest.raises(ConnectTimeout, match=r"no answer within 0.05 s"):
                await connect(where, timeout=0.05)
        else:
            with pytest.raises(ConnectTimeout, match=r"the TLS handshake took longer than 0.05 s"):
                await connect(where, timeout=5, timeouts=Timeouts(handshake=0.05))


# ── what a proxy says first ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("option", "version"), [("v1", 1), ("v2", 2)])
async def test_a_proxy_header_stands_before_everything_else(option: str, version: int) -> None:
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while not data.endswith(b"hello\n"):
            data += await reader.read(1000)
        first.set_result(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"tcp://127.0.0.1:{port}?proxy_header={option}", codec=LineCodec()) as conn:
            await conn.send(b"hello")
            header = parse(await first)
            assert header is not None
            assert header.version == version
            assert (header.source, header.destination) == (conn.sockname, conn.peername)
        first = asyncio.get_running_loop().create_future()
        told = format_v2(("192.0.2.1", 5), ("192.0.2.2", 6), checksum=True)
        async with connect(f"tcp://127.0.0.1:{port}", codec=LineCodec(), proxy_header=told) as conn:
            await conn.send(b"hello")
            assert await first == told + b"hello\n"


async def test_a_proxy_header_stands_before_tls(tls_files: TLSFiles) -> None:
    """What a server of TLS that expects none makes of it: no ClientHello."""
    async with serving(Recorder(), f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}") as (
        _,
        place,
    ):
        with pytest.raises(ConnectError, match="handshake"):
            await connect(f"{place.location}?ca={tls_files.ca}&proxy_header=v1")


async def test_version_1_knows_no_unix_sockets(tmp_path: Path) -> None:
    async with serving(Recorder(), f"unix://{tmp_path}/a.sock") as (_, place):
        before = descriptors()
        with pytest.raises(EncodeError, match="no address"):
            await connect(f"{place.location}?proxy_header=v1")
        assert descriptors() == before
