"""Messages behind a length of fixed width: the usual framing of binary protocols."""

from __future__ import annotations

import copy
import struct
import sys
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Literal, Self

from ..errors import ConfigError, MalformedFrame
from ..limits import MIB
from ._common import announced_too_large, refused_too_large, to_bytes, whole_number
from ._counted import CountedCodec

try:
    from ._lengths import LengthEncoder, take_messages
except ImportError:  # it is compiled where there is a C compiler
    LengthEncoder = take_messages = None  # type: ignore[assignment,misc]

__all__ = ["LengthPrefixCodec"]

_STRUCTS = {
    (width, byteorder): struct.Struct(mark + code)
    for width, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))
    for byteorder, mark in (("big", ">"), ("little", "<"))
}


@lru_cache(maxsize=64)
def _encoder(width: int, big: bool, max_size: int, includes_header: bool) -> Callable[[bytes], bytes]:
    codec = LengthPrefixCodec(width, "big" if big else "little", max_size, includes_header)
    return LengthEncoder(width, big, width if includes_header else 0, min(max_size, sys.maxsize), codec.encode).encode


class LengthPrefixCodec(CountedCodec):
    """Messages of bytes, each behind its length as an unsigned integer.

    Args:
        width: Bytes of the length: 1, 2, 4 or 8.
        byteorder: ``"big"`` (network order) or ``"little"``.
        max_size: Longest message, bytes, length not counted. Lowered to what ``width`` bytes can say.
        includes_header: Whether the length counts its own bytes too.

    Raises:
        ConfigError: a width or byte order that is none of these, or a size below 1.
    """

    __slots__ = ("_big", "_counted_header", "_struct")

    def __init__(
        self,
        width: int = 4,
        byteorder: Literal["big", "little"] = "big",
        max_size: int = 1 * MIB,
        includes_header: bool = False,
    ) -> None:
        if width not in (1, 2, 4, 8):
            raise ConfigError(f"width must be 1, 2, 4 or 8 bytes, not {width!r}")
        if byteorder not in ("big", "little"):
            raise ConfigError(f"byteorder must be 'big' or 'little', not {byteorder!r}")
        self._struct = _STRUCTS[width, byteorder]
        self._big = byteorder == "big"
        self._counted_header = width if includes_header else 0
        largest = (1 << 8 * width) - 1 - self._counted_header
        super().__init__(min(whole_number("max_size", max_size), largest))

    @property
    def width(self) -> int:
        """Bytes of the length."""
        return self._struct.size

    @property
    def byteorder(self) -> str:
        """``"big"`` or ``"little"``."""
        return "big" if self._big else "little"

    @property
    def includes_header(self) -> bool:
        """Whether the length counts its own bytes too."""
        return self._counted_header > 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that this chunk completes. The limit is checked when a length has come, before its message."""
        if self._pending or self.fault is not None:
            return self._resume(data)
        unpack = self._struct.unpack_from
        width = self._struct.size
        counted = self._counted_header
        longest = self.max_size + counted
        messages: list[bytes] = []
        position = 0
        end = len(data)
        if take_messages is not None and type(data) is bytes:
            messages, position = take_messages(data, width, self._big, counted, longest)
            if position == end:
                return messages
        while (start := position + width) <= end:
            (length,) = unpack(data, position)
            if not counted <= length <= longest:
                self._refuse_length(length)
                return messages
            stop = start + length - counted
            if stop > end:
                self._hold(data[position:], width, stop - position)
                return messages
            messages.append(data[start:stop])
            if stop == end:
                return messages
            position = stop
        if position < end:
            self._hold(data[position:])
        return messages

    def encode(self, message: bytes) -> bytes:
        """The length and the message.

        Raises:
            EncodeError: not bytes-like, or longer than ``max_size``.
        """
        if type(message) is not bytes:
            message = to_bytes(message)
        size = len(message)
        if size > self.max_size:
            raise refused_too_large(size, self.max_size)
        return self._struct.pack(size + self._counted_header) + message

    def encoder(self) -> Callable[[bytes], bytes]:
        """:meth:`encode`, compiled. One serves all connections whose messages are framed alike."""
        if LengthEncoder is None or type(self) is not LengthPrefixCodec:
            return self.encode
        return _encoder(self._struct.size, self._big, self.max_size, self.includes_header)

    def encoding_key(self) -> Hashable:
        """Codecs of this class with the same header and limit encode equally."""
        return (type(self), self._struct.format, self._counted_header, self.max_size)

    def clone(self) -> Self:
        """A fresh codec with the same settings."""
        if type(self) is not LengthPrefixCodec:
            return copy.deepcopy(self, {id(self._struct): self._struct})  # a Struct itself cannot be copied
        return type(self)(self._struct.size, "big" if self._big else "little", self.max_size, self.includes_header)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(width={self.width}, byteorder={self.byteorder!r}, max_size={self.max_size}, "
            f"includes_header={self.includes_header})"
        )

    def _refuse_length(self, length: int) -> None:
        counted = self._counted_header
        if length < counted:
            fault = f"a length of {length}, which must count its own {counted} bytes and so be at least {counted}"
            self._refuse(MalformedFrame(fault))
        else:
            self._refuse(announced_too_large(length - counted, self.max_size))
