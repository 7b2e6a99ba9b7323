"""One request and its answer: heads, errors in the form that the client can read, and what is left of a body."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from aionet import Connection
from aionet.events import TransferFinished

from ..errors import Code, TransferError
from ..rules import ANYBODY
from .codec import Message, Request
from .heads import format_head
from .page import PAGE_FIELDS, TEXT_FIELDS, render_error
from .target import Target

__all__ = ["STATUS", "Exchange", "explain_fault", "status_of_code"]

SKIPPED: Final = 1024 * 1024
"""Bytes of an unwanted body that are read past, so that the connection can go on; behind more it is closed."""

_AUDITED: Final = frozenset({"GET", "PUT", "DELETE", "MKCOL"})

STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {
        Code.BAD_REQUEST: 400,
        Code.BAD_RANGE: 409,
        Code.REFUSED_NAME: 403,
        Code.NOT_FOUND: 404,
        Code.NOT_A_FILE: 403,
        Code.NOT_A_DIRECTORY: 404,
        Code.EXISTS: 409,
        Code.NOT_EMPTY: 409,
        Code.UNAUTHORIZED: 401,
        Code.FORBIDDEN: 403,
        Code.PERMISSION: 403,
        Code.TOO_LARGE: 413,
        Code.CHANGED: 503,
        Code.CONFLICT: 412,
        Code.MISMATCH: 422,
        Code.BUSY: 503,
        Code.QUOTA: 507,
        Code.NO_SPACE: 507,
    }
)
"""Statuses by the code of the file service; those that are the server's own trouble are 500."""


def status_of_code(code: str) -> int:
    """The status for a code of the file service; 500 for those that are the server's own trouble."""
    return STATUS.get(code, 500)


class Exchange:
    """One request on its connection, to be answered once.

    Attributes:
        conn: Where it came from.
        request: Its head.
        target: What it names.
        user: Who has proven to be asking.
        moved: Bytes of a file that were sent, or received.
        outcome: ``OK``, or a word for what went wrong; until there is an answer, ``INTERRUPTED``.
    """

    __slots__ = ("_close", "_started", "_unread", "conn", "moved", "outcome", "request", "target", "user")

    def __init__(self, conn: Connection[Message], request: Request, target: Target) -> None:
        self.conn = conn
        self.request = request
        self.target = target
        self._unread = request.has_body
        self._close = not request.keep_alive
        self._started = time.monotonic()
        self.user = ANYBODY
        self.moved = 0
        self.outcome: str = Code.INTERRUPTED

    @property
    def head_only(self) -> bool:
        """Whether the answer goes without its body."""
        return self.request.method == "HEAD"

    async def head(self, status: int, fields: str) -> bytes:
        """The head of the answer. What was not read of the request's body is read past first, if it is not too much."""
        if self._unread and not self._close:
            self._close = not await self._skip_body()
        return format_head(self.request, status, fields, close=self._close)

    def done(self) -> None:
        """The answer is on its way: the connection goes on, or closes."""
        if self.outcome is Code.INTERRUPTED:
            self.outcome = "OK"
        if self._close:
            self.conn.close()

    async def answer(self, status: int, fields: str = "", body: bytes = b"") -> None:
        """Send a whole answer."""
        if status not in (204, 304):
            fields = f"{fields}Content-Length: {len(body)}\r\n"
        head = await self.head(status, fields)
        await self.conn.send(head if self.head_only else head + body)
        self.done()

    async def refuse(self, status: int, reason: str, fields: str = "", *, hint: str | None = None) -> None:
        """Say what is wrong: as a page if the client asks for HTML, in plain text otherwise."""
        if self.outcome is Code.INTERRUPTED:
            self.outcome = HTTPStatus(status).name
        if "text/html" in self.request.fields.get("accept", ""):
            fields += f"{PAGE_FIELDS}Content-Type: text/html; charset=utf-8\r\n"
            await self.answer(status, fields, render_error(status, HTTPStatus(status).phrase, reason, hint))
        else:
            body = "".join(f"{line}\n" for line in (reason, hint) if line)
            await self.answer(status, f"{fields}{TEXT_FIELDS}", body.encode())

    async def fail(self, exc: TransferError) -> None:
        """:meth:`refuse`, for what went wrong with a transfer."""
        self.outcome = exc.code
        status = status_of_code(exc.code)
        await self.refuse(status, exc.message, "Retry-After: 1\r\n" if status == 503 else "", hint=exc.hint)

    def report(self) -> None:
        """Tell whoever watches of a transfer, or a change, that is done or has come to nothing."""
        method, target = self.request.method, self.target
        conn, seconds = self.conn, time.monotonic() - self._started
        if conn.wants(TransferFinished) and method in _AUDITED and not (method == "GET" and target.is_directory):
            conn.emit(
                TransferFinished(
                    conn.route, conn.peername, self.user, method, target.name, self.moved, seconds, self.outcome
                )
            )

    async def want_body(self) -> None:
        """Let a client send that waits for leave to do so (RFC 9110, 10.1.1)."""
        if self.request.minor and self.request.fields.get("expect", "").lower() == "100-continue":
            await self.conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def piece(self) -> bytes:
        """The next piece of the body; ``b""`` at its end.

        Raises:
            anyio.EndOfStream, anyio.BrokenResourceError: the connection ended, or its grammar broke, before.
        """
        if not self._unread:
            return b""
        message = await self.conn.receive()
        assert isinstance(message, bytes)
        self._unread = bool(message)
        return message

    async def _skip_body(self) -> bool:
        """Read past what is left of a body; ``False`` if that is too much, or may never come."""
        if not self._unread:
            return True
        length = self.request.length
        if "expect" in self.request.fields or (length is not None and length > SKIPPED):
            return False
        skipped = 0
        while self._unread and skipped <= SKIPPED:
            skipped += len(await self.piece())
        return not self._unread


def explain_fault(status: int, reason: str) -> bytes:
    """A fault of the grammar in words, for a peer with whom nothing more can be said."""
    body = f"{reason}\n".encode()
    return format_head(_LAST, status, f"{TEXT_FIELDS}Content-Length: {len(body)}\r\n") + body


_LAST: Final = Request("GET", "/", {}, keep_alive=False)
