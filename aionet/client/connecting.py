"""A client's stream connection."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final, TypeVar, overload

from ..codec import CodecSource
from ..core.connecting import ConnectTimings, open_stream
from ..endpoint import Endpoint
from ..errors import ConnectTimeout, RouteError
from ..handler import Connection, StreamHandler
from ..limits import Limits, Timeouts
from .opening import Opening

__all__ = ["CLIENT_TIMEOUTS", "connect"]

M = TypeVar("M")

CLIENT_TIMEOUTS: Final = Timeouts(first_message=math.inf, message=math.inf, idle=math.inf)
"""A client chose its peer and may wait for it as long as it likes: only sending and closing have deadlines."""


@overload
def connect(
    endpoint: str | Endpoint,
    *,
    codec: None = None,
    handler: None = None,
    timeout: float = ...,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl_context: Any = None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = ...,
) -> Opening[Connection[bytes]]: ...
@overload
def connect(
    endpoint: str | Endpoint,
    *,
    codec: CodecSource[M] | None = None,
    handler: StreamHandler[M],
    timeout: float = ...,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl_context: Any = None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = ...,
) -> Opening[Connection[M]]: ...
@overload
def connect(
    endpoint: str | Endpoint,
    *,
    codec: CodecSource[M],
    handler: None = None,
    timeout: float = ...,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl_context: Any = None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = ...,
) -> Opening[Connection[M]]: ...
def connect(
    endpoint: str | Endpoint,
    *,
    codec: CodecSource[Any] | None = None,
    handler: StreamHandler[Any] | None = None,
    timeout: float = 10.0,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    ssl_context: Any = None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = b"",
) -> Opening[Connection[Any]]:
    """Connect: ``async with connect("tcp://127.0.0.1:7000", codec=LineCodec()) as conn``, or ``await`` it.

    Of a name with several addresses, all are tried (Happy Eyeballs, RFC 8305). With ``tls://`` the certificate and
    the name are verified unless the endpoint says ``verify=0``. With ``ws://`` and ``wss://`` the codec's messages are
    carried by WebSocket (:class:`~aionet.WebSocketCodec`).

    Args:
        endpoint: ``tcp://``, ``tls://``, ``ws://``, ``wss://`` or ``unix://``.
        codec: As on a server; left out, the handler's, or else chunks of bytes as they come (over WebSocket: messages).
        handler: Gets the messages by its callbacks, as on a server, from ``on_connect`` on, which is called before the
            connection is returned; :meth:`~aionet.Connection.receive` is then not for use. Unlike a server's, the
            connection is read on while its output is congested. Left out, whoever connects receives.
        timeout: Seconds for everything up to the connection: look-up, connect, TLS, the codec's handshake.
        limits: Water marks of this connection; left out, the handler's, or the defaults.
        timeouts: Its deadlines; left out, the handler's, or :data:`CLIENT_TIMEOUTS`: none for what is received.
        ssl_context: An ``ssl.SSLContext`` instead of one made from the endpoint's options.
        timings: Told when each phase was done; of an attempt that failed, how far it came.
        proxy_header: What a proxy sends first, to say for whom it speaks:
            :func:`aionet.codecs.proxy_header.format_v2`. Of this connection itself: ``?proxy_header=v2``.

    Raises:
        EndpointError: the endpoint does not parse, or cannot be connected to.
        RouteError: the handler is no :class:`~aionet.StreamHandler`, or mixes styles.
        TLSConfigError: a certificate or CA file named in it.
        ConnectError: it could not be reached, or TLS, or the codec's handshake, was refused.
        ConnectTimeout: not within ``timeout``.
    """
    where = Endpoint.parse(endpoint)
    if handler is not None:
        if not isinstance(handler, StreamHandler):
            raise RouteError(
                f"{handler!r} is no StreamHandler instance: a client's handler has callbacks",
                hint="a coroutine needs no handler: async with connect(...) as conn",
            )
        codec = handler.codec if codec is None else codec
        limits, timeouts = limits or handler.limits, timeouts or handler.timeouts

    async def open_() -> Connection[Any]:
        try:
            async with asyncio.timeout(timeout):
                return await open_stream(
                    where,
                    codec,
                    handler,
                    limits=limits or Limits(),
                    timeouts=timeouts or CLIENT_TIMEOUTS,
                    ssl_context=ssl_context,
                    timings=timings,
                    proxy_header=proxy_header,
                )
        except ConnectTimeout:  # of the TLS handshake alone
            raise
        except TimeoutError as exc:
            raise ConnectTimeout(f"cannot reach {where.location}: no answer within {timeout:g} s") from exc

    return Opening(open_)
