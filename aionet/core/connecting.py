"""Connecting: resolve, race the addresses (Happy Eyeballs, RFC 8305), then the same connection as on a server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final

from ..endpoint import Endpoint
from ..errors import ConnectError, EndpointError
from ..events import Events
from ..handler import CodecSource
from ..limits import Limits, Timeouts
from .connections import connection_factory
from .context import StreamContext
from .deadlines import Deadlines
from .listener import TLS_SHUTDOWN
from .loop import shared
from .sockets import SocketAddress, apply_options, reason_of, resolve
from .stream import StreamConnection
from .tls import certificate_hint, client_context

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
    *,
    limits: Limits,
    timeouts: Timeouts,
    ssl_context: ssl.SSLContext | None,
    timings: ConnectTimings | None = None,
) -> StreamConnection[Any]:
    """Connect to a ``tcp``, ``tls`` or ``unix`` endpoint; ``timings`` is told when each phase was done.

    Raises:
        EndpointError: nothing that can be connected to.
        TLSConfigError: a certificate or CA file of the endpoint.
        ConnectError: it could not be reached, or TLS was refused; says why.
    """
    loop = asyncio.get_running_loop()
    tls = _tls_options(endpoint, ssl_context, timeouts)
    context: StreamContext[Any] = StreamContext(
        endpoint.location,
        None,
        codec,
        loop=loop,
        events=Events(),
        deadlines=client_deadlines(loop),
        limits=limits,
        timeouts=timeouts,
        half_close=not tls,
        nodelay_off=endpoint.options.get("nodelay") is False,
    )
    if timings is not None:
        timings.started = time.perf_counter()
    try:
        sock = await _connected_socket(endpoint, timings)
    except (OSError, UnicodeError) as exc:
        raise ConnectError(f"cannot reach {endpoint.location}: {reason_of(exc)}", hint=_hint(exc)) from exc
    factory: Any = connection_factory(context)
    try:
        if sock.family == socket.AF_UNIX:
            _, conn = await loop.create_unix_connection(factory, sock=sock, **tls)
        else:
            _, conn = await loop.create_connection(factory, sock=sock, **tls)
    except (OSError, asyncio.IncompleteReadError) as exc:
        sock.close()
        raise _tls_failure(endpoint, exc) from exc
    except BaseException:
        sock.close()
        raise
    if timings is not None and tls:
        timings.secured = time.perf_counter()
    assert isinstance(conn, StreamConnection)
    return conn


def client_deadlines(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """The timer that all clients of a loop share."""
    state = shared(loop)
    if state.client_deadlines is None:
        state.client_deadlines = Deadlines(loop, resolution=0.25)
    return state.client_deadlines


def _tls_options(endpoint: Endpoint, ssl_context: ssl.SSLContext | None, timeouts: Timeouts) -> dict[str, Any]:
    if endpoint.scheme not in ("tcp", "tls", "unix"):
        raise EndpointError(f"cannot connect to {endpoint.location}", hint="tcp, tls or unix is needed here")
    if endpoint.scheme != "unix" and not (endpoint.host and endpoint.port):
        raise EndpointError(f"cannot connect to {endpoint.location}: a host and a port are needed")
    if endpoint.scheme != "tls":
        return {}
    return {
        "ssl": ssl_context or client_context(endpoint),
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
        for task in attempts:
            task.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()
    # The first is the one people expect to hear of: that of the address the resolver prefers.
    raise failures[0] if failures else OSError("the name has no address")


async def _attempt(endpoint: Endpoint, target: Target) -> socket.socket:
    family, address = target
    proto = 0 if family == socket.AF_UNIX else socket.IPPROTO_TCP
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        sock.setblocking(False)
        apply_options(sock, endpoint)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _hint(exc: BaseException) -> str | None:
    if isinstance(exc, ConnectionRefusedError):
        return "nobody listens there: is the server running, and is the port right?"
    return None


def _tls_failure(endpoint: Endpoint, exc: BaseException) -> ConnectError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ConnectError(
            f"{endpoint.location}: the certificate is not trusted: {exc.verify_message}",
            hint=certificate_hint(exc.verify_code),
        )
    if isinstance(exc, ssl.SSLError):
        return ConnectError(
            f"{endpoint.location}: the TLS handshake failed: {exc.reason or exc}", hint="does the peer speak TLS there?"
        )
    if isinstance(exc, (ConnectionAbortedError, ConnectionResetError)) and endpoint.scheme == "tls":
        return ConnectError(f"{endpoint.location}: the peer closed during the TLS handshake")
    return ConnectError(f"cannot reach {endpoint.location}: {reason_of(exc)}")
