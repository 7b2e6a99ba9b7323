"""A client's stream connection."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final, TypeVar, overload

from ..core.connecting import ConnectTimings, open_stream
from ..endpoint import Endpoint
from ..errors import ConnectTimeout
from ..handler import CodecSource, Connection
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
    timeout: float = ...,
    limits: Limits = ...,
    timeouts: Timeouts = ...,
    ssl_context: Any = None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = ...,
) -> Opening[Connection[bytes]]: ...
@overload
def connect(
    endpoint: str | Endpoint,
    *,
    codec: CodecSource[M],
    timeout: float = ...,
    limits: Limits = ...,
    timeouts: Timeouts = ...,
    ssl_context: Any = None,
    timings: ConnectTimings | None = None,
    proxy_header: bytes = ...,
) -> Opening[Connection[M]]: ...
def connect(
    endpoint: str | Endpoint,
    *,
    codec: CodecSource[Any] | None = None,
    timeout: float = 10.0,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    timeouts: Timeouts = CLIENT_TIMEOUTS,
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
        codec: As on a server; left out, messages are chunks of bytes as they come (WebSocket's: its messages).
        timeout: Seconds for everything up to the connection: look-up, connect, TLS, the codec's handshake.
        limits: Water marks of this connection.
        timeouts: Its deadlines; by default none for what is received.
        ssl_context: An ``ssl.SSLContext`` instead of one made from the endpoint's options.
        timings: Told when each phase was done; of an attempt that failed, how far it came.
        proxy_header: What a proxy sends first, to say for whom it speaks:
            :func:`aionet.codecs.proxy_header.format_v2`. Of this connection itself: ``?proxy_header=v2``.

    Raises:
        EndpointError: the endpoint does not parse, or cannot be connected to.
        TLSConfigError: a certificate or CA file named in it.
        ConnectError: it could not be reached, or TLS, or the codec's handshake, was refused.
        ConnectTimeout: not within ``timeout``.
    """
    where = Endpoint.parse(endpoint)

    async def open_() -> Connection[Any]:
        try:
            async with asyncio.timeout(timeout):
                return await open_stream(
                    where,
                    codec,
                    limits=limits,
                    timeouts=timeouts,
                    ssl_context=ssl_context,
                    timings=timings,
                    proxy_header=proxy_header,
                )
        except ConnectTimeout:  # of the TLS handshake alone
            raise
        except TimeoutError as exc:
            raise ConnectTimeout(f"cannot reach {where.location}: no answer within {timeout:g} s") from exc

    return Opening(open_)
