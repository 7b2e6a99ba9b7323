"""A directory over HTTP, for browsers and for the clients that everybody has: curl, wget, aria2c.

One request at a time for each connection, in order. The body of a file goes from the disk to the socket by the kernel;
what a client sends goes through the same :class:`~aionet.services.files.store.Store` as ``PUT`` and ``COMMIT``.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio

from aionet import Connection, Limits, StreamHandler, Timeouts
from aionet.errors import ProtocolError
from aionet.events import TransferFinished
from aionet.routing import http

from ..disk import THREADS, Disk, Lease
from ..entries import Version, tag_of
from ..errors import Busy, Code, NotAFile, TransferError
from ..paths import Directory
from ..rules import ANYBODY, Tokens, certificate_name
from ..store import Store
from .codec import HttpCodec, Message, Request, status_of
from .conditions import Answer, choose, format_date, is_unconditional
from .exchange import Exchange, explain_fault
from .guard import Guard, comes_from_here
from .heads import disposition, file_fields, format_head
from .listing import Listing, View, read_listing, read_view
from .page import PAGE_FIELDS, render_json, render_page
from .receiving import delete, make_directory, put, received
from .sending import SMALL, Outgoing, changed_since, open_outgoing
from .target import Target, href, parse_target

__all__ = ["WebFiles"]

_LAST: Final = 4096
"""Bytes of a large body that are held back until the file was looked at again: had it changed, the client must not
believe that it has all."""

_MAX_PAGES_HELD: Final = 64
"""Large pages that may wait for slow readers at once: some 200 MB."""

_WRITING_THREADS: Final = 4
"""Threads in which uploads wait for the disk: fsync can take seconds, and readers must not wait behind it."""

_Writer = Callable[[Exchange, Store, Disk], Awaitable[None]]

_WRITERS: Final[Mapping[str, _Writer]] = {"PUT": put, "DELETE": delete, "MKCOL": make_directory}

_CHALLENGE: Final = (
    'WWW-Authenticate: Basic realm="files", charset="UTF-8"\r\nWWW-Authenticate: Bearer realm="files"\r\n'
)


class WebFiles(StreamHandler[Message]):
    """Serve a directory to browsers and other clients of HTTP/1.1.

    Args:
        directory: Its path; or a :class:`~aionet.services.files.paths.Directory`, which stays the caller's to close; or
            the :class:`~aionet.services.files.store.Store` of another service, so that both go by the same rules.
        token: What a client has to show, as bearer token or as the password of Basic authentication; or each user's
            own, by his name. A client whose certificate TLS has verified needs none. ``None``: nobody needs one.
        hidden: Whether names that begin with a dot are served; only for a path.
        hosts: Names, besides ``localhost`` and any address, by which this server may be called; ``"*"``: by any.
        threads: How many disk operations may run at once, those of uploads not counted.
        rules: Fields of :class:`~aionet.services.files.rules.Rules`, such as ``writable=True``; not for a store.

    Raises:
        ConfigError: the directory is absent, no directory, or may not be read; a token or a rule makes no sense.
    """

    codec = HttpCodec
    match = http()

    # Browsers hold six connections, aria2c sixteen at most. One that only asks, and never reads, holds some 400 KiB.
    limits = Limits(max_connections=1_000)

    timeouts = Timeouts(
        first_message=20.0,  # browsers connect ahead of need; they connect anew if that was too early
        message=20.0,  # for a head; a proxy may have to collect it
        idle=60.0,  # nginx keeps a connection for 75 seconds, Apache for 5
        send=60.0,  # a laptop that changes its network, a disk that spins up under the receiver
    )

    def __init__(
        self,
        directory: str | os.PathLike[str] | Directory | Store,
        *,
        token: str | Mapping[str, str] | None = None,
        hidden: bool = False,
        hosts: Iterable[str] = (),
        threads: int = THREADS,
        **rules: Any,
    ) -> None:
        self.store = Store.of(directory, hidden=hidden, rules=rules)
        self._tokens = None if token is None else Tokens(token)
        self._guard = Guard(hosts)
        self._disk, self._writing = Disk(threads), Disk(_WRITING_THREADS)
        self._pages_held = 0
        self._methods: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            "GET": self._get,
            "HEAD": self._get,
            "OPTIONS": self._options,
        }
        if self.store.rules.writable:
            self._methods |= {method: partial(self._write, function) for method, function in _WRITERS.items()}
        self._allow = f"Allow: {', '.join(self._methods)}\r\n"

    def on_connect(self, conn: Connection[Message]) -> None:
        """Note down once what TLS has agreed on."""
        tls = conn.tls
        conn.state = _Peer(tls is not None, certificate_name(tls))

    def on_message_nowait(self, conn: Connection[Message], message: Message) -> bool:
        """Answer what is asked most: the whole of a small file that is in memory."""
        assert isinstance(message, Request)  # whoever takes a request takes its body, or closes
        try:
            answer = self._answer_at_once(conn, message, parse_target(message.target))
        except ValueError:
            return False
        if answer:
            conn.write(answer)
        return bool(answer)

    async def on_message(self, conn: Connection[Message], message: Message) -> None:
        """Answer any other request."""
        assert isinstance(message, Request)
        try:
            target = parse_target(message.target)
        except ValueError as exc:
            exchange = Exchange(conn, message, Target("", True, {}))
            if message.target == "*" and message.method == "OPTIONS":
                await self._options(exchange)
            else:
                await exchange.refuse(400, str(exc))
            return
        exchange = Exchange(conn, message, target)
        try:
            try:
                await self._answer(exchange)
            except TransferError as exc:
                await exchange.fail(exc)
        finally:
            exchange.report()

    def on_fault(self, conn: Connection[Message], fault: ProtocolError) -> None:
        """Say why, before the core closes."""
        conn.write(explain_fault(status_of(fault), str(fault)))

    def _answer_at_once(self, conn: Connection[Message], request: Request, target: Target) -> bytes:
        """The answer to what is asked most, the whole of a small file that is in memory, by somebody who may ask.

        Empty where :meth:`_answer` has to be asked. It never waits for a disk.
        """
        fields, peer = request.fields, conn.state
        host = fields.get("host")
        if (
            request.method != "GET"
            or request.has_body
            or not request.keep_alive
            or target.is_directory
            or target.query
            or target.authority is not None
            or not is_unconditional(fields)
            or (self._tokens is not None and peer.user is None)
            or host is None
            or not (peer.is_secure or self._guard.knows(host))
        ):
            return b""
        started = time.monotonic()
        file = self.store.directory.read_cached(target.name, SMALL)
        if file is None:
            return b""
        size = file.st_size
        validators = _validators(tag_of(file), file)
        head = format_head(request, 200, f"{file_fields(target.name)}{validators}Content-Length: {size}\r\n")
        if conn.wants(TransferFinished):
            seconds, user = time.monotonic() - started, peer.user or ANYBODY
            conn.emit(TransferFinished(conn.route, conn.peername, user, "GET", target.name, size, seconds, "OK"))
        return head + file.content

    async def _answer(self, exchange: Exchange) -> None:
        request, peer = exchange.request, exchange.conn.state
        host = exchange.target.authority or request.fields.get("host")
        if host is None and request.minor:
            await exchange.refuse(400, "a request of HTTP/1.1 names its host")
        elif host is not None and not peer.is_secure and not self._guard.knows(host):
            await exchange.refuse(
                421,
                f"this server does not answer to the name {host[:100]!a}",
                hint="use its address; or allow the name: WebFiles(..., hosts=[...]), or serve --web-host NAME",
            )
        elif (user := peer.user or await self._user_of(request)) is None:
            await exchange.refuse(
                401, "this server wants a token", _CHALLENGE, hint="curl -H 'Authorization: Bearer TOKEN'"
            )
        elif (method := self._methods.get(request.method)) is None:
            hint = "it was not started to take files" if request.method in _WRITERS else None
            await exchange.refuse(405, f"{request.method} is not for this server", self._allow, hint=hint)
        else:
            exchange.user = user
            await method(exchange)

    async def _user_of(self, request: Request) -> str | None:
        """Who is asking; ``None``: nobody who may. A wrong token is answered after a second, so that few are tried."""
        if self._tokens is None:
            return ANYBODY
        token = _token_of(request.fields.get("authorization", ""))
        if token is None:
            return None
        user = self._tokens.user_of(token)
        if user is None:
            await anyio.sleep(1.0)
        return user

    # ---- reading -------------------------------------------------------------------------------

    async def _get(self, exchange: Exchange) -> None:
        target, fields = exchange.target, exchange.request.fields
        if target.is_directory:
            await self._show(exchange)
            return
        if "upload" in target.query:
            offset = await received(exchange, self.store, self._disk)
            await exchange.answer(204, f"Upload-Offset: {offset}\r\nCache-Control: no-store\r\n")
            return

        def answer_for(info: os.stat_result, tag: str) -> Answer:
            seconds = info.st_mtime_ns // 1_000_000_000
            return choose(fields, f'"{tag}"', seconds, info.st_size, time.time(), ranges=not exchange.head_only)

        directory, body = self.store.directory, not exchange.head_only
        try:
            outgoing = await open_outgoing(directory, self._disk, target.name, answer_for, body=body)
        except NotAFile:
            found = await self._disk.run(directory.stat, target.name)
            if not stat.S_ISDIR(found.st_mode):
                raise
            query = exchange.request.target.partition("?")
            await exchange.answer(302, f"Location: {href(target.name, is_directory=True)}{query[1]}{query[2]}\r\n")
            return
        try:
            await self._send(exchange, outgoing)
        finally:
            if outgoing.lease is not None:
                outgoing.lease.release()

    async def _send(self, exchange: Exchange, outgoing: Outgoing) -> None:
        answer, size, target = outgoing.answer, outgoing.info.st_size, exchange.target
        validators = _validators(outgoing.tag, outgoing.info)
        if answer.status == 304:
            await exchange.answer(304, validators)
            return
        if answer.status == 412:
            await exchange.refuse(412, "the file is another version than the one asked for", validators)
            return
        if answer.status == 416:
            await exchange.refuse(416, f"the file has {size} bytes", f"Content-Range: bytes */{size}\r\n{validators}")
            return
        fields = f"{file_fields(target.name)}{validators}Content-Length: {answer.count}\r\n"
        if answer.status == 206:
            fields += f"Content-Range: bytes {answer.offset}-{answer.offset + answer.count - 1}/{size}\r\n"
        if "download" in target.query:
            fields += disposition(target.name)
        head, conn = await exchange.head(answer.status, fields), exchange.conn
        if outgoing.lease is None:
            await conn.send(head + outgoing.body)
            exchange.moved = len(outgoing.body)
        else:
            conn.write(head)
            exchange.moved = await self._send_large(conn, outgoing, outgoing.lease)
            if exchange.moved < answer.count:
                conn.abort()  # it shrank, or is another version now: the client sees a reset, never a mix
                exchange.outcome = Code.CHANGED
                return
        exchange.done()

    async def _send_large(self, conn: Connection[Message], outgoing: Outgoing, lease: Lease[int]) -> int:
        """Bytes that were sent: too few, if the file is not what it was."""
        offset, count = outgoing.answer.offset, outgoing.answer.count
        with lease.use() as descriptor:
            sent = await conn.send_file(descriptor, offset, count - _LAST)
            if sent == count - _LAST and not await self._disk.run(changed_since, descriptor, outgoing.info):
                sent += await conn.send_file(descriptor, offset + sent, _LAST)
        return sent

    async def _show(self, exchange: Exchange) -> None:
        target = exchange.target
        try:
            view = read_view(target.query)
        except ValueError as exc:
            await exchange.refuse(400, str(exc))
            return
        if self._pages_held >= _MAX_PAGES_HELD:
            raise Busy("many large directories are being looked at just now; try again")
        as_json = "json" in target.query
        render = render_json if as_json else partial(render_page, writable=self.store.rules.writable)
        kind = "application/json" if as_json else "text/html; charset=utf-8"
        self._pages_held += 1
        try:
            body = await self._disk.run(_render, self.store.directory, target.name, view, render)
            await exchange.answer(200, f"{PAGE_FIELDS}Content-Type: {kind}\r\n", body)
        finally:
            self._pages_held -= 1

    async def _options(self, exchange: Exchange) -> None:
        await exchange.answer(204, self._allow)

    # ---- writing -------------------------------------------------------------------------------

    async def _write(self, function: _Writer, exchange: Exchange) -> None:
        if not comes_from_here(exchange.request.fields):
            await exchange.refuse(403, "a page of another site may not change anything here")
        else:
            await function(exchange, self.store, self._writing)


@dataclass(frozen=True, slots=True)
class _Peer:
    """What is known of a connection, whatever it asks for.

    Attributes:
        is_secure: Under TLS: then the client has compared our name with our certificate.
        user: Who it has proven to be by a certificate of its own.
    """

    is_secure: bool
    user: str | None


def _validators(tag: str, info: Version) -> str:
    """The fields that name a version of a file."""
    return f'ETag: "{tag}"\r\nLast-Modified: {format_date(info.st_mtime_ns // 1_000_000_000)}\r\n'


def _render(directory: Directory, name: str, view: View, render: Callable[[Listing], bytes]) -> bytes:
    """In a thread: a page, ready to be sent."""
    return render(read_listing(directory, name, view))


def _token_of(authorization: str) -> str | None:
    """The token in an Authorization field (RFC 6750; RFC 7617, where it is the password)."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
