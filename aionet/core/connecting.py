"""Connecting: resolve, race the addresses (Happy Eyeballs, RFC 8305), then the same connection as on a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final

import anyio

from .. import codecs
from ..codec import CodecSource
from ..codecs.proxy_header import format_v1, format_v2
from ..endpoint import Endpoint
from ..errors import ConnectError, ConnectTimeout, EndpointError
from ..handler import StreamHandler
from ..limits import Limits, Timeouts
from .connections import connection_factory
from .context import StreamContext
from .deadlines import Deadlines
from .loop import client_events, shared
from .sockets import SocketAddress, apply_options, reason_of, resolve
from .stream import StreamConnection
from .tls import certificate_hint, checked_context, client_context
from .tls_transport import TLS_SHUTDOWN

__all__ = ["ConnectTimings", "open_stream"]

ATTEMPT_DELAY: Final = 0.25
"""Seconds until the next address is tried beside the one that has not answered (RFC 8305, section 5)."""

Target = tuple[socket.AddressFamily, SocketAddress]


@dataclass(slots=True)
class ConnectTimings:
    """When each phase of connecting was done, by :func:`time.perf_counter` (uvloop's own clock counts milliseconds).

    Filled in as it goes: of an attempt that failed it says how far it came. ``None``: not reached, or no such phase.

    Attributes:
        started: The look-up began.
        resolved: The name's addresses were known. ``None`` on Unix sockets.
        connected: One of them had accepted.
        secured: TLS was agreed on. ``None`` without TLS.
    """

    started: float | None = None
    resolved: float | None = None
    connected: float | None = None
    secured: float | None = None


async def open_stream(
    endpoint: Endpoint,
    codec: CodecSource[Any] | None,
    handler: StreamHandler[Any] | None = None,
    *,
    limits: Limits,
    timeouts: Timeouts,
    ssl_context: ssl.SSLContext | None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = b"",
) -> StreamConnection[Any]:
    """Connect to an endpoint of any stream but ``fd``; ``timings`` is told when each phase was done.

    Args:
        handler: Without one, messages wait until they are received. What it raises goes to the loop's handler.
        proxy_header: Sent first; instead of the one that the endpoint's option asks for.

    Raises:
        RouteError: the handler mixes styles.
        EndpointError: nothing that can be connected to.
        TLSConfigError: a certificate or CA file of the endpoint.
        ConnectError: it could not be reached, or TLS was refused; says why.
        ConnectTimeout: the TLS handshake took longer than ``timeouts.handshake``.
    """
    loop = asyncio.get_running_loop()
    tls = _tls_options(endpoint, ssl_context, timeouts)
    if endpoint.is_websocket:
        codec = codecs.WebSocketCodec.connecting(endpoint, codec or codecs.RawCodec)
    context: StreamContext[Any] = StreamContext(
        endpoint.location,
        handler,
        codec,
        loop=loop,
        events=client_events(handler),
        deadlines=client_deadlines(loop),
        limits=limits,
        timeouts=timeouts,
        half_close=not tls,
        nodelay_off=endpoint.options.get("nodelay") is False,
        # A client that stopped reading while it cannot write, talking to a server that does the same, would wait for
        # ever: what comes are the answers it has asked for.
        reads_on=True,
    )
    sample = context.make_codec()
    if not sample.is_open and not sample.data_to_send():
        raise EndpointError(
            f"cannot connect to {endpoint.location}: {sample!r} is the side of a server",
            hint="connect to a ws:// or wss:// endpoint",
        )
    if timings is not None:
        timings.started = time.perf_counter()
    try:
        sock = await _connected_socket(endpoint, timings)
        await _send_proxy_header(sock, endpoint, proxy_header)
    except (OSError, UnicodeError) as exc:
        raise ConnectError(f"cannot reach {endpoint.location}: {reason_of(exc)}", hint=_hint(exc)) from exc
    factory: Any = connection_factory(context)
    try:
        conn = await _connection_on(sock, factory, tls)
    except (OSError, asyncio.IncompleteReadError) as exc:
        raise _tls_failure(endpoint, exc, timeouts) from exc
    if timings is not None and tls:
        timings.secured = time.perf_counter()
    await _handshake(endpoint, conn)
    return conn


async def _handshake(endpoint: Endpoint, conn: StreamConnection[Any]) -> None:
    """Wait for that of the codec, if it has one."""
    try:
        await conn.wait_open()
    except anyio.BrokenResourceError as exc:
        conn.abort()  # it would linger
        await conn.wait_closed()
        raise ConnectError(f"{endpoint.location}: {conn.codec.fault or f'{exc} during the handshake'}") from exc
    except BaseException:
        conn.abort()
        raise


async def _connection_on(sock: socket.socket, factory: Any, tls: dict[str, Any]) -> StreamConnection[Any]:
    loop = asyncio.get_running_loop()
    reactor = shared(loop).reactor
    create = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
    try:
        if reactor is not None and not tls:
            conn = factory()
            reactor.attach(sock, conn)
        elif tls and not shared(loop).is_uvloop:
            conn = await _not_cancelled(sock, create(factory, sock=sock, **tls))
        else:
            _, conn = await create(factory, sock=sock, **tls)
    except BaseException:
        sock.close()
        raise
    assert isinstance(conn, StreamConnection)
    return conn


async def _not_cancelled(sock: socket.socket, create: Coroutine[Any, Any, tuple[Any, Any]]) -> Any:
    """The connection that ``create`` makes. Cancelled, it loses its socket's connection, and so ends by itself.

    asyncio's TLS transport, cancelled before its first step, would stay open for ever.
    """
    opening = asyncio.ensure_future(create)
    try:
        return (await asyncio.shield(opening))[1]
    except asyncio.CancelledError:
        opening.add_done_callback(_abort_late)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({opening}, timeout=1)
        raise


def _abort_late(opening: asyncio.Future[tuple[Any, Any]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].abort()


def client_deadlines(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """The timer that all clients of a loop share."""
    state = shared(loop)
    if state.client_deadlines is None:
        state.client_deadlines = Deadlines(loop, resolution=0.25)
    return state.client_deadlines


def _tls_options(endpoint: Endpoint, ssl_context: ssl.SSLContext | None, timeouts: Timeouts) -> dict[str, Any]:
    if endpoint.scheme in ("udp", "fd"):
        raise EndpointError(f"cannot connect to {endpoint.location}", hint="tcp, tls, ws, wss or unix is needed here")
    if endpoint.scheme != "unix" and not (endpoint.host and endpoint.port):
        raise EndpointError(f"cannot connect to {endpoint.location}: a host and a port are needed")
    if not endpoint.is_tls:
        return {}
    return {
        "ssl": client_context(endpoint) if ssl_context is None else checked_context(endpoint, ssl_context),
        "server_hostname": str(endpoint.options.get("server_name", endpoint.host)),
        "ssl_handshake_timeout": timeouts.handshake,
        "ssl_shutdown_timeout": TLS_SHUTDOWN,
    }


async def _connected_socket(endpoint: Endpoint, timings: ConnectTimings | None) -> socket.socket:
    if endpoint.scheme == "unix":
        sock = await _attempt(endpoint, (socket.AF_UNIX, endpoint.path))  # type: ignore[arg-type]
    else:
        targets = await resolve(endpoint, socket.SOCK_STREAM, socket.IPPROTO_TCP, passive=False)
        if timings is not None:
            timings.resolved = time.perf_counter()
        sock = await _race(endpoint, _interleaved(targets))
    if timings is not None:
        timings.connected = time.perf_counter()
    return sock


async def _send_proxy_header(sock: socket.socket, endpoint: Endpoint, header: bytes) -> None:
    """What stands before everything else, TLS too: the header given, or one about this very connection."""
    try:
        if not header and "proxy_header" in endpoint.options:
            write = format_v1 if endpoint.options["proxy_header"] == "v1" else format_v2
            header = write(sock.getsockname(), sock.getpeername())
        if header:
            await asyncio.get_running_loop().sock_sendall(sock, header)
    except BaseException:
        sock.close()
        raise


def _interleaved(targets: Sequence[Target]) -> list[Target]:
    """The resolver's order, but families in turn, so that a broken one costs a single delay."""
    first = [target for target in targets if target[0] == targets[0][0]]
    other = [target for target in targets if target[0] != targets[0][0]]
    return [target for target in chain.from_iterable(zip_longest(first, other)) if target is not None]


async def _race(endpoint: Endpoint, targets: list[Target]) -> socket.socket:
    """Try addresses one after the other, each a moment after the last; the first to connect wins."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[BaseException] = []
    waiting = iter(targets)
    more = True
    try:
        while more or attempts:
            target = next(waiting, None)
            more = target is not None
            if target is not None:
                attempts.add(asyncio.ensure_future(_attempt(endpoint, target)))
            done, attempts = (
                await asyncio.wait(
                    attempts, timeout=ATTEMPT_DELAY if more else None, return_when=asyncio.FIRST_COMPLETED
                )
                if attempts
                else (set(), attempts)
            )
            winners = []
            for task in done:
                if (failure := task.exception()) is None:
                    winners.append(task.result())
                else:
                    failures.append(failure)
            if winners:
                for sock in winners[1:]:
                    sock.close()
                return winners[0]
    finally:
        for task in attempts:  # not waited for: cancelled there, the winner would be lost
            task.cancel()
            task.add_done_callback(_close_late)
    # The first is the one people expect to hear of: that of the address the resolver prefers.
    raise failures[0] if failures else OSError("the name has no address")


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _attempt(endpoint: Endpoint, target: Target) -> socket.socket:
    family, address = target
    proto = 0 if family == socket.AF_UNIX else socket.IPPROTO_TCP
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        sock.setblocking(False)
        apply_options(sock, endpoint)
        if family == socket.AF_UNIX:
            await _connect_unix(sock, address)
        else:
            await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as exc:
        sock.close()
        if exc.errno is None or exc.errno <= 0:
            raise
        raise OSError(exc.errno, os.strerror(exc.errno)) from exc  # asyncio's text is "Connect call failed"
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_unix(sock: socket.socket, path: Any) -> None:
    """Connect at once, or whenever there is room.

    A full queue is EAGAIN, and nothing tells when it has room again: both loops take it for EINPROGRESS, and the
    unconnected socket, being writable, for connected.
    """
    pause = 0.005
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)
        else:
            return


def _hint(exc: BaseException) -> str | None:
    if isinstance(exc, ConnectionRefusedError):
        return "nobody listens there: is the server running, and is the port right?"
    return None


def _tls_failure(endpoint: Endpoint, exc: BaseException, timeouts: Timeouts) -> ConnectError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ConnectError(
            f"{endpoint.location}: the certificate is not trusted: {exc.verify_message}",
            hint=certificate_hint(exc.verify_code),
        )
    if isinstance(exc, ssl.SSLError):
        return ConnectError(
            f"{endpoint.location}: the TLS handshake failed: {exc.reason or exc}", hint="does the peer speak TLS there?"
        )
    if isinstance(exc, ConnectionAbortedError) and "taking longer" in str(exc):  # both loops' words
        return ConnectTimeout(f"{endpoint.location}: the TLS handshake took longer than {timeouts.handshake:g} s")
    if isinstance(exc, (ConnectionAbortedError, ConnectionResetError)) and endpoint.is_tls:
        return ConnectError(f"{endpoint.location}: the peer closed during the TLS handshake")
    return ConnectError(f"cannot reach {endpoint.location}: {reason_of(exc)}")
