"""Messages of one size, with nothing between them: sensor records, game ticks, fixed-width tables."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

from ..errors import EncodeError
from ._common import to_bytes, whole_number
from ._counted import CountedCodec

__all__ = ["FixedSizeCodec"]


class FixedSizeCodec(CountedCodec):
    """Messages of exactly ``size`` bytes each. The only fault there can be is a stream that ends inside one.

    Args:
        size: Bytes of each message.

    Raises:
        ConfigError: a size below 1.
    """

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(whole_number("size", size))

    @property
    def size(self) -> int:
        """Bytes of each message; the same as ``max_size``."""
        return self.max_size

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that this chunk completes."""
        if self._pending or self.fault is not None:
            return self._resume(data)
        size = self.max_size
        end = len(data)
        if end == size:
            return [data]
        whole = end - end % size
        if whole < end:
            self._hold(data[whole:], 0, size)
        return [data[position : position + size] for position in range(0, whole, size)]

    def encode(self, message: bytes) -> bytes:
        """The message as it is.

        Raises:
            EncodeError: not bytes-like, or not of ``size`` bytes.
        """
        if type(message) is not bytes:
            message = to_bytes(message)
        if len(message) != self.max_size:
            raise EncodeError(f"a message must have exactly {self.max_size} bytes, not {len(message)}")
        return message

    def encoding_key(self) -> Hashable:
        """Codecs of this class with the same size encode equally."""
        return (type(self), self.max_size)

    def clone(self) -> Self:
        """A fresh codec of the same size."""
        return type(self)(self.max_size) if type(self) is FixedSizeCodec else super().clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.max_size})"
