"""One connection to a files server: requests sent ahead of their answers, which come in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio

from aionet import CloseReason, Connection
from aionet.errors import IncompleteFrame, ProtocolError

from ..entries import parse_time
from ..errors import Code, Interrupted, TransferError, make_error
from ..hashing import SHA256, Algorithm, preferred
from ..wire import ErrorReply, Message, Reply, Request
from .pace import Pace

__all__ = ["MAX_PART", "Channel", "number_of", "time_of"]

MAX_PART: Final = 16 * 1024 * 1024
"""Bytes of one part of a listing, or of a manifest, that are believed."""

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
    """One connection to the server. Requests may be posted ahead; their answers are taken in the same order.

    Attributes:
        patience: Seconds without a byte that it lasts.
        hashes: Names of the algorithms that the server has, as it said on this connection: before the next one it may
            have been replaced by another version.
    """

    def __init__(self, conn: Connection[Message], pace: Pace | None = None) -> None:
        self._conn = conn
        self._pace = pace
        self._due = 0  # answers that have not begun, or have another part to come
        self._body = 0  # bytes to come of the part that has begun
        self.patience = 0.0
        self.hashes: tuple[str, ...] = (SHA256.name,)

    def algorithm(self, wanted: Algorithm | None) -> Algorithm:
        """The one to be named in requests on this connection.

        Raises:
            BadRequest: the server does not have what is wanted.
        """
        return preferred(self.hashes, wanted)

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
