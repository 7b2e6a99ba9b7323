"""``send --listen``: wait for a peer instead of going to one, and then do the same. What ``nc -l`` is."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import anyio
import click

from ..client.connecting import CLIENT_TIMEOUTS
from ..codec import Codec
from ..datagram import DatagramPort
from ..endpoint import Endpoint
from ..errors import AionetError
from ..events import Address
from ..handler import Connection
from ..limits import Limits
from ..routing import Router
from ..server import Server
from .describe import address_text
from .exchange import Write
from .failures import CommandError, innermost

__all__ = ["Listening", "listen_datagrams", "listen_stream"]

GOODBYE: Final = 5.0
"""Seconds for a peer to take our last words."""


class Listening:
    """Waits for somebody to come, and for an end.

    Args:
        patience: Seconds until the first peer must have come; ``math.inf``: for ever.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._scope = anyio.CancelScope()
        self._somebody = False
        self._done = anyio.Event()
        self._failure: BaseException | None = None

    def somebody_came(self, seconds: float = math.inf) -> None:
        """There is a peer; it may be silent for so long."""
        self._somebody = True
        self._scope.deadline = anyio.current_time() + seconds

    def finish(self, failure: BaseException | None = None) -> None:
        """It is over; ``failure`` says why, if not as it should be."""
        self._failure = self._failure or failure
        self._done.set()

    async def serve(self, router: Router) -> None:
        """Listen, say where, and wait for the end.

        Raises:
            CommandError: nobody came in time; or whatever :meth:`finish` was told.
            BindError: the system refused.
        """
        server = Server(
            router, limits=Limits(max_connections=1), timeouts=CLIENT_TIMEOUTS, drain_timeout=GOODBYE, log=False
        )
        await server.start()
        try:
            for place in server.addresses:
                _say(f"listening on {place.location}")
            self._scope.deadline = anyio.current_time() + self._patience if not self._somebody else math.inf
            with self._scope:
                await self._done.wait()
            if self._failure is None and not self._somebody:
                raise CommandError(f"nobody came within {self._patience:g} s", hint="--timeout waits longer")
            await server.drain()
        finally:
            await server.abort()
        if self._failure is not None:
            raise self._failure


async def listen_stream(
    endpoint: Endpoint,
    codec: Codec[Any],
    exchange: Callable[[Connection[Any]], Awaitable[None]],
    *,
    keep: bool,
    patience: float,
) -> None:
    """Take one peer at a time to ``exchange``; others wait in the kernel's queue.

    Args:
        endpoint: ``tcp``, ``tls`` (with its certificate) or ``unix``.
        codec: Of the connections.
        exchange: What to do with one.
        keep: Whether another one follows; what one does wrong is then said, and the next is taken.
        patience: Seconds until the first must have come.

    Raises:
        AionetError: nobody came, the system refused, or (without ``keep``) whatever ``exchange`` raised.
    """
    listening = Listening(patience)
    taken = False

    async def handler(conn: Connection[Any]) -> None:
        nonlocal taken
        if taken and not keep:
            return
        taken = True
        listening.somebody_came()
        _say(f"connected: {address_text(conn.peername)}" if conn.peername else "connected")
        failure: BaseException | None = None
        try:
            await exchange(conn)
        except Exception as exc:
            failure = innermost(exc)
        if not keep:
            listening.finish(failure)
        elif isinstance(failure, AionetError):
            _say(f"error: {failure}")
        elif failure is not None:
            listening.finish(failure)

    router = Router()
    router.add(endpoint, handler, codec=codec)
    await listening.serve(router)


async def listen_datagrams(
    endpoint: Endpoint,
    datagrams: AsyncIterator[bytes],
    write: Write,
    *,
    answer: list[bytes],
    wait: float,
    keep: bool,
    patience: float,
) -> None:
    """Print what the first peer sends, and send it ``datagrams``.

    Args:
        endpoint: ``udp``.
        datagrams: Sent to the first peer, once it has been heard.
        write: Where to print.
        answer: Sent for each datagram that comes.
        wait: Seconds of silence after the last datagram that end it.
        keep: Whether everybody is heard.
        patience: Seconds until the first must have come.

    Raises:
        AionetError: nobody came, or the system refused.
    """
    listening = Listening(patience)
    first: Address = None
    heard = anyio.Event()
    speaker: list[DatagramPort[Any]] = []

    async def handler(port: DatagramPort[Any]) -> None:
        nonlocal first
        try:
            async for data, peer in port:
                if first is None:
                    first = peer
                    speaker.append(port)
                    heard.set()
                    _say(f"first datagram from {address_text(peer)}")
                if peer != first and not keep:
                    continue
                listening.somebody_came(wait)
                write(data)
                for reply in answer:
                    port.send(reply, peer)
        except Exception as exc:
            listening.finish(innermost(exc))

    async def speak() -> None:
        await heard.wait()
        async for data in datagrams:
            speaker[0].send(data, first)
            await anyio.lowlevel.checkpoint()

    router = Router()
    router.add(endpoint, handler)
    async with anyio.create_task_group() as group:
        group.start_soon(speak)
        await listening.serve(router)
        group.cancel_scope.cancel()


def _say(line: str) -> None:
    with suppress(OSError):
        click.echo(line, err=True)
