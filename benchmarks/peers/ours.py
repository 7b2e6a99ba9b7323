"""What our own servers under measurement have in common: a server with every default limit on, and where it listens."""

from __future__ import annotations

import argparse
import asyncio

from aionet import Endpoint, Limits, Router, Server
from benchmarks.peers.common import announce

__all__ = ["stream_endpoint", "until_ended"]


def stream_endpoint(arguments: argparse.Namespace, **more: bool) -> Endpoint:
    """TCP, or TLS where a certificate is given, on the port asked for."""
    secrets = {"cert": arguments.cert, "key": arguments.key} if arguments.cert else {}
    return Endpoint("tls" if secrets else "tcp", "127.0.0.1", arguments.port, options={**secrets, **more})


async def until_ended(router: Router, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
    """Serve, and tell the ports in the order of the routes."""
    async with Server(router, limits=limits) as server:
        announce(*(address.port for address in server.addresses))
        await asyncio.Event().wait()
