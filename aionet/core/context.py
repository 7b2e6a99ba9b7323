"""What all connections of one route share, so that a connection holds a single reference to it."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from .. import codecs
from ..codec import Codec, CodecSource
from ..codecs import RawCodec
from ..endpoint import Endpoint
from ..errors import ConfigError
from ..events import Address, Events
from ..handler import Connection, StreamHandler
from ..limits import Limits, Timeouts
from ..styles import StreamStyle, stream_style
from .deadlines import Deadlines
from .loop import LoopShared, shared
from .message_path import BATCHES, CHUNKS, MESSAGES

__all__ = ["CodecFactory", "ConnectionNames", "Door", "StreamContext", "codec_factory"]

M = TypeVar("M")
CodecFactory = Callable[[], Codec[M]]
ConnectionNames = tuple[Address, Address]
"""The peer's address and our own, as a handler is to see them."""


def codec_factory(
    source: CodecSource[Any] | None, own: CodecSource[Any] | None = None, endpoint: Endpoint | None = None
) -> CodecFactory[Any]:
    """Turn what a user may give as ``codec`` into something that makes a fresh one for each connection.

    Args:
        source: What was given; ``None``: ``own``, or else chunks of bytes as they come.
        own: What the handler asks for.
        endpoint: Where it serves; WebSocket's have what is given carried by a WebSocket codec.

    Raises:
        ConfigError: it is neither a codec nor does it make one.
    """
    if source is None:
        source = own
    if source is None:
        source = RawCodec
    make: Callable[[], Any] = source.clone if isinstance(source, Codec) else source
    sample = _sample(source, make)
    if own is not None and sample.adopt(own) is not sample:
        source = sample.adopt(own) if isinstance(source, Codec) else lambda: make().adopt(own)
    if endpoint is not None and endpoint.is_websocket:
        source = codecs.WebSocketCodec.serving(endpoint, source)
    return source.clone if isinstance(source, Codec) else source


def _sample(source: object, make: Callable[[], Any]) -> Codec[Any]:
    if not callable(make):
        raise ConfigError(f"{source!r} is no codec", hint="give a Codec instance, or something callable that makes one")
    try:
        sample = make()
    except Exception as exc:
        raise ConfigError(f"making a codec by {source!r} failed: {type(exc).__name__}: {exc}") from exc
    if not isinstance(sample, Codec):
        raise ConfigError(f"{source!r} makes {sample!r}, which is no Codec", hint="subclass aionet.Codec")
    return sample


class Door(Protocol):
    """Who lets a listener's connections in, and hears when they leave."""

    def admit(self, conn: Any) -> bool:
        """Whether ``conn`` may begin now. If not, it is refused, or parked and begun later, by the door."""

    def leave(self, conn: Any) -> None:
        """An admitted connection is gone."""

    def leave_early(self, conn: Any) -> None:
        """A connection that was never admitted is gone."""


class StreamContext(Generic[M]):
    """One route's handler, codec, limits and deadlines, resolved once.

    Callbacks that the handler does not override are ``None`` where the default does nothing.
    """

    __slots__ = (
        "check_interval",
        "connections",
        "deadlines",
        "door",
        "events",
        "half_close",
        "handler",
        "limits",
        "loop",
        "make_codec",
        "name",
        "nodelay_off",
        "on_close",
        "on_connect",
        "on_drain",
        "on_eof",
        "on_fault",
        "on_message",
        "on_message_nowait",
        "on_writable",
        "probe_interval",
        "reads_on",
        "sets_water",
        "shared",
        "style",
        "takes",
        "tasks",
        "timeouts",
    )

    def __init__(
        self,
        name: str,
        handler: object,
        codec: CodecSource[M] | None,
        *,
        loop: asyncio.AbstractEventLoop,
        events: Events,
        deadlines: Deadlines,
        limits: Limits,
        timeouts: Timeouts,
        half_close: bool = True,
        nodelay_off: bool = False,
        endpoint: Endpoint | None = None,
        reads_on: bool = False,
    ) -> None:
        self.name = name
        self.handler = handler
        self.style = StreamStyle.COROUTINE if handler is None else stream_style(handler)  # None: a client
        own = handler.codec if isinstance(handler, StreamHandler) else None
        self.make_codec: CodecFactory[M] = codec_factory(codec, own, endpoint)
        self.takes = MESSAGES
        if self.style is StreamStyle.BATCH:
            self.takes = BATCHES
        elif self.style is StreamStyle.CALLBACK and type(self.make_codec()) is RawCodec:
            self.takes = CHUNKS
        self.loop = loop
        self.shared: LoopShared = shared(loop)
        self.events = events
        self.deadlines = deadlines
        self.limits = limits
        self.timeouts = timeouts
        self.half_close = half_close
        self.nodelay_off = nodelay_off
        self.reads_on = reads_on  # also while its output is congested
        self.door: Door | None = None
        self.sets_water = (limits.high_water, limits.low_water) != (64 * 1024, 16 * 1024)  # both loops' defaults
        self.check_interval = min(timeouts.first_message, timeouts.message, timeouts.idle, timeouts.send) / 4
        self.probe_interval = min(self.check_interval, timeouts.keepalive)
        self.connections: set[Connection[M]] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._bind_callbacks(handler)

    def _bind_callbacks(self, handler: object) -> None:
        self.on_connect: Callable[..., Any] | None = None
        self.on_writable: Callable[..., Any] | None = None
        self.on_fault: Callable[..., Any] | None = None
        self.on_close: Callable[..., Any] | None = None
        self.on_eof: Callable[..., Any] | None = None
        self.on_drain: Callable[..., Any] | None = None
        self.on_message: Callable[..., Any] = _no_callback
        self.on_message_nowait: Callable[..., bool] | None = None
        if isinstance(handler, StreamHandler):
            self.on_connect = _overridden(handler, "on_connect")
            self.on_writable = _overridden(handler, "on_writable")
            self.on_fault = _overridden(handler, "on_fault")
            self.on_close = _overridden(handler, "on_close")
            self.on_message_nowait = _overridden(handler, "on_message_nowait")
            self.on_eof = handler.on_eof
            self.on_drain = handler.on_drain
            self.on_message = handler.on_messages if self.style is StreamStyle.BATCH else handler.on_message

    def set_nodelay_off(self, transport: asyncio.BaseTransport | None) -> None:
        """What ``?nodelay=0`` asks for."""
        sock = None if transport is None else transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

    def first_check(self) -> float:
        """When a new connection is first looked at, loop time."""
        return self.loop.time() + self.check_interval if self.check_interval < math.inf else math.inf


def _no_callback(conn: Any, message: Any) -> None:
    raise AssertionError("a coroutine's messages go to its inbox")


def _overridden(handler: StreamHandler[Any], name: str) -> Callable[..., Any] | None:
    if getattr(type(handler), name) is getattr(StreamHandler, name) and name not in vars(handler):
        return None
    callback: Callable[..., Any] = getattr(handler, name)
    return callback
