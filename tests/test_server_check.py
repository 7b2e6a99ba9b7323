"""``Server.check``: all of the start but the binding."""

from __future__ import annotations

import pytest

from aionet import Router, Server, ServerState
from aionet.errors import ConfigError, ServerStateError, TLSConfigError
from aionet.services import DatagramEcho, Echo


async def test_it_binds_nothing_and_the_server_is_closed_then() -> None:
    router = Router()
    router.add("tcp://127.0.0.1:7", Echo())  # a port of the system's, which a test could not bind
    router.add("udp://127.0.0.1:7", DatagramEcho())
    server = Server(router)
    await server.check()
    assert (server.state, server.addresses) == (ServerState.CLOSED, ())
    with pytest.raises(ServerStateError):
        await server.start()


async def test_it_raises_what_the_start_would() -> None:
    router = Router()
    with pytest.raises(ConfigError, match="has no routes"):
        await Server(router).check()
    router.add("tls://127.0.0.1:0", Echo())
    server = Server(router)
    with pytest.raises(TLSConfigError, match="needs a certificate"):
        await server.check()
    assert server.state is ServerState.CLOSED


async def test_not_on_a_server_that_serves() -> None:
    router = Router()
    router.add("tcp://127.0.0.1:0", Echo())
    async with Server(router) as server:
        with pytest.raises(ServerStateError):
            await server.check()
        assert server.state is ServerState.SERVING
