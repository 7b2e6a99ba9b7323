"""Codecs: bytes to messages and back, without IO. Each connection has one of its own.

A codec of your own subclasses :class:`~aionet.Codec`; :func:`aionet.testing.verify_codec` checks it.
"""

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
]
