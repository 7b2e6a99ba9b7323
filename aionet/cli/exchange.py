"""What ``send`` does once there is a peer: input goes out, what comes is printed, until an end is in sight."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import anyio

from ..datagram import DatagramPort
from ..handler import Connection
from .failures import CommandError

__all__ = ["Patience", "StreamExchange", "Write", "broken", "exchange_datagrams"]

Write = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence, once all is sent, after which a peer is left. ``math.inf``: never.

    Attributes:
        first: Until its first answer.
        more: Since its last one.
    """

    first: float
    more: float


def broken(what: str, exc: Exception) -> CommandError:
    """What anyio says is that it is over; its cause says why."""
    cause = exc.__cause__
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
    hint = "nobody listens there: is the server running, and is the port right?"
    return CommandError(
        f"{what}: {why or 'no reason known'}", hint=hint if isinstance(cause, ConnectionRefusedError) else None
    )


class StreamExchange:
    """One conversation: what is typed goes out, what comes is printed, until the peer closes or is silent.

    Args:
        conn: The peer.
        show: A message of its codec, as it is printed.
        patience: How long to wait for the peer.
        write: Where to print.
        half_close: Whether to tell the peer that all is sent; TLS cannot.
        input_waits: Whether the input may keep us waiting: a terminal or pipe.
        must_answer: Whether silence is an error.
    """

    def __init__(
        self,
        conn: Connection[Any],
        show: Callable[[Any], bytes],
        patience: Patience,
        write: Write,
        *,
        half_close: bool,
        input_waits: bool,
        must_answer: bool = True,
    ) -> None:
        self._conn = conn
        self._show = show
        self._patience = patience
        self._write = write
        self._half_close = half_close
        self._input_waits = input_waits
        self._must_answer = must_answer
        self._reading = anyio.CancelScope()
        self._received = 0
        self._sent_all = False
        self._unsent = False

    async def run(self, messages: AsyncIterator[Any]) -> None:
        """Send all ``messages`` and print all replies.

        Raises:
            CommandError: the connection failed, or nothing was answered in time.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._send, messages)
            await self._receive()
            # The peer sends no more, but may still read: a file goes out to its end. A person who has not typed the
            # rest yet is not waited for.
            if self._input_waits:
                group.cancel_scope.cancel()
        if self._unsent:
            raise CommandError("the peer closed the connection before everything was sent")
        if self._must_answer and self._reading.cancelled_caught and not self._received:
            raise CommandError(f"no answer within {self._patience.first:g} s", hint="--timeout waits longer")

    async def _send(self, messages: AsyncIterator[Any]) -> None:
        try:
            async for message in messages:
                self._unsent = True
                await self._conn.send(message)
                self._unsent = False
            if self._half_close:
                await self._conn.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the receiving side knows why, and may still have something to print
        self._sent_all = True
        self._wait_again()

    async def _receive(self) -> None:
        with self._reading:
            try:
                async for message in self._conn:
                    self._received += 1
                    self._write(self._show(message))
                    if self._sent_all:
                        self._wait_again()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
                raise broken("the connection failed", exc) from exc

    def _wait_again(self) -> None:
        seconds = self._patience.more if self._received else self._patience.first
        self._reading.deadline = anyio.current_time() + seconds


async def exchange_datagrams(
    port: DatagramPort[Any], datagrams: AsyncIterator[bytes], patience: Patience, write: Write
) -> None:
    """Send them all, print replies until there are as many, or until none comes for too long.

    Raises:
        CommandError: a datagram was refused, could not be sent, or got no reply.
    """
    sent = received = 0
    sent_all = False
    reading = anyio.CancelScope()

    def wait_again() -> None:
        reading.deadline = anyio.current_time() + (patience.more if received else patience.first)

    async def receive() -> None:
        nonlocal received
        with reading:
            while not sent_all or received < sent:
                try:
                    data, _ = await port.receive()
                except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
                    raise broken("the datagram was refused", exc) from exc
                received += 1
                write(data)
                if sent_all:
                    wait_again()

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        async for data in datagrams:
            port.send(data)
            sent += 1
            await anyio.lowlevel.checkpoint()
        sent_all = True
        if received < sent:
            wait_again()
        else:
            reading.cancel()
    dropped = port.stats.datagrams_dropped
    if dropped:
        raise CommandError(f"{dropped} of {sent} datagrams could not be sent")
    if received < sent:
        waited = patience.more if received and patience.more < math.inf else patience.first
        raise CommandError(f"{received} of {sent} datagrams answered within {waited:g} s")
