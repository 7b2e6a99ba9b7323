from __future__ import annotations

import asyncio
import ssl

import hypothesis
import pytest
import uvloop

from .conftest import TLSFiles, pytest_asyncio_loop_factories
from .tools import in_ci


async def test_an_async_test_runs(request: pytest.FixtureRequest) -> None:
    loop = asyncio.get_running_loop()
    name = "uvloop" if isinstance(loop, uvloop.Loop) else "asyncio"
    assert request.node.name == f"test_an_async_test_runs[{name}]"


def test_both_loops_are_run(request: pytest.FixtureRequest) -> None:
    assert list(pytest_asyncio_loop_factories(request.config, request.node)) == ["asyncio", "uvloop"]


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_marker_narrows_it_to_one_loop() -> None:
    assert not isinstance(asyncio.get_running_loop(), uvloop.Loop)


def test_the_hypothesis_profile_follows_ci() -> None:
    settings = hypothesis.settings()
    assert settings.deadline is None
    assert settings.derandomize is in_ci()


def handshake(tls_files: TLSFiles, server_hostname: str, trusted: str) -> None:
    """A handshake in memory, both sides with certificates."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(tls_files.ca)
    client_context = ssl.create_default_context(cafile=trusted)
    client_context.load_cert_chain(tls_files.client_cert, tls_files.client_key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=server_hostname)
    pending = [client, server]
    for _ in range(6):  # flights; TLS 1.3 needs three
        for side in list(pending):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(side)
    assert pending == []


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost"])
def test_the_certificates_serve_every_loopback_name(tls_files: TLSFiles, name: str) -> None:
    handshake(tls_files, name, str(tls_files.ca))


def test_another_ca_does_not_vouch_for_the_server(tls_files: TLSFiles) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"):
        handshake(tls_files, "localhost", str(tls_files.other_ca))


def test_each_key_belongs_to_its_certificate(tls_files: TLSFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.other_cert, tls_files.other_key)
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        context.load_cert_chain(tls_files.other_cert, tls_files.server_key)
