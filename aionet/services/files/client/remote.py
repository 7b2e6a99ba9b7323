"""A files server as its client sees it: connections that are made, kept, given up and made again.

:class:`Channel` is one connection that has said who it is; requests may be sent ahead of their answers, which come in
order. :class:`Remote` has as many of them as are wanted at once, and knows how often a failure is borne.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio

from aionet import CloseReason, Connection, Endpoint, Limits, Timeouts, connect
from aionet.errors import ConfigError, ConnectError, IncompleteFrame, ProtocolError

from ..entries import parse_time
from ..errors import Code, Interrupted, TransferError, make_error
from ..wire import MAX_HEADER, VERSION, ErrorReply, Message, Reply, ReplyCodec, Request
from .pace import Pace
from .retry import RETRIES, Backoff

__all__ = ["MAX_PART", "TIMEOUT", "Channel", "Remote", "Source", "as_remote", "number_of", "time_of"]

T = TypeVar("T")

TIMEOUT: Final = 30.0
"""Seconds to connect, and without a byte either way, after which a connection is given up."""

MAX_PART: Final = 16 * 1024 * 1024
"""Bytes of one part of a listing, or of a manifest, that are believed."""

_LARGEST_CHUNK: Final = 1024**3
"""Bytes: one damaged byte costs a whole chunk, and as many zeros are held to tell a hole."""

_SLOWEST_HASH: Final = 20_000_000
"""Bytes a second. A server that hashes a file, or brings it to its disk, may be silent for as long as that takes."""

_LIMITS: Final = Limits(
    max_inbound=1024 * 1024,  # while a thread writes what came before
    high_water=2 * 1024 * 1024,  # while a thread reads what comes next
    low_water=1024 * 1024,
    max_outbound=16 * 1024 * 1024,  # requests are posted without waiting, and bounded by whoever posts
)


_CERTIFICATE_ALERTS: Final = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    }
)
"""OpenSSL's words for what a server says (RFC 8446, 6.2) of a client whose certificate it misses, or does not take."""

_SILENCE: Final = frozenset(
    {CloseReason.IDLE_TIMEOUT.value, CloseReason.MESSAGE_TIMEOUT.value, CloseReason.SLOW_CONSUMER.value}
)
"""How the core calls it when a deadline of the connection has passed."""


class Channel:
    """One connection to the server. Requests may be posted ahead; their answers are taken in the same order."""

    def __init__(self, conn: Connection[Message], pace: Pace | None = None) -> None:
        self._conn = conn
        self._pace = pace
        self._due = 0  # answers that have not begun, or have another part to come
        self._body = 0  # bytes to come of the part that has begun
        self.patience = 0.0

    def post(self, request: Request) -> None:
        """Send a request, and leave its answer for later. Nothing waits here: bound what is under way.

        Raises:
            EncodeError: no request can carry this name.
        """
        self._conn.write(request)
        self._due += 1

    async def send_body(self, data: bytes) -> None:
        """Send a piece of the body that the last request announced; waits until the server keeps up.

        Raises:
            Interrupted: the connection broke.
        """
        if self._pace is not None:
            await self._pace.pass_on(len(data))
        try:
            await self._conn.send(data)
        except anyio.BrokenResourceError as exc:
            raise self._interrupted(exc) from exc

    async def reply(self) -> Reply:
        """The next answer.

        Raises:
            TransferError: the server refused (``remote``), broke the grammar, or the connection broke.
        """
        message = await self._receive()
        if isinstance(message, ErrorReply):
            self._due -= 1
            raise make_error(message.code, _plain(message), remote=True)
        if not isinstance(message, Reply):
            raise make_error(Code.BAD_REPLY, "the server sent a body that no reply announced")
        self._body = message.size
        if not message.more:
            self._due -= 1
        return message

    async def outcome(self) -> Reply | TransferError:
        """As :meth:`reply`, but a refusal is a value: so that what was posted behind it can be taken as well."""
        try:
            return await self.reply()
        except TransferError as exc:
            if not exc.remote:
                raise
            return exc

    async def settle(self) -> Reply | TransferError:
        """As :meth:`last`, but a refusal is a value."""
        try:
            return await self.last()
        except TransferError as exc:
            if not exc.remote:
                raise
            return exc

    async def ask(self, request: Request) -> Reply:
        """Send a request and take its answer: the last part of it, without its body.

        Raises:
            EncodeError, TransferError: as :meth:`post` and :meth:`reply`.
        """
        self.post(request)
        return await self.last()

    async def piece(self) -> bytes:
        """The next bytes of a body that is not complete."""
        chunk = await self._receive()
        assert isinstance(chunk, bytes)  # the codec gives nothing else until the body is complete
        self._body -= len(chunk)
        if self._pace is not None:
            await self._pace.pass_on(len(chunk))
        return chunk

    async def body(self, size: int, longest: int = MAX_PART) -> bytes:
        """A whole body.

        Raises:
            TransferError: it is longer than ``longest``; or as :meth:`reply`.
        """
        if size > longest:
            raise make_error(Code.TOO_LARGE, f"the server announced {size} bytes; at most {longest} are taken here")
        if not size:
            return b""
        first = await self.piece()
        if len(first) == size:
            return first
        pieces, received = [first], len(first)
        while received < size:
            pieces.append(await self.piece())
            received += len(pieces[-1])
        return b"".join(pieces)

    async def skip(self, size: int) -> None:
        """Read past a body."""
        while size:
            size -= len(await self.piece())

    async def last(self) -> Reply:
        """The last part of the next answer; what is in the others, and all bodies, is read past."""
        while True:
            reply = await self.reply()
            await self.skip(reply.size)
            if not reply.more:
                return reply

    async def parts(self) -> AsyncIterator[tuple[Reply, bytes]]:
        """The next answer, part by part, each with its whole body."""
        while True:
            reply = await self.reply()
            yield reply, await self.body(reply.size)
            if not reply.more:
                return

    async def _receive(self) -> Message:
        try:
            return await self._conn.receive()
        except anyio.EndOfStream as exc:
            raise Interrupted(
                "the server closed the connection before it had answered", hint="a server that speaks TLS is tls://..."
            ) from exc
        except anyio.BrokenResourceError as exc:
            raise self._interrupted(exc) from exc

    def _interrupted(self, exc: anyio.BrokenResourceError) -> TransferError:
        cause = exc.__cause__
        if isinstance(cause, IncompleteFrame):
            return Interrupted("the connection ended in the middle of an answer")
        if isinstance(cause, ProtocolError):
            return make_error(Code.BAD_REPLY, f"this is no file service, or a broken one: {cause}")
        if getattr(cause, "reason", None) in _CERTIFICATE_ALERTS:  # TLS 1.3 says so behind the handshake
            return make_error(
                Code.UNAUTHORIZED,
                "the server wants a certificate of yours, of an authority that it trusts",
                hint="?cert=FILE&key=FILE of the endpoint; of a command --cert and --key",
            )
        if str(exc) in _SILENCE:
            return Interrupted(f"nothing passed for {self.patience:g} s", hint="a longer timeout waits longer")
        return Interrupted(f"the connection broke: {cause or exc}")

    @property
    def settled(self) -> bool:
        """Whether it is open, and every answer has been taken: it can be asked something else."""
        return not self._conn.closing and not self._due and not self._body

    def abort(self) -> None:
        """End it at once."""
        self._conn.abort()

    async def aclose(self) -> None:
        """End it."""
        await self._conn.aclose()


class Remote:
    """A files server: what to connect to, and how. An asynchronous context manager, which closes its connections.

    Args:
        endpoint: ``tcp://``, ``tls://`` or ``unix://``.
        token: Said to the server first, if there is one. It is in no error message and no ``repr``.
        timeout: Seconds to connect, and without a byte either way.
        retries: Failures in a row, without progress, after which a broken connection is given up for good.
        rate: Bytes a second of all connections together, of what is received and of what is sent; ``None``: no limit.
        ssl_context: An ``ssl.SSLContext`` for a ``tls://`` endpoint, instead of one made from its options.

    Raises:
        EndpointError: the endpoint does not parse.
        ConfigError: a token that no request can carry, a rate that is none.
    """

    def __init__(
        self,
        endpoint: Endpoint | str,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        rate: float | None = None,
        ssl_context: Any = None,
    ) -> None:
        self.endpoint = Endpoint.parse(endpoint)
        if token is not None and not _is_sayable(token):
            raise ConfigError("the token is empty or too long, or holds what is not printable ASCII: it cannot be said")
        self.timeout = timeout
        self.retries = retries
        self.rate = rate
        self.writable = False
        self.chunk = 0
        self._token = token
        self._ssl_context = ssl_context
        self._pace = None if rate is None else Pace(rate)
        self._reached = False
        self._idle: list[Channel] = []

    def __repr__(self) -> str:
        return f"Remote({str(self.endpoint)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        idle, self._idle = self._idle, []
        for channel in idle:
            await channel.aclose()

    def patience(self, size: int) -> float:
        """Seconds for which a server may be silent that has a file of ``size`` bytes to hash or to sync."""
        return self.timeout + size / _SLOWEST_HASH

    @asynccontextmanager
    async def channel(self, patience: float = 0.0) -> AsyncIterator[Channel]:
        """A connection for as long as the block runs. If no answer is outstanding then, it is kept for the next one.

        Args:
            patience: Seconds without a byte that it lasts; at least those of the ``timeout``.

        Raises:
            ConnectError: the server could not be reached.
            TransferError: it is none, or does not take the token.
        """
        channel = self._take(max(patience, self.timeout)) or await self._open(max(patience, self.timeout))
        try:
            yield channel
        finally:
            if channel.settled:
                self._idle.append(channel)
            else:
                channel.abort()

    def _take(self, patience: float) -> Channel | None:
        self._idle = [channel for channel in self._idle if channel.settled]
        for channel in reversed(self._idle):
            if channel.patience >= patience:
                self._idle.remove(channel)
                return channel
        return None

    async def _open(self, patience: float) -> Channel:
        silence = patience if self.rate is None else patience + 4 * 256 * 1024 / self.rate
        conn = await connect(
            self.endpoint,
            codec=ReplyCodec(),
            timeout=self.timeout,
            limits=_LIMITS,
            timeouts=Timeouts(first_message=silence, message=float("inf"), idle=silence, send=silence),
            ssl_context=self._ssl_context,
        )
        channel = Channel(conn, self._pace)
        channel.patience = patience
        try:
            await self._greet(channel)
        except BaseException:
            conn.abort()
            raise
        self._reached = True
        return channel

    async def _greet(self, channel: Channel) -> None:
        channel.post(Request("HELLO"))
        if self._token is not None:
            channel.post(Request("AUTH", self._token))
        reply = await channel.last()
        if reply.facts.get("protocol") != "aionet-files" or reply.facts.get("version") != VERSION:
            raise make_error(Code.BAD_REPLY, f"{self.endpoint.location} speaks another protocol, or another version")
        self.writable = reply.facts.get("write") == "1"
        self.chunk = number_of(reply, "chunk")
        if not 1 <= self.chunk <= _LARGEST_CHUNK or reply.facts.get("hash") != "sha256":
            where = self.endpoint.location
            raise make_error(Code.BAD_REPLY, f"{where} hashes files in another way than SHA-256, or in other chunks")
        if self._token is not None:
            await channel.reply()
        elif reply.facts.get("auth", "none") != "none":
            raise make_error(
                Code.UNAUTHORIZED,
                f"{self.endpoint.location} wants a token",
                hint="Remote(token=...); of a command --token, or AIONET_TOKEN",
            )

    async def require_writable(self, *, patience: float = 0.0) -> None:
        """Ask whether files may be sent at all.

        Raises:
            TransferError: FORBIDDEN; or as :meth:`call`.
        """
        if not self._reached:
            await self.ask(Request("HELLO"), patience=patience)
        if not self.writable:
            raise make_error(
                Code.FORBIDDEN,
                f"{self.endpoint.location} takes no files",
                hint="it has to be served writable",
                remote=True,
            )

    def backoff(self) -> Backoff:
        """How often something may fail now."""
        return Backoff(self.retries)

    async def pause(self, backoff: Backoff, exc: Exception) -> None:
        """Wait before the next attempt. A server that was never reached is not waited for.

        Raises:
            Exception: ``exc``, if there shall be none.
        """
        if isinstance(exc, ConnectError) and not self._reached:
            raise exc
        await backoff.pause(exc)

    async def call(self, operation: Callable[[Channel], Awaitable[T]], *, patience: float = 0.0) -> T:
        """``await operation(channel)``, again on another connection if one breaks, or the server is busy.

        Raises:
            ConnectError, TransferError, EncodeError: the last failure.
        """
        backoff = self.backoff()
        while True:
            try:
                async with self.channel(patience) as channel:
                    return await operation(channel)
            except (ConnectError, TransferError) as exc:
                await self.pause(backoff, exc)

    async def ask(self, request: Request, *, patience: float = 0.0) -> Reply:
        """The answer to a request that can be repeated: its last part, without its body."""
        return await self.call(lambda channel: channel.ask(request), patience=patience)


Source = Remote | Endpoint | str
"""A server that is used already, or where to connect to."""


@asynccontextmanager
async def as_remote(source: Source) -> AsyncIterator[Remote]:
    """The caller's own server, which stays open, or one for the time of the block."""
    if isinstance(source, Remote):
        yield source
    else:
        async with Remote(source) as remote:
            yield remote


def time_of(reply: Reply) -> int:
    """The time in an answer, nanoseconds since the epoch; 0 if there is none."""
    try:
        return parse_time(reply.facts.get("mtime", "0"))
    except ValueError:
        return 0


def number_of(reply: Reply, key: str) -> int:
    """A fact that has to be there.

    Raises:
        TransferError: BAD_REPLY.
    """
    text = reply.facts.get(key, "")
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise make_error(Code.BAD_REPLY, f"the server's answer lacks {key}, or it is no number")
    return int(text)


def _plain(message: ErrorReply) -> str:
    """The server's words are shown on terminals: escaped where they are not plain text."""
    words = message.reason or message.code
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in words[:500])


def _is_sayable(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and len(token) <= MAX_HEADER // 2
