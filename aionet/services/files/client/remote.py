"""A files server as its client sees it: connections that are made, kept, given up and made again.

:class:`Remote` has as many of them as are wanted at once, and knows how often a failure is borne.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aionet import Endpoint, Limits, Timeouts, connect
from aionet.errors import ConfigError, ConnectError

from ..errors import Code, TransferError, make_error
from ..hashing import SHA256, Algorithm
from ..wire import MAX_HEADER, VERSION, Reply, ReplyCodec, Request
from .channel import Channel, number_of
from .pace import Pace
from .retry import RETRIES, Backoff

__all__ = ["TIMEOUT", "Remote", "Source", "as_remote"]

T = TypeVar("T")

TIMEOUT: Final = 30.0
"""Seconds to connect, and without a byte either way, after which a connection is given up."""

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
        if not 1 <= self.chunk <= _LARGEST_CHUNK or reply.facts.get("hash") != SHA256.name:
            where = self.endpoint.location
            raise make_error(Code.BAD_REPLY, f"{where} hashes files in another way than SHA-256, or in other chunks")
        channel.hashes = tuple(reply.facts.get("hashes", SHA256.name).split(","))  # servers before BLAKE3 say none
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

    async def agree(self, wanted: Algorithm | None, *, patience: float = 0.0) -> Algorithm:
        """The algorithm that both sides have: ``wanted``, or the preferred one.

        A connection that is made later may know another: requests name that of their :meth:`Channel.algorithm`.

        Raises:
            BadRequest: the server does not have what is wanted.
            TransferError, ConnectError: as :meth:`call`.
        """

        async def once(channel: Channel) -> Algorithm:
            return channel.algorithm(wanted)

        return await self.call(once, patience=patience)

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


def _is_sayable(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and len(token) <= MAX_HEADER // 2
