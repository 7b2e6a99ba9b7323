"""aionet: the server framework for protocols that are not HTTP.

::

    from aionet import LineCodec, Router, StreamHandler, run

    class Shout(StreamHandler):
        codec = LineCodec()

        def on_message(self, conn, line):
            conn.write(line.upper())

    router = Router()
    router.add("tcp://127.0.0.1:7000", Shout())
    run(router)
"""

from typing import TYPE_CHECKING, Any

from . import codecs, errors, events
from .client import connect, open_datagram
from .codec import Codec
from .codecs import (
    FixedSizeCodec,
    JsonCodec,
    LengthPrefixCodec,
    LineCodec,
    NetstringCodec,
    RawCodec,
    VarintCodec,
)
from .core.group import Group, SlowConsumerPolicy
from .datagram import DatagramHandler, DatagramPort
from .endpoint import Endpoint
from .errors import AionetError
from .events import Address, CloseReason
from .handler import Connection, StreamHandler
from .limits import Limits, Timeouts
from .routing import Route, Router
from .running import run
from .server import Server, ServerState

__version__ = "0.1.0"

__all__ = [
    "Address",
    "AionetError",
    "CloseReason",
    "Codec",
    "Connection",
    "DatagramHandler",
    "DatagramPort",
    "Endpoint",
    "FixedSizeCodec",
    "Group",
    "JsonCodec",
    "LengthPrefixCodec",
    "Limits",
    "LineCodec",
    "NetstringCodec",
    "RawCodec",
    "Route",
    "Router",
    "Server",
    "ServerState",
    "SlowConsumerPolicy",
    "StreamHandler",
    "Timeouts",
    "VarintCodec",
    "WebSocketCodec",
    "connect",
    "errors",
    "events",
    "open_datagram",
    "run",
]

if TYPE_CHECKING:
    from .codecs import WebSocketCodec


def __getattr__(name: str) -> Any:
    if name == "WebSocketCodec":  # which loads another library
        return codecs.WebSocketCodec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
