"""The opening handshake of WebSocket (RFC 6455, section 4), of both sides, and the pages beside it.

The ``websockets`` library reads and answers the handshake itself. Ours are the bounds, what it leaves to its caller
(``Host``, whose page may connect here), and answers to requests that are no handshake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from ..errors import HandshakeError
from ._websocket_frames import QUIET

__all__ = ["ClientOpening", "Page", "Pages", "ServerOpening", "Settings", "Target", "UpgradeRequest"]

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request or a response up to its empty line; nginx takes 8 KiB a line, browsers send some 500 bytes in all,
and cookies up to 4 KiB each."""

_END: Final = b"\r\n\r\n"
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?", re.ASCII)  # RFC 3986, 3.2
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_SAFE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says, unless a page says otherwise: it is kept, framed, sniffed and reached by nobody else."""


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The request that a connection began with, or that a page is asked for by.

    Attributes:
        path: Such as ``"/chat"``, still percent-encoded.
        query: What stands behind the ``?``.
        headers: By lower-case name; of one that came several times, the values joined by ``", "``.
        method: ``"GET"``, of a handshake always.
        subprotocol: The one agreed on.
    """

    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to a GET (or HEAD) that is no handshake. ``headers`` add to, and replace, those of every answer."""

    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Pages = Mapping[str, Page] | Callable[[UpgradeRequest], Page | None]
"""By path, or whatever finds the page for a request; ``None``: there is none."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a client connects to, as its request says."""

    host: str
    port: int
    path: str
    secure: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """What :class:`~aionet.codecs.websocket.WebSocketCodec` was told of the handshake; shared by its clones."""

    path: str | None
    origins: tuple[str, ...]
    subprotocols: tuple[str, ...]
    pages: Pages
    headers: Mapping[str, str]
    compress: bool
    target: Target | None = None


class _Head:
    """Collects bytes up to the empty line."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head = b""

    @property
    def buffered(self) -> int:
        """Bytes collected."""
        return len(self._head)

    def _collect(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The head and what follows it, once it is complete.

        Raises:
            HandshakeError: it is too long.
        """
        seam = max(len(self._head) - len(_END) + 1, 0)
        self._head += data
        end = self._head.find(_END, seam) + len(_END)
        if end < len(_END):
            end = len(self._head) + 1
        if end > MAX_HEAD:
            raise HandshakeError(f"the head of the handshake has more than {MAX_HEAD} bytes")
        if end > len(self._head):
            return None
        return self._head[:end], self._head[end:]


class ServerOpening(_Head):
    """Waits for a request and answers it.

    Attributes:
        answer: The response, once there is one.
        request: The handshake's request, once it was granted.
        extensions: What was agreed on.
        fault: Why it was not.
    """

    __slots__ = ("_head_only", "_settings", "answer", "extensions", "fault", "request")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._head_only = False  # HEAD is answered without a body, errors too (RFC 9110, section 9.3.2)
        self.answer = b""
        self.request: UpgradeRequest | None = None
        self.extensions: list[Any] = []
        self.fault: HandshakeError | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Take a chunk. What follows the request, once it is complete; ``None`` until then."""
        try:
            parts = self._collect(data)
        except HandshakeError as exc:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, str(exc))
            return b""
        if parts is None:
            return None
        head, rest = parts
        settings = self._settings
        server = ServerProtocol(
            extensions=[_SERVER_DEFLATE] if settings.compress else None,
            subprotocols=[Subprotocol(name) for name in settings.subprotocols] or None,
            select_subprotocol=_select_subprotocol,
            logger=QUIET,
        )
        server.receive_data(head)
        events = server.events_received()
        if events:
            assert isinstance(events[0], Request)
            self._decide(server, events[0])
        else:
            self._refuse_head(server.handshake_exc)
        return rest

    def _refuse_head(self, exc: BaseException | None) -> None:
        """The library could not read it."""
        too_long = isinstance(exc, (RequestLineTooLong, HeaderLineTooLong, TooManyHeaders))
        self.refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_long else HTTPStatus.BAD_REQUEST,
            f"no request that can be served: {_innermost(exc)}",
        )

    def _decide(self, server: ServerProtocol, request: Request) -> None:
        self._head_only = request.method == "HEAD"
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            self.refuse(HTTPStatus.BAD_REQUEST, "a request has one Host")
            return
        asked = _asked(request)
        if asked is None:
            self.refuse(HTTPStatus.BAD_REQUEST, f"no path is asked for, but {request.path[:80]!a}")
        elif "websocket" not in asked.headers.get("upgrade", "").lower():
            self._answer_plain(asked)
        elif self._settings.path not in (None, asked.path):
            self.refuse(HTTPStatus.NOT_FOUND, f"there is nothing at {asked.path[:80]}")
        elif not self._welcome(asked):
            self.refuse(HTTPStatus.FORBIDDEN, f"pages of {asked.headers['origin'][:80]} may not connect (see origins)")
        else:
            self._accept(server, request, asked)

    def _accept(self, server: ServerProtocol, request: Request, asked: UpgradeRequest) -> None:
        response = server.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            _make_safe(response)
            self.answer = response.serialize()
            self.fault = HandshakeError(f"{response.status_code} {response.reason_phrase}: {server.handshake_exc}")
            return
        for name, value in self._settings.headers.items():
            response.headers[name] = value
        self.answer = response.serialize()
        self.extensions = list(server.extensions)
        self.request = UpgradeRequest(asked.path, asked.query, asked.headers, subprotocol=server.subprotocol)

    def _welcome(self, asked: UpgradeRequest) -> bool:
        """Whether the page that asks is of this host, or of one that was named; programs have no Origin."""
        origin = asked.headers.get("origin")
        if origin is None or origin in self._settings.origins or "*" in self._settings.origins:
            return True
        try:
            theirs = urlsplit(origin)
            default = _DEFAULT_PORTS[theirs.scheme]
            ours = urlsplit(f"//{asked.headers['host']}")
            same = (theirs.hostname, theirs.port or default) == (ours.hostname, ours.port or default)
        except (KeyError, ValueError):
            return False
        return same and theirs.hostname is not None

    def _answer_plain(self, asked: UpgradeRequest) -> None:
        """Answer a request that is no handshake."""
        pages = self._settings.pages
        page = pages(asked) if callable(pages) else pages.get(asked.path)
        if page is not None and asked.method in ("GET", "HEAD"):
            self.answer = _serialized(page, self._head_only)
        elif page is not None:
            self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, f"no {asked.method[:20]} here", {"Allow": "GET, HEAD"})
        elif self._settings.path in (None, asked.path):
            self.refuse(HTTPStatus.UPGRADE_REQUIRED, "only WebSocket is spoken here", {"Upgrade": "websocket"})
        else:
            self.refuse(HTTPStatus.NOT_FOUND, f"there is nothing at {asked.path[:80]}")

    def refuse(self, status: HTTPStatus, why: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Answer with an error."""
        text = f"{status.value} {status.phrase}: {why}"
        page = Page(f"{text}\n".encode(), "text/plain; charset=utf-8", status.value, headers)
        self.answer = _serialized(page, self._head_only)
        self.fault = HandshakeError(text)


class ClientOpening(_Head):
    """Asks, and waits for the answer. Attributes as of :class:`ServerOpening`; ``answer`` is the request."""

    __slots__ = ("_client", "answer", "extensions", "fault", "request")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        target = settings.target
        assert target is not None
        path, _, query = target.path.partition("?")
        self._client = ClientProtocol(
            WebSocketURI(target.secure, target.host, target.port, path, query),
            extensions=[_CLIENT_DEFLATE] if settings.compress else None,
            subprotocols=[Subprotocol(name) for name in settings.subprotocols] or None,
            logger=QUIET,
        )
        request = self._client.connect()
        for name, value in settings.headers.items():
            request.headers[name] = value
        self.answer = request.serialize()
        self.request: UpgradeRequest | None = None
        self.extensions: list[Any] = []
        self.fault: HandshakeError | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Take a chunk. What follows the response, once it is complete; ``None`` until then."""
        try:
            parts = self._collect(data)
        except HandshakeError as exc:
            self.fault = exc
            return b""
        if parts is None:
            return None
        head, rest = parts
        status = head.partition(b"\r\n")[0]
        if not status.startswith(b"HTTP/1.1 101 "):
            what = status.removeprefix(b"HTTP/1.1 ").decode("ascii", "backslashreplace")[:80]
            self.fault = HandshakeError(f"no WebSocket there: the answer was {what!r}")
            return b""
        client = self._client
        client.receive_data(head)
        why = client.handshake_exc
        if why is not None:
            self.fault = HandshakeError(f"the answer is no WebSocket handshake: {_innermost(why)}")
            return b""
        target = client.uri
        self.extensions = list(client.extensions)
        self.request = UpgradeRequest(target.path, target.query, subprotocol=client.subprotocol)
        return rest


# Without context takeover a message is compressed by itself: a group encodes it once, and no connection keeps a window.
_SERVER_DEFLATE: Final = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True, client_no_context_takeover=True
)
_CLIENT_DEFLATE: Final = ClientPerMessageDeflateFactory(
    server_no_context_takeover=True, client_no_context_takeover=True
)


def _select_subprotocol(server: ServerProtocol, offered: Any) -> Subprotocol | None:
    """The first of ours that the client offers; none is no fault (RFC 6455, section 4.2.2)."""
    return next((name for name in server.available_subprotocols or () if name in offered), None)


def _innermost(exc: BaseException | None) -> BaseException | None:
    """What the library's exception is about; the outer ones say in which part of a head it was met."""
    while exc is not None and exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


def _asked(request: Request) -> UpgradeRequest | None:
    """The library's request as ours; ``None`` if it asks for no path."""
    target = request.path
    if target.startswith(("http://", "https://")):  # RFC 9112, section 3.2.2
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    if not target.startswith("/"):
        return None
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for name, value in request.headers.raw_items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return UpgradeRequest(path, query, headers, request.method)


def _serialized(page: Page, head_only: bool) -> bytes:
    status = HTTPStatus(page.status)
    response = ServerProtocol(logger=QUIET).reject(status, "")  # with its Date, and Connection: close
    del response.headers["Content-Length"]
    del response.headers["Content-Type"]
    response.headers["Content-Length"] = str(len(page.body))
    response.headers["Content-Type"] = page.content_type
    for name, value in page.headers.items():
        response.headers[name] = value
    _make_safe(response)
    response.body = b"" if head_only else page.body
    return response.serialize()


def _make_safe(response: Response) -> None:
    for name, value in _SAFE_HEADERS.items():
        if name not in response.headers:
            response.headers[name] = value
