from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from aionet.client.sockinfo import certificate_of, inspect
from aionet.errors import ConnectError, EndpointError
from aionet.handler import TLSFacts

from ..conftest import TLSFiles
from .peers import http_peer


async def test_tcp_with_the_options_of_its_endpoint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        info = await inspect(f"tcp://127.0.0.1:{port}?nodelay=0&keepalive_idle=33&rcvbuf=65536")
    found = {option.key: option.value for option in info.socket.options}
    assert (found["nodelay"], found["keepalive"], found["keepalive_idle"]) == (False, True, 33)
    assert found["rcvbuf"] in (65536, 131072)  # Linux says twice of it
    assert info.socket.peer == ("127.0.0.1", port)
    assert (info.tls, info.certificate) == (None, None)
    assert info.timings is not None


async def test_tls(tls_files: TLSFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    async with http_peer(b"", context=context) as peer:
        info = await inspect(f"tls://localhost:{peer.port}?ca={tls_files.ca}")
        with pytest.raises(ConnectError, match="not trusted"):
            await inspect(f"tls://localhost:{peer.port}?ca={tls_files.other_ca}")
        unchecked = await inspect(f"tls://localhost:{peer.port}?verify=0")
    assert info.tls is not None
    assert info.tls.version == "TLSv1.3"
    assert info.certificate is not None
    assert info.certificate == unchecked.certificate
    assert "localhost" in info.certificate.names


async def test_unix(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        info = await inspect(f"unix://{tmp_path / 's'}")
    assert info.socket.family == "Unix"
    assert info.socket.credentials is not None


async def test_udp_is_only_opened() -> None:
    info = await inspect("udp://127.0.0.1:9?rcvbuf=100000")
    assert info.socket.peer == ("127.0.0.1", 9)
    assert info.timings is None


@pytest.mark.parametrize("endpoint", ["fd://3", "tcp://127.0.0.1:0", "127.0.0.1:80"])
async def test_what_cannot_be_connected_to(endpoint: str) -> None:
    with pytest.raises(EndpointError):
        await inspect(endpoint)


def test_a_certificate_that_cannot_be_read_is_none() -> None:
    assert certificate_of(TLSFacts("TLSv1.3", "x", None, {}, b"garbage")) is None
    assert certificate_of(None) is None
