"""How a handler wants to be called: decided once, at registration, by what it overrides."""

from __future__ import annotations

import enum
import inspect

from .datagram import DatagramHandler
from .errors import RouteError
from .handler import StreamHandler

__all__ = ["DatagramStyle", "StreamStyle", "datagram_style", "stream_style"]


class StreamStyle(enum.Enum):
    """How a stream handler wants its messages."""

    CALLBACK = "on_message"
    BATCH = "on_messages"
    ASYNC_MESSAGE = "async on_message"
    COROUTINE = "async def handler(conn)"


class DatagramStyle(enum.Enum):
    """How a datagram handler wants its datagrams."""

    CALLBACK = "on_datagram"
    ASYNC_DATAGRAM = "async on_datagram"
    COROUTINE = "async def handler(port)"


def stream_style(handler: object) -> StreamStyle:
    """Decide, once, how this handler is to be called.

    Raises:
        RouteError: it is no stream handler, or mixes styles.
    """
    if isinstance(handler, StreamHandler):
        cls = type(handler)
        _refuse_async(cls, StreamHandler, allowed="on_message")
        batch = cls.on_messages is not StreamHandler.on_messages
        if batch and cls.on_message is not StreamHandler.on_message:
            raise RouteError(f"{cls.__name__} overrides both on_message and on_messages", hint="keep one of them")
        if inspect.iscoroutinefunction(handler.on_message):
            return StreamStyle.ASYNC_MESSAGE
        if cls.on_message_nowait is not StreamHandler.on_message_nowait:
            raise RouteError(
                f"{cls.__name__} overrides on_message_nowait, but has no async on_message to take what that leaves",
                hint="make on_message async; or, if nothing ever waits, on_message_nowait is your on_message",
            )
        return StreamStyle.BATCH if batch else StreamStyle.CALLBACK
    if _is_coroutine_callable(handler):
        return StreamStyle.COROUTINE
    raise RouteError(_no_handler(handler, "a StreamHandler", "conn"), hint=_handler_hint(handler))


def datagram_style(handler: object) -> DatagramStyle:
    """Decide, once, how this handler is to be called.

    Raises:
        RouteError: it is no datagram handler, or mixes styles.
    """
    if isinstance(handler, DatagramHandler):
        _refuse_async(type(handler), DatagramHandler, allowed="on_datagram")
        if inspect.iscoroutinefunction(handler.on_datagram):
            return DatagramStyle.ASYNC_DATAGRAM
        return DatagramStyle.CALLBACK
    if _is_coroutine_callable(handler):
        return DatagramStyle.COROUTINE
    raise RouteError(_no_handler(handler, "a DatagramHandler", "port"), hint=_handler_hint(handler))


def _is_coroutine_callable(handler: object) -> bool:
    if isinstance(handler, type):
        return False
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(type(handler), "__call__", None)  # noqa: B004 - it is to be looked at, not to be asked for
    )


def _refuse_async(cls: type, base: type, allowed: str) -> None:
    for name in vars(base):
        if name.startswith("on_") and name != allowed and inspect.iscoroutinefunction(getattr(cls, name)):
            raise RouteError(
                f"{cls.__name__}.{name} must be a plain function, not async",
                hint=f"only {allowed} may be async; or write the whole handler as one coroutine",
            )


def _no_handler(handler: object, wanted: str, argument: str) -> str:
    return f"{handler!r} is no handler here: {wanted} instance or an 'async def handler({argument})' is needed"


def _handler_hint(handler: object) -> str | None:
    if isinstance(handler, type) and issubclass(handler, (StreamHandler, DatagramHandler)):
        return f"give an instance: {handler.__name__}()"
    return None
