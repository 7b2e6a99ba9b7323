"""Banners and certificates: bounded, never verified, and whatever the peer does, a value."""

import asyncio
import socket
import ssl

import pytest

from aionet.core.banners import MAX_BANNER, Greeting, greet
from aionet.core.certificate import parse_certificate

from ..conftest import TLSFiles
from .probing_tools import speaking

pytestmark = pytest.mark.usefixtures("no_leaks")


async def greeting_of(port: int, name: str | None = None, timeout: float = 5.0) -> Greeting:
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return await greet(sock, name, timeout=timeout)


def server_context(files: TLSFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_cert, files.server_key)
    return context


async def test_what_is_said_unasked() -> None:
    with speaking(b"SSH-2.0-example\r\n") as port:
        assert await greeting_of(port) == Greeting(b"SSH-2.0-example\r\n")


async def test_in_pieces_and_then_closed() -> None:
    with speaking(b"220 ", leaves=True) as port:
        assert (await greeting_of(port)).banner == b"220 "


async def test_an_endless_one_is_cut() -> None:
    with speaking(b"x" * 1_000_000) as port:
        assert await greeting_of(port) == Greeting(b"x" * MAX_BANNER, cut=True)


async def test_a_certificate_is_shown_though_nobody_trusts_it(tls_files: TLSFiles) -> None:
    with speaking(context=server_context(tls_files)) as port:
        greeting = await greeting_of(port, "localhost", timeout=0.3)
    assert greeting.tls is not None
    assert greeting.tls.version == "TLSv1.3"
    assert "localhost" in parse_certificate(greeting.tls.certificate).names
    assert (greeting.banner, greeting.refusal) == (b"", None)


async def test_a_banner_inside_tls(tls_files: TLSFiles) -> None:
    with speaking(b"* OK ready\r\n", context=server_context(tls_files)) as port:
        assert (await greeting_of(port, timeout=0.3)).banner == b"* OK ready\r\n"


async def test_a_name_that_cannot_stand_in_a_hello(tls_files: TLSFiles) -> None:
    with speaking(context=server_context(tls_files)) as port:
        assert (await greeting_of(port, ".bad", timeout=0.3)).tls is not None


async def test_what_answers_the_hello_without_tls() -> None:
    with speaking(reply=b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        greeting = await greeting_of(port, timeout=0.1)
    assert greeting == Greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n", prompted=True)


async def test_tls_that_refuses_us() -> None:
    with speaking(reply=bytes.fromhex("15030100020228")) as port:  # alert, fatal, handshake_failure
        greeting = await greeting_of(port, timeout=0.1)
    assert greeting.tls is None
    assert greeting.refusal is not None
    assert "handshake failure" in greeting.refusal


async def test_an_echo_of_our_hello_is_no_tls() -> None:
    echoed = bytes.fromhex("1603010005 01000001 03")  # a record, in it a ClientHello: no server sends one
    with speaking(reply=echoed) as port:
        assert await greeting_of(port, timeout=0.1) == Greeting(echoed, prompted=True)


async def test_tls_that_never_comes_to_an_end() -> None:
    with speaking(reply=bytes.fromhex("1603034000")) as port:  # a record of 16 KiB is announced, and none comes
        greeting = await greeting_of(port, timeout=0.1)
    assert greeting.refusal == "the handshake did not end"


async def test_silence_and_a_peer_that_closes_are_nothing() -> None:
    with speaking() as port:
        assert await greeting_of(port, timeout=0.05) == Greeting()
    with speaking(leaves=True) as port:
        assert await greeting_of(port, timeout=0.05) == Greeting()
