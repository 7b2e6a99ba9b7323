"""Messages behind a length of variable width: delimited Protocol Buffers, and whatever else uses LEB128."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

from ..errors import MalformedFrame
from ..limits import MIB
from ._common import announced_too_large, excerpt, refused_too_large, to_bytes, whole_number
from ._counted import CountedCodec

__all__ = ["VarintCodec"]

_MAX_HEADER = 10  # bytes that 64 bits take, seven in each
_ONE_BYTE = [bytes((size,)) for size in range(0x80)]


class VarintCodec(CountedCodec):
    """Messages of bytes, each behind its length as an unsigned LEB128 integer (the varint of Protocol Buffers).

    Seven bits a byte, the lowest first; the high bit says that another byte follows. Lengths have at most 64 bits
    and must be written in their shortest form, so that a message has one encoding only.

    Args:
        max_size: Longest message, bytes, length not counted.

    Raises:
        ConfigError: a size below 1.
    """

    __slots__ = ()

    def __init__(self, max_size: int = 1 * MIB) -> None:
        super().__init__(whole_number("max_size", max_size))

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that this chunk completes. The limit is checked when a length has come, before its message."""
        if self._pending or self.fault is not None:
            return self._resume(data)
        messages: list[bytes] = []
        position = 0
        end = len(data)
        while position < end:
            size = data[position]
            start = position + 1
            if size >= 0x80:
                size, start = self._long_length(data, position)
                if not start:
                    return messages
            if size > self.max_size:
                self._refuse(announced_too_large(size, self.max_size))
                return messages
            stop = start + size
            if stop > end:
                self._hold(data[position:], start - position, stop - position)
                return messages
            messages.append(data[start:stop])
            position = stop
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
        return (_ONE_BYTE[size] if size < 0x80 else _varint(size)) + message

    def encoding_key(self) -> Hashable:
        """Codecs of this class with the same limit encode equally."""
        return (type(self), self.max_size)

    def clone(self) -> Self:
        """A fresh codec with the same settings."""
        return type(self)(self.max_size) if type(self) is VarintCodec else super().clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_size={self.max_size})"

    def _long_length(self, data: bytes, position: int) -> tuple[int, int]:
        """A length of more than one byte, and where its message starts: 0 if it is held or refused."""
        header = data[position : position + _MAX_HEADER]
        size = 0
        for index, byte in enumerate(header):
            size |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if not byte:
                    self._refuse_length(header[: index + 1], "is not in its shortest form")
                elif size >> 64:
                    self._refuse_length(header[: index + 1], "does not fit into 64 bits")
                else:
                    return size, position + index + 1
                return 0, 0
        if len(header) == _MAX_HEADER:
            self._refuse_length(header, f"does not end after {_MAX_HEADER} bytes")
        else:
            self._hold(data[position:])
        return 0, 0

    def _refuse_length(self, header: bytes, why: str) -> None:
        self._refuse(MalformedFrame(f"a varint length that {why}: {excerpt(header)}"))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
