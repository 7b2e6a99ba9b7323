"""A listener: who holds a place, and that it is given back."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from aionet import Limits, connect
from aionet.core import listener as listener_module

from ..conftest import TLSFiles
from ..serving import Recorder, open_raw, serving


@pytest.fixture
def swept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "SWEEP_EVERY", 0.05)


@pytest.mark.usefixtures("swept_often")
async def test_failed_handshakes_keep_nobody_out(tls_files: TLSFiles) -> None:
    """Nobody is told of them: each held a place for 15 seconds, so a few garbage lines a second closed a port to all."""
    places = 5
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), endpoint, limits=Limits(max_connections=places)) as (_, place):
        for _ in range(3 * places):
            with await open_raw(place) as client:
                await asyncio.get_running_loop().sock_sendall(client, b"no handshake\n")
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        async with asyncio.timeout(8), connect(place, ssl_context=context, timeout=8) as conn:
            await conn.send(b"x\n")
            assert await conn.receive() == b"X\n"


@pytest.mark.usefixtures("swept_often")
async def test_handshakes_that_stall_give_their_places_back_when_the_peer_leaves(tls_files: TLSFiles) -> None:
    places = 5
    endpoint = f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}"
    async with serving(Recorder(), endpoint, limits=Limits(max_connections=places)) as (_, place):
        stalled = [await open_raw(place) for _ in range(places)]
        await asyncio.sleep(0)
        for client in stalled:
            client.close()
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        async with asyncio.timeout(8), connect(place, ssl_context=context, timeout=8) as conn:
            await conn.send(b"x\n")
            assert await conn.receive() == b"X\n"
