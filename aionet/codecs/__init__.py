"""Codecs: bytes to messages and back, without IO. Each connection has one of its own.

A codec of your own subclasses :class:`~aionet.Codec`; :func:`aionet.testing.verify_codec` checks it.
"""

from typing import TYPE_CHECKING, Any

from .fixed import FixedSizeCodec
from .json import JsonCodec
from .length import LengthPrefixCodec
from .line import LineCodec
from .netstring import NetstringCodec
from .raw import RawCodec
from .varint import VarintCodec

__all__ = [
    "FixedSizeCodec",
    "JsonCodec",
    "LengthPrefixCodec",
    "LineCodec",
    "NetstringCodec",
    "RawCodec",
    "VarintCodec",
    "WebSocketCodec",
]

if TYPE_CHECKING:
    from .websocket import WebSocketCodec


def __getattr__(name: str) -> Any:
    """What needs the ``websockets`` library, which takes 40 ms to import, is loaded when it is first asked for."""
    if name == "WebSocketCodec":
        from .websocket import WebSocketCodec

        return WebSocketCodec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
