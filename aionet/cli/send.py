"""``aionet send``: a netcat that knows codecs."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import click
from click.core import ParameterSource

from ..client import connect, open_datagram
from ..core.loop import run
from ..endpoint import Endpoint
from ..handler import Connection
from . import stdin
from .codecs import GRAMMAR, NamedCodec, over_websocket, read_codec
from .exchange import Patience, StreamExchange, Write, exchange_datagrams
from .failures import CommandError
from .hexdump import Dump, parse_hex
from .listen import listen_datagrams, listen_stream
from .options import debug_option, encode_text, parse_endpoint, timeout_option, tls_options
from .output import Output

__all__ = ["send"]

MAX_DATAGRAM: Final = 65_507
"""Bytes that fit one UDP datagram over IPv4: 65,535 less 20 of IP and 8 of UDP (RFC 768, RFC 791)."""

MAX_HEX_LINE: Final = 1024 * 1024
"""Characters of one line of ``--hex`` input: a largest datagram, or message, at three characters a byte."""


@dataclass(frozen=True, slots=True)
class Input:
    """What is to be sent.

    Attributes:
        text: ``None``: standard input.
        codec: What a message is.
        hexadecimal: Whether it is typed as hexadecimal digits, and dumped as it goes out.
        repeat: How often TEXT is sent.
    """

    text: str | None
    codec: NamedCodec
    hexadecimal: bool
    repeat: int

    @property
    def waits(self) -> bool:
        """Whether more of it may come at any time."""
        return self.text is None and stdin.waits()

    async def messages(self) -> AsyncIterator[Any]:
        """For a stream."""
        by_line = self.codec.framed or self.hexadecimal
        size = MAX_HEX_LINE if self.hexadecimal else self.codec.codec.max_size
        source = stdin.lines(max_size=size) if by_line else stdin.chunks()
        async for data in self._told(source):
            try:
                yield self.codec.read(data)
            except ValueError as exc:
                raise click.UsageError(f"{data[:80]!r} is no message of this codec: {exc}") from exc

    async def datagrams(self) -> AsyncIterator[bytes]:
        """For UDP."""
        async for data in self._told(stdin.lines(max_size=MAX_HEX_LINE if self.hexadecimal else MAX_DATAGRAM)):
            if len(data) > MAX_DATAGRAM:
                raise CommandError(f"a datagram has at most {MAX_DATAGRAM} bytes, not {len(data)}")
            yield data

    async def _told(self, source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """TEXT, or else ``source``, as bytes."""
        dump = Dump(">")
        async for data in source if self.text is None else _times(encode_text(self.text), self.repeat):
            if self.hexadecimal:
                try:
                    data = parse_hex(data)
                except ValueError as exc:
                    raise click.UsageError(f"{data[:80]!r} is no hex: {exc}") from exc
                click.echo(dump(data), err=True, nl=False)
            yield data


@click.command(
    epilog="""\b
Examples:
  python -m aionet send tcp://127.0.0.1:8080 hello
  printf 'one\\ntwo\\n' | python -m aionet send --codec line tcp://127.0.0.1:7000
  python -m aionet send --codec json:length:4 tcp://127.0.0.1:7000 '{"op": "ping"}'
  python -m aionet send udp://127.0.0.1:8080 hello --repeat 3
  python -m aionet send --ca ca.pem --wait 0 tls://localhost:7443 hello
  python -m aionet send 'wss://chat.example.com/chat?ca=ca.pem' ada
  python -m aionet send --hex tcp://127.0.0.1:7000 '00 05 68656c6c6f'
  python -m aionet send unix:///run/app.sock < request.bin
  python -m aionet send --listen tcp://127.0.0.1:7000 > received
  python -m aionet send --listen --keep udp://127.0.0.1:7000 ACK
\b
Exit codes: 0 answered, or closed by the peer, 1 no answer, or the connection failed, 2 usage,
3 not reached, or could not listen, 4 bad endpoint."""
)
@click.argument("endpoint")
@click.argument("text", required=False)
@click.option("--codec", callback=read_codec, default="raw", show_default=True, metavar="CODEC", help=GRAMMAR)
@click.option("--listen", is_flag=True, help="Wait for one peer at ENDPOINT instead of connecting to it.")
@click.option("--keep", is_flag=True, help="With --listen: one peer after another, until Ctrl+C; stdin is not read.")
@click.option("--hex", "hexadecimal", is_flag=True, help="Type hexadecimal digits; see dumps of what goes and comes.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, metavar="N", help="Send TEXT so often.  [default: 1]")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="For more, once all is sent and an answer has come.  [default: --timeout]",
)
@timeout_option(5.0)
@tls_options
@debug_option
@click.pass_context
def send(
    ctx: click.Context,
    endpoint: str,
    text: str | None,
    codec: NamedCodec,
    listen: bool,
    keep: bool,
    hexadecimal: bool,
    repeat: int,
    wait: float | None,
    timeout: float,
    ca: str | None,
    cert: str | None,
    key: str | None,
    insecure: bool,
) -> None:
    """Send TEXT, or stdin, to ENDPOINT; print what comes back, byte for byte.

    With a codec, TEXT or each line of stdin is one message, and each reply is printed as a line. At the end of the
    input the sending side is closed (not with tls, which cannot), and replies are awaited until the peer closes or
    is silent: --timeout for the first, --wait for more. Over udp, TEXT or each line is one datagram, and as many
    replies are awaited; to lines they are printed as lines. Over ws and wss, TEXT or each line is one message, and
    each reply a line.

    With --listen a peer is waited for (no longer than --timeout, if that is given); it gets the input and is
    listened to until it closes or, once it has the input, is silent for --wait, if that is given. Over udp the first
    sender is the peer, TEXT answers each datagram, and Ctrl+C or --wait ends it.

    With --hex, TEXT or each line of stdin is hexadecimal ("68 65 6c"); what goes out is dumped to stderr (>), what
    comes back to stdout (<). On a terminal, control characters that come are shown and not obeyed.
    """
    if keep and not listen:
        raise click.UsageError("--keep is for --listen")
    if repeat > 1 and text is None:
        raise click.UsageError("--repeat repeats TEXT, and there is none")
    place = parse_endpoint(endpoint, ca, cert, key, insecure)
    if place.is_datagram and codec.framed:
        raise click.UsageError("--codec is for streams; a datagram is a message already")
    if place.is_websocket:
        codec = over_websocket(codec, text=not hexadecimal)
    output = Output()
    source = Input(text, codec, hexadecimal, repeat)
    show, write = _shown(source, place, output)
    try:
        if listen:
            given = ctx.get_parameter_source("timeout") is ParameterSource.COMMANDLINE
            patience = timeout if given else math.inf
            run(_listen(place, source, show, write, wait, patience=patience, keep=keep), loop="auto")
        else:
            run(_exchange(place, source, show, write, timeout, timeout if wait is None else wait), loop="auto")
    finally:
        output.finish()


def _shown(source: Input, place: Endpoint, output: Output) -> tuple[Callable[[Any], bytes], Write]:
    """How a message is shown, and where."""
    if source.hexadecimal:
        dump = Dump("<")
        end = b"\n" if source.codec.framed else b""
        show = source.codec.show
        return lambda message: show(message).removesuffix(end), lambda data: output(dump(data).encode())
    if place.is_datagram and source.text is None:
        return source.codec.show, lambda data: output(data + b"\n")
    return source.codec.show, output


async def _times(data: bytes, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield data


async def _nothing() -> AsyncIterator[Any]:
    return
    yield


async def _exchange(
    endpoint: Endpoint, source: Input, show: Callable[[Any], bytes], write: Write, timeout: float, wait: float
) -> None:
    patience = Patience(first=timeout, more=wait)
    if endpoint.is_datagram:
        async with open_datagram(endpoint, timeout=timeout) as port:
            await exchange_datagrams(port, source.datagrams(), patience, write)
        return
    async with connect(endpoint, codec=source.codec.codec, timeout=timeout) as conn:
        half_close = not endpoint.is_tls
        exchange = StreamExchange(conn, show, patience, write, half_close=half_close, input_waits=source.waits)
        await exchange.run(source.messages())


async def _listen(
    endpoint: Endpoint,
    source: Input,
    show: Callable[[Any], bytes],
    write: Write,
    wait: float | None,
    *,
    patience: float,
    keep: bool,
) -> None:
    speaks = source.text is not None or not keep
    silence = math.inf if wait is None else wait

    async def exchange(conn: Connection[Any]) -> None:
        # Not told that all is sent: many a peer would leave then, and we are here to listen.
        one = StreamExchange(
            conn,
            show,
            Patience(first=silence, more=silence),
            write,
            half_close=False,
            input_waits=source.waits,
            must_answer=False,
        )
        await one.run(source.messages() if speaks else _nothing())

    if not endpoint.is_datagram:
        await listen_stream(endpoint, source.codec.codec, exchange, keep=keep, patience=patience)
        return
    answer = [] if source.text is None else [data async for data in source.datagrams()]
    typed = source.datagrams() if source.text is None and not keep else _nothing()
    await listen_datagrams(endpoint, typed, write, answer=answer, wait=silence, keep=keep, patience=patience)
