"""TLS: what is agreed on, who is let in, and what each wrong file is told."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from aionet import CloseReason, Connection, Endpoint, LineCodec, StreamHandler, Timeouts, connect
from aionet.core.tls import checked_context, client_context, server_context
from aionet.errors import ConnectError, TLSConfigError
from aionet.handler import TLSFacts

from ..conftest import TLSFiles
from ..serving import Recorder, eventually, open_raw, reset, serving
from ..tools import require


def listening(files: TLSFiles, more: str = "") -> str:
    return f"tls://127.0.0.1:0?cert={files.server_cert}&key={files.server_key}{more}"


def trusting(files: TLSFiles) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files.ca))


async def opened(place: Endpoint, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(place.host, place.port, ssl=context)


class Facts(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.facts: list[TLSFacts | None] = []

    def on_connect(self, conn: Connection[bytes]) -> None:
        super().on_connect(conn)
        self.facts.append(conn.tls)


# ---- what is agreed on -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_modern_versions_are_spoken_and_known_at_on_connect(tls_files: TLSFiles, version: Any) -> None:
    handler = Facts()
    async with serving(handler, listening(tls_files)) as (_, place):
        context = trusting(tls_files)
        context.minimum_version = context.maximum_version = version
        reader, writer = await opened(place, context)
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        (facts,) = handler.facts
        assert facts is not None
        assert facts.version == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
        assert facts.cipher == writer.get_extra_info("cipher")[0]
        assert facts.alpn is None
        assert facts.peer_certificate == {}
        writer.close()


async def test_old_versions_are_refused(tls_files: TLSFiles) -> None:
    handler = Recorder()
    async with serving(handler, listening(tls_files)) as (_, place):
        context = trusting(tls_files)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await opened(place, context)
        assert not handler.closed


def test_contexts_start_at_tls_1_2(tls_files: TLSFiles) -> None:
    assert server_context(Endpoint.parse(listening(tls_files))).minimum_version is ssl.TLSVersion.TLSv1_2
    client = client_context(Endpoint.parse("tls://127.0.0.1:1"))
    assert client.minimum_version is ssl.TLSVersion.TLSv1_2
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname
    assert checked_context(Endpoint.parse("tls://127.0.0.1:1"), client) is client


async def test_a_context_of_ones_own_and_its_alpn(tls_files: TLSFiles) -> None:
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    own.set_alpn_protocols(["shout/1"])
    handler = Facts()
    async with serving(handler, "tls://127.0.0.1:0", route={"ssl_context": own}) as (_, place):
        context = trusting(tls_files)
        context.set_alpn_protocols(["shout/2", "shout/1"])
        _, writer = await opened(place, context)
        await eventually(lambda: handler.facts)
        assert handler.facts[0] is not None
        assert handler.facts[0].alpn == "shout/1"
        writer.close()


# ---- client certificates -------------------------------------------------------------------------------------------------


async def test_client_certificates(tls_files: TLSFiles) -> None:
    handler = Facts()
    async with serving(handler, listening(tls_files, f"&client_ca={tls_files.ca}")) as (_, place):
        where = f"{place.location}?ca={tls_files.ca}"
        shown = f"&cert={tls_files.client_cert}&key={tls_files.client_key}"
        async with connect(where + shown, codec=LineCodec()) as conn:
            await conn.send(b"hello")
            assert await conn.receive() == b"HELLO"
        (facts,) = handler.facts
        assert facts is not None
        names = [value for rdn in facts.peer_certificate["subject"] for key, value in rdn if key == "commonName"]
        assert names == ["client.example.com"]
        for refused in ("", f"&cert={tls_files.other_cert}&key={tls_files.other_key}"):
            with pytest.raises((ConnectError, OSError, Exception)) as caught:  # TLS 1.3 tells a client afterwards
                async with connect(where + refused, codec=LineCodec()) as conn:
                    await conn.receive()
            assert type(caught.value).__name__ in ("ConnectError", "BrokenResourceError", "EndOfStream")
        assert len(handler.facts) == 1


# ---- files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wrong_files(tls_files: TLSFiles, tmp_path: Path) -> dict[str, Path]:
    key = serialization.load_pem_private_key(tls_files.server_key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "encrypted.pem").write_bytes(encrypted)
    (tmp_path / "garbage.pem").write_bytes(b"not a certificate\n")
    (tmp_path / "empty.pem").touch()
    return {name: tmp_path / f"{name}.pem" for name in ("encrypted", "garbage", "empty", "absent")}


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        (None, None, "TLS needs a certificate"),
        ("absent", "server", "cannot read cert file '.*absent.pem': No such file or directory"),
        ("server", "absent", "cannot read key file '.*absent.pem': No such file or directory"),
        ("server", "directory", "cannot read key file '.*': Is a directory"),
        ("server", "other", "key '.*other_key.pem' does not belong to certificate '.*server_cert.pem'"),
        ("server", "encrypted", "key file '.*encrypted.pem' is encrypted"),
        ("server", "garbage", "are not a PEM certificate and its key"),
        ("garbage", "server", "are not a PEM certificate and its key"),
        ("empty", "server", "are not a PEM certificate and its key"),
        ("server", None, "are not a PEM certificate and its key"),
    ],
)
async def test_wrong_files(
    cert: str | None, key: str | None, says: str, tls_files: TLSFiles, wrong_files: dict[str, Path], tmp_path: Path
) -> None:
    files = wrong_files | {"directory": tmp_path}
    certs = files | {"server": tls_files.server_cert}
    keys = files | {"server": tls_files.server_key, "other": tls_files.other_key}
    options = [*([f"cert={certs[cert]}"] if cert else []), *([f"key={keys[key]}"] if key else [])]
    endpoint = Endpoint.parse("tls://127.0.0.1:0?" + "&".join(options))
    with pytest.raises(TLSConfigError, match=f"^tls://127.0.0.1:0: .*{says}"):
        server_context(endpoint)


@pytest.mark.parametrize("option", ["client_ca", "ca"])
@pytest.mark.parametrize("name", ["garbage", "empty", "absent"])
def test_wrong_authorities(option: str, name: str, tls_files: TLSFiles, wrong_files: dict[str, Path]) -> None:
    make = server_context if option == "client_ca" else client_context
    endpoint = Endpoint.parse(listening(tls_files, f"&{option}={wrong_files[name]}"))
    with pytest.raises(TLSConfigError, match="cannot read CA file" if name == "absent" else "holds no PEM certificate"):
        make(endpoint)


async def test_an_expired_certificate(tls_files: TLSFiles, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf = authority.issue_cert("127.0.0.1", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "expired.pem")
    async with serving(Recorder(), f"tls://127.0.0.1:0?cert={tmp_path}/expired.pem") as (_, place):
        with pytest.raises(ConnectError, match="the certificate is not trusted: certificate has expired"):
            await connect(f"{place.location}?ca={tmp_path}/ca.pem")


# ---- peers that do not shake hands -----------------------------------------------------------------------------------------


async def test_plain_words_on_a_tls_port_are_nobodys_business(tls_files: TLSFiles) -> None:
    handler = Recorder()
    async with serving(handler, listening(tls_files)) as (_, place):
        for words in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\x16\x03\x01\x02\x00" + b"\xff" * 600):
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(words)
            with contextlib.suppress(ConnectionResetError):
                answer = await reader.read()
                assert not answer or answer.startswith(b"\x15\x03")  # an alert (RFC 8446, section 6), then the end
            writer.close()
        reader, writer = await opened(place, trusting(tls_files))
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        writer.close()
        assert len(handler.connections) <= 1


async def test_half_a_handshake_is_given_up_at_its_deadline(tls_files: TLSFiles) -> None:
    handler = Recorder()
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting(tls_files).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    async with serving(handler, listening(tls_files), timeouts=Timeouts(handshake=0.1)) as (server, place):
        words = hello.read()
        for said in (b"", words[:1], words[: len(words) // 2], words):
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(said)
            with contextlib.suppress(ConnectionResetError):
                await reader.read()  # comes to its end without a word from us
            writer.close()
        assert server.connections == 0
        assert handler.closed == []


async def test_a_reset_in_the_handshake(tls_files: TLSFiles) -> None:
    async with serving(Recorder(), listening(tls_files)) as (_, place):
        for _ in range(5):
            sock = await open_raw(place)
            sock.send(b"\x16\x03\x01")
            reset(sock)
        reader, writer = await opened(place, trusting(tls_files))
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        writer.close()


# ---- the end of a TLS stream ---------------------------------------------------------------------------------------------


class SaysGoodbye(StreamHandler[bytes]):
    codec = LineCodec()

    def __init__(self) -> None:
        self.closed: list[CloseReason] = []

    def on_eof(self, conn: Connection[bytes]) -> None:
        conn.write(b"goodbye")
        conn.close()

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        self.closed.append(reason)


def _close_notify_then_read(place: Endpoint, context: ssl.SSLContext, said: bytes) -> bytes:
    """Say something, then send our close_notify alone, as TLS 1.3 allows; what still comes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection((place.host, place.port), timeout=10) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(said)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        heard = b""
        with contextlib.suppress(OSError):
            while data := sock.recv(65536):
                heard += data
    incoming.write(heard)
    with contextlib.suppress(ssl.SSLError):
        return tls.read(65536)
    return b""


async def test_what_a_callback_writes_at_the_end_may_be_lost_but_nothing_else(tls_files: TLSFiles) -> None:
    """TLS has no half-close in either loop: after the peer's close_notify a write may arrive or not; on_close comes."""
    handler = SaysGoodbye()
    async with serving(handler, listening(tls_files)) as (_, place):
        heard = await asyncio.to_thread(_close_notify_then_read, place, trusting(tls_files), b"hello\n")
        assert heard in (b"", b"goodbye\n")
        await eventually(lambda: handler.closed == [CloseReason.PEER_CLOSED])


async def test_a_coroutine_hears_all_that_was_said_before_the_end(tls_files: TLSFiles) -> None:
    said: list[bytes] = []

    async def listens(conn: Connection[bytes]) -> None:
        async for line in conn:
            said.append(line)
        with contextlib.suppress(Exception):
            await conn.send(b"too late")

    async with serving(listens, listening(tls_files), route={"codec": LineCodec()}) as (server, place):
        await asyncio.to_thread(_close_notify_then_read, place, trusting(tls_files), b"one\ntwo\n")
        await eventually(lambda: not server.connections)
        assert said == [b"one", b"two"]


async def test_draining_closes_tls_in_good_order(tls_files: TLSFiles) -> None:
    async with serving(Recorder(), listening(tls_files), drain_timeout=3600) as (server, place):
        reader, writer = await opened(place, trusting(tls_files))
        await eventually(lambda: server.connections)
        drain = asyncio.ensure_future(server.drain())
        assert await reader.read() == b""
        writer.close()
        assert (await drain).cut == ()


# ---- a client nobody here wrote ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_s_client(tls_files: TLSFiles, version: str) -> None:
    openssl = require("openssl")
    async with serving(Recorder(), listening(tls_files)) as (_, place):
        process = await asyncio.create_subprocess_exec(
            *(openssl, "s_client", "-connect", f"{place.host}:{place.port}", "-CAfile", str(tls_files.ca)),
            *("-verify_return_error", "-quiet", "-no_ign_eof", version),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        assert await process.stdout.readline() == b"HELLO\n"
        process.stdin.close()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0
