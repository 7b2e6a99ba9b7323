"""``aionet send``: a netcat that knows codecs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import anyio
import click

from ..client import connect, open_datagram
from ..core.loop import run
from ..endpoint import Endpoint
from ..handler import Connection, DatagramPort
from . import stdin
from .codecs import GRAMMAR, NamedCodec, read_codec
from .failures import CommandError
from .options import debug_option, encode_text, timeout_option

__all__ = ["send"]

MAX_DATAGRAM: Final = 65_507
"""Bytes that fit one UDP datagram over IPv4: 65,535 less 20 of IP and 8 of UDP (RFC 768, RFC 791)."""

Write = Callable[[bytes], None]


@click.command(
    epilog="""\b
Examples:
  python -m aionet send tcp://127.0.0.1:8080 hello
  printf 'one\\ntwo\\n' | python -m aionet send --codec line tcp://127.0.0.1:7000
  python -m aionet send --codec json:length:4 tcp://127.0.0.1:7000 '{"op": "ping"}'
  python -m aionet send udp://127.0.0.1:8080 hello
  python -m aionet send --ca ca.pem tls://localhost:7443 hello
  python -m aionet send unix:///run/app.sock < request.bin
\b
Exit codes: 0 answered, or closed by the peer, 1 no answer, or the connection failed, 2 usage,
3 not reached, 4 bad endpoint."""
)
@click.argument("endpoint")
@click.argument("text", required=False)
@click.option("--codec", callback=read_codec, default="raw", show_default=True, metavar="CODEC", help=GRAMMAR)
@timeout_option(5.0)
@click.option("--ca", metavar="FILE", help="tls: PEM file of the CAs to trust.  [default: the system's]")
@click.option("--cert", metavar="FILE", help="tls: PEM file of the certificate to show.")
@click.option("--key", metavar="FILE", help="tls: PEM file of its key.  [default: in --cert]")
@click.option("--insecure", is_flag=True, help="tls: do not check the server's certificate.")
@debug_option
def send(
    endpoint: str,
    text: str | None,
    codec: NamedCodec,
    timeout: float,
    ca: str | None,
    cert: str | None,
    key: str | None,
    insecure: bool,
) -> None:
    """Send TEXT, or stdin, to ENDPOINT; print what comes back, byte for byte.

    With a codec, TEXT or each line of stdin is one message, and each reply is printed as a line. At the end of the
    input the sending side is closed (not with tls, which cannot), and replies are awaited until the peer closes or
    is silent for --timeout. Over udp, TEXT or each line is one datagram, and as many replies are awaited; to lines
    they are printed as lines.
    """
    wanted: dict[str, str | bool | None] = {"ca": ca, "cert": cert, "key": key, "verify": False if insecure else None}
    place = Endpoint.parse(endpoint).with_options(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    write = Output()
    if place.is_datagram:
        if codec.framed:
            raise click.UsageError("--codec is for streams; a datagram is a message already")
        end = b"\n" if text is None else b""
        run(_exchange_datagrams(place, _datagrams(text), timeout, lambda data: write(data + end)), loop="auto")
    else:
        waits = text is None and stdin.waits()
        run(_exchange(place, codec, _messages(codec, text), timeout, write, waits=waits), loop="auto")
    write.finish()


class Output:
    """Standard output, byte for byte. A pipe nobody reads holds up the loop: there is nothing else to be done."""

    def __init__(self) -> None:
        self._last = b"\n"

    def __call__(self, data: bytes) -> None:
        if data:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            self._last = data[-1:]

    def finish(self) -> None:
        """On a terminal, end the last line, so that the prompt does not follow it."""
        if self._last != b"\n" and sys.stdout.isatty():
            self(b"\n")


async def _messages(codec: NamedCodec, text: str | None) -> AsyncIterator[Any]:
    if not codec.framed:
        source = stdin.chunks() if text is None else _once(encode_text(text))
    else:
        source = stdin.lines(max_size=codec.codec.max_size) if text is None else _once(encode_text(text))
    async for data in source:
        try:
            yield codec.read(data)
        except ValueError as exc:
            raise click.UsageError(f"{data[:80]!r} is no message of this codec: {exc}") from exc


async def _datagrams(text: str | None) -> AsyncIterator[bytes]:
    source = stdin.lines(max_size=MAX_DATAGRAM) if text is None else _once(encode_text(text))
    async for data in source:
        if len(data) > MAX_DATAGRAM:
            raise CommandError(f"a datagram has at most {MAX_DATAGRAM} bytes, not {len(data)}")
        yield data


def _broken(what: str, exc: Exception) -> CommandError:
    """What anyio says is that it is over; its cause says why."""
    cause = exc.__cause__
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
    hint = "nobody listens there: is the server running, and is the port right?"
    return CommandError(
        f"{what}: {why or 'no reason known'}", hint=hint if isinstance(cause, ConnectionRefusedError) else None
    )


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _exchange(
    endpoint: Endpoint, codec: NamedCodec, messages: AsyncIterator[Any], patience: float, write: Write, *, waits: bool
) -> None:
    async with connect(endpoint, codec=codec.codec, timeout=patience) as conn:
        half_close = endpoint.scheme != "tls"
        exchange = StreamExchange(conn, codec.show, patience, write, half_close=half_close, input_waits=waits)
        await exchange.run(messages)


class StreamExchange:
    """One conversation: what is typed goes out, what comes is printed, until the peer closes or is silent.

    Args:
        conn: The peer.
        show: A message of its codec, as it is printed.
        patience: Seconds to wait for the peer, once all is sent.
        write: Where to print.
        half_close: Whether to tell the peer that all is sent; TLS cannot.
        input_waits: Whether the input may keep us waiting: a terminal or pipe.
    """

    def __init__(
        self,
        conn: Connection[Any],
        show: Callable[[Any], bytes],
        patience: float,
        write: Write,
        *,
        half_close: bool,
        input_waits: bool,
    ) -> None:
        self._conn = conn
        self._show = show
        self._patience = patience
        self._write = write
        self._half_close = half_close
        self._input_waits = input_waits
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
        if self._reading.cancelled_caught and not self._received:
            raise CommandError(f"no answer within {self._patience:g} s", hint="--timeout waits longer")

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
                raise _broken("the connection failed", exc) from exc

    def _wait_again(self) -> None:
        self._reading.deadline = anyio.current_time() + self._patience


async def _exchange_datagrams(
    endpoint: Endpoint, datagrams: AsyncIterator[bytes], patience: float, write: Write
) -> None:
    async with open_datagram(endpoint, timeout=patience) as port:
        sent, received = await _count_replies(port, datagrams, patience, write)
        dropped = port.stats.datagrams_dropped
    if dropped:
        raise CommandError(f"{dropped} of {sent} datagrams could not be sent")
    if received < sent:
        raise CommandError(f"{received} of {sent} datagrams answered within {patience:g} s")


async def _count_replies(
    port: DatagramPort[Any], datagrams: AsyncIterator[bytes], patience: float, write: Write
) -> tuple[int, int]:
    """Send them all, print replies until there are as many, or until none comes for ``patience`` seconds."""
    sent = received = 0
    sent_all = False
    reading = anyio.CancelScope()

    async def receive() -> None:
        nonlocal received
        with reading:
            while not sent_all or received < sent:
                try:
                    data, _ = await port.receive()
                except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
                    raise _broken("the datagram was refused", exc) from exc
                received += 1
                write(data)
                if sent_all:
                    reading.deadline = anyio.current_time() + patience

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        async for data in datagrams:
            port.send(data)
            sent += 1
            await anyio.lowlevel.checkpoint()
        sent_all = True
        if received < sent:
            reading.deadline = anyio.current_time() + patience
        else:
            reading.cancel()
    return sent, received
