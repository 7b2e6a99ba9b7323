"""An HTTP client that shows its work: how long each phase took, over which connection, by way of which redirects.

``from aionet.client.http import fetch``. It asks for one thing and closes; for a pool of connections, cookies,
compression and HTTP/2 there are libraries.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 - the first look-up would load it, and its time be counted
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import h11

from ..core.certificate import CertificateFacts
from ..core.connecting import ConnectTimings
from ..core.socket_facts import SocketFacts, read_socket_facts
from ..core.tls import certificate_hint, client_context
from ..endpoint import Endpoint
from ..errors import ConfigError, ConnectError, ConnectTimeout, EndpointError, FrameTooLarge, ProtocolError
from ..handler import Connection, TLSFacts
from ..limits import MIB
from .connecting import connect
from .exchange import Exchange, FetchError, FetchTimeout
from .sockinfo import certificate_of
from .url import URL

__all__ = ["MAX_SIZE", "FetchError", "FetchTimeout", "Head", "Redirect", "Response", "Timings", "fetch"]

MAX_SIZE: Final = 16 * MIB
"""Bytes of content by default: enough for what one looks at, too little to fill a disk or memory."""

MAX_REDIRECTS: Final = 10
"""curl follows 30, browsers 20; the Fetch standard says 20. Whoever needs more than a few has a fault."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds each phase took, one behind the other; ``None``: it has not come to that, or there is no such phase.

    Attributes:
        lookup: Of the name.
        connect: TCP.
        tls: The handshake.
        first_byte: From the connection until the answer began to come: the request's way, and the server's thinking.
        content: From there to its end.
        total: All together.
    """

    lookup: float
    connect: float
    tls: float | None
    first_byte: float
    content: float
    total: float


@dataclass(frozen=True, slots=True)
class Redirect:
    """One step of the way: what was asked for, and the status that sent us on."""

    url: str
    status: int


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an answer before its content. Names, values and reason are the server's: escape them.

    Attributes:
        url: Where it came from, after all redirects.
        status: Such as 200.
        reason: Such as ``"OK"``; may be empty.
        http_version: ``"1.1"`` or ``"1.0"``.
        headers: In order, names as the server wrote them; bytes read as Latin-1.
        redirects: How we came here.
        socket: The connection from below, as the answer began.
        tls: What TLS agreed on, or ``None``.
        certificate: The server's, verified or not.
    """

    url: str
    status: int
    reason: str
    http_version: str
    headers: tuple[tuple[str, str], ...]
    redirects: tuple[Redirect, ...]
    socket: SocketFacts
    tls: TLSFacts | None
    certificate: CertificateFacts | None

    def header(self, name: str) -> str | None:
        """The first header of this name, in whatever case."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer.

    Attributes:
        head: Status, headers, connection.
        content: As it came (nothing is decompressed); empty if it was given to ``write``.
        size: Bytes of content.
        timings: Of the last request, without the redirects before it.
    """

    head: Head
    content: bytes
    size: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class _Bounds:
    timeout: float
    max_size: int
    tls_options: dict[str, Any]
    on_head: Callable[[Head], object] | None
    write: Callable[[bytes], object]


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Headers = (),
    max_size: int = MAX_SIZE,
    max_redirects: int = MAX_REDIRECTS,
    timeout: float = 10.0,
    max_time: float = 300.0,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    verify: bool = True,
    on_head: Callable[[Head], object] | None = None,
    write: Callable[[bytes], object] | None = None,
) -> Response:
    """Ask for ``url`` (HTTP/1.1, a connection for each request), following redirects to http and https.

    As browsers do it, 303 goes on with GET, and so does a POST after 301 and 302; credentials among the headers
    do not follow to another origin.

    Args:
        url: ``http://`` or ``https://``.
        method: Whatever needs no content.
        headers: Besides Host, User-Agent, Accept and Connection, or instead of them.
        max_size: Bytes of content.
        max_redirects: 0: the redirect itself is the answer.
        timeout: Seconds to connect, and without a byte from the server.
        max_time: Seconds for everything.
        ca, cert, key, verify: As the ``tls`` endpoint options of these names.
        on_head: Called with the head, before the content.
        write: Called with the content as it comes, instead of collecting it.

    Raises:
        ConfigError: a URL (EndpointError), a file (TLSConfigError) or a header that cannot be.
        ConnectError: the server could not be reached (also: ConnectTimeout), or TLS was refused.
        FetchError: the connection failed; FetchTimeout: it took too long.
        ProtocolError: what came is not HTTP; FrameTooLarge: more of it than allowed; a redirect not to be followed.
    """
    chunks: list[bytes] = []
    tls_options = {name: value for name, value in (("ca", ca), ("cert", cert), ("key", key)) if value is not None}
    bounds = _Bounds(
        timeout,
        max_size,
        {**tls_options, **({} if verify else {"verify": False})},
        on_head,
        chunks.append if write is None else write,
    )
    request = _Request(URL.parse(url), method, _encoded(headers), max_redirects, bounds)
    scope = asyncio.timeout(max_time)
    try:
        async with scope:
            head, size, timings = await request.run()
    except TimeoutError as exc:
        if scope.expired():
            raise FetchTimeout(f"not finished within {max_time:g} s") from exc
        raise
    return Response(head, b"".join(chunks), size, timings)


class _View:
    """A connection from below, which may be gone by the time its answer has been read."""

    def __init__(self, conn: Connection[bytes]) -> None:
        self.tls = conn.tls
        self._conn = conn
        self._first = read_socket_facts(conn.fileno())

    def socket(self) -> SocketFacts:
        """As it is now, or was at first."""
        descriptor = self._conn.fileno()
        return self._first if descriptor < 0 else read_socket_facts(descriptor)


class _Request:
    """A request on its way through redirects."""

    def __init__(
        self, url: URL, method: str, headers: list[tuple[bytes, bytes]], max_redirects: int, bounds: _Bounds
    ) -> None:
        self._url = url
        self._method = method
        self._headers = headers
        self._max_redirects = max_redirects
        self._bounds = bounds
        self._redirects: list[Redirect] = []
        self._seen: set[tuple[str, str]] = set()

    async def run(self) -> tuple[Head, int, Timings]:
        """Ask until the answer is no redirect."""
        if self._method.upper() == "CONNECT":
            raise ConfigError("the method CONNECT makes a tunnel of the connection, which is not done here")
        while True:
            request = self._message()
            self._seen.add((self._method, str(self._url)))
            timings = ConnectTimings()
            conn = await self._connect(timings)
            try:
                view = _View(conn)
                exchange = Exchange(conn, patience=self._bounds.timeout, max_size=self._bounds.max_size)
                answer = await exchange.ask(request)
                location = self._redirect(answer)
                if location is None:
                    return await self._finish(view, exchange, answer, timings)
            finally:
                # The request said "Connection: close" and the answer is complete, or of no use: nothing to wait for.
                conn.abort()
            self._follow(location, answer.status_code)

    def _message(self) -> h11.Request:
        given = {name.lower() for name, _ in self._headers}
        defaults = [
            (b"Host", self._url.authority.encode()),
            (b"User-Agent", b"aionet"),
            (b"Accept", b"*/*"),
            (b"Connection", b"close"),
        ]
        if self._method in ("POST", "PUT", "PATCH") and b"transfer-encoding" not in given:
            defaults.append((b"Content-Length", b"0"))  # RFC 9110, section 8.6
        headers = [pair for pair in defaults if pair[0].lower() not in given] + self._headers
        try:
            return h11.Request(method=self._method, target=self._url.target, headers=headers)
        except (h11.LocalProtocolError, UnicodeError) as exc:
            raise ConfigError(f"this request cannot be sent: {exc}") from exc

    async def _connect(self, timings: ConnectTimings) -> Connection[bytes]:
        endpoint = self._url.endpoint
        context = None
        if endpoint.scheme == "tls":
            context = client_context(endpoint.with_options(**self._bounds.tls_options))
            context.set_alpn_protocols(["http/1.1"])
        try:
            return await connect(endpoint, timeout=self._bounds.timeout, ssl_context=context, timings=timings)
        except ConnectTimeout as exc:
            raise ConnectTimeout(str(exc), hint=_phase_hint(timings, endpoint)) from exc
        except ConnectError as exc:
            code = getattr(exc.__cause__, "verify_code", None)
            if code is None:
                raise
            hint = certificate_hint(code, ca="ca=FILE", anybody="verify=False")
            raise ConnectError(str(exc), hint=hint) from exc.__cause__

    async def _finish(
        self, view: _View, exchange: Exchange, answer: h11.Response, connected: ConnectTimings
    ) -> tuple[Head, int, Timings]:
        head = Head(
            str(self._url),
            answer.status_code,
            answer.reason.decode("latin-1"),
            answer.http_version.decode("ascii"),
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw_items()),
            tuple(self._redirects),
            view.socket(),
            view.tls,
            certificate_of(view.tls),
        )
        length = head.header("content-length")
        if self._bounds.on_head is not None:
            self._bounds.on_head(head)
        if self._method != "HEAD" and length is not None and int(length) > self._bounds.max_size:
            raise FrameTooLarge(f"the content has {length} bytes, more than the {self._bounds.max_size} allowed")
        await exchange.read(self._bounds.write)
        return head, exchange.size, _timings(connected, exchange, time.perf_counter())

    def _redirect(self, answer: h11.Response) -> str | None:
        """Where the answer sends us, if it does."""
        if answer.status_code not in _REDIRECTS or not self._max_redirects:
            return None
        location = next((value for name, value in answer.headers if name == b"location"), None)
        return None if location is None else bytes(location).decode("utf-8", "surrogateescape")

    def _follow(self, location: str, status: int) -> None:
        """Make the request the next one.

        Raises:
            ProtocolError: a redirect that is not to be followed.
        """
        try:
            url = self._url.join(location)
        except EndpointError as exc:
            raise ProtocolError(f"redirect ({status}) not followed: {exc}", hint=exc.hint) from exc
        self._redirects.append(Redirect(str(self._url), status))
        if status == 303 or (status in (301, 302) and self._method == "POST"):
            self._method = "HEAD" if self._method == "HEAD" else "GET"
        if url.origin != self._url.origin:
            self._headers = [pair for pair in self._headers if pair[0].lower() not in _CREDENTIALS | {b"host"}]
        self._url = url
        if (self._method, str(url)) in self._seen:
            way = " -> ".join([*(step.url for step in self._redirects), str(url)])
            raise ProtocolError(f"redirect loop: {way}")
        if len(self._redirects) > self._max_redirects:
            raise ProtocolError(f"more than {self._max_redirects} redirects; the last one led to {url}")


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")) for name, value in headers
    ]


def _phase_hint(timings: ConnectTimings, endpoint: Endpoint) -> str:
    """How far connecting came, as a hint."""
    if timings.resolved is None:
        return f"the resolver did not answer for {endpoint.host!r}"
    if timings.connected is None:
        return "the name was looked up, but nobody answered there: a firewall, or a wrong address?"
    return "the server accepted, but did not finish the TLS handshake: does it speak TLS there?"


def _timings(connected: ConnectTimings, exchange: Exchange, done: float) -> Timings:
    started = connected.started or 0.0
    resolved = connected.resolved or started
    accepted = connected.connected or resolved
    ready = connected.secured or accepted
    first_byte = exchange.first_byte_at or done
    return Timings(
        resolved - started,
        accepted - resolved,
        None if connected.secured is None else connected.secured - accepted,
        first_byte - ready,
        done - first_byte,
        done - started,
    )
