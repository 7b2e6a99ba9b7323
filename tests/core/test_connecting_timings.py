"""When each phase of connecting was done; and the hints for certificates that were not trusted."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from aionet import Connection, connect
from aionet.core.connecting import ConnectTimings
from aionet.core.tls import certificate_hint
from aionet.errors import ConnectError

from ..conftest import TLSFiles


async def test_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        timings = ConnectTimings()
        conn: Connection[bytes] = await connect(f"tcp://localhost:{listener.getsockname()[1]}", timings=timings)
        await conn.aclose()
    assert timings.started is not None
    assert timings.resolved is not None
    assert timings.connected is not None
    assert timings.started <= timings.resolved <= timings.connected
    assert timings.secured is None


async def test_unix_has_no_look_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        timings = ConnectTimings()
        async with connect(f"unix://{tmp_path / 's'}", timings=timings):
            pass
    assert timings.resolved is None
    assert timings.connected is not None


async def test_of_an_attempt_that_failed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    timings = ConnectTimings()
    with pytest.raises(ConnectError):
        await connect(f"tcp://127.0.0.1:{port}", timings=timings)
    assert timings.resolved is not None
    assert timings.connected is None


async def test_tls_and_its_certificate_verified_or_not(tls_files: TLSFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    place = f"tls://localhost:{server.sockets[0].getsockname()[1]}"
    shown = []
    for options in (f"?ca={tls_files.ca}", "?verify=0"):
        timings = ConnectTimings()
        conn: Connection[bytes] = await connect(place + options, timings=timings)
        assert conn.tls is not None
        shown.append((conn.tls.certificate, bool(conn.tls.peer_certificate)))
        await conn.aclose()
        assert timings.connected is not None
        assert timings.secured is not None
        assert timings.connected < timings.secured
    server.close()
    await server.wait_closed()
    der = ssl.PEM_cert_to_DER_cert(tls_files.server_cert.read_text())
    assert shown == [(der, True), (der, False)]


@pytest.mark.parametrize(
    ("code", "hint"),
    [(10, "a new one"), (9, "clock"), (62, "a name"), (64, "a name"), (18, "vouches"), (19, "vouches"), (20, "the CA")],
)
def test_a_hint_for_each_reason(code: int, hint: str) -> None:
    said = certificate_hint(code, ca="--ca FILE", anybody="--insecure")
    assert hint in said
    assert "--insecure trusts anybody" in said
