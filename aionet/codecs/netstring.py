"""Netstrings: ``5:hello,`` (D. J. Bernstein, 1997; used by SCGI and QMTP)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

from ..errors import FrameTooLarge, MalformedFrame, ProtocolError
from ..limits import MIB
from ._common import announced_too_large, excerpt, refused_too_large, to_bytes, whole_number
from ._counted import CountedCodec

__all__ = ["NetstringCodec"]

_COMMA = ord(",")


class NetstringCodec(CountedCodec):
    """Messages of bytes between their length in decimal digits with a colon, and a comma.

    Args:
        max_size: Longest message, bytes, the rest not counted. A length has no more digits than this one, and no
            leading zero.

    Raises:
        ConfigError: a size below 1.
    """

    __slots__ = ("_max_digits",)

    def __init__(self, max_size: int = 1 * MIB) -> None:
        super().__init__(whole_number("max_size", max_size))
        self._max_digits = len(str(max_size))

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that this chunk completes. The limit is checked when a length has come, before its message."""
        if self._pending or self.fault is not None:
            return self._resume(data)
        messages: list[bytes] = []
        position = 0
        end = len(data)
        while position < end:
            colon = data.find(b":", position, position + self._max_digits + 1)
            digits = data[position : colon if colon >= 0 else position + self._max_digits + 1]
            size = int(digits) if colon >= 0 and digits.isdigit() else -1
            if size < 0 or size > self.max_size or (digits[0] == 0x30 and len(digits) > 1):
                self._hold_or_refuse(data[position:], digits, colon >= 0)
                return messages
            stop = colon + 1 + size
            if stop >= end:
                self._hold(data[position:], colon + 1 - position, stop + 1 - position)
                return messages
            if data[stop] != _COMMA:
                self._refuse_end(data[stop])
                return messages
            messages.append(data[colon + 1 : stop])
            position = stop + 1
        return messages

    def encode(self, message: bytes) -> bytes:
        """The length, a colon, the message, a comma.

        Raises:
            EncodeError: not bytes-like, or longer than ``max_size``.
        """
        if type(message) is not bytes:
            message = to_bytes(message)
        size = len(message)
        if size > self.max_size:
            raise refused_too_large(size, self.max_size)
        return b"%d:%b," % (size, message)

    def encoding_key(self) -> Hashable:
        """Codecs of this class with the same limit encode equally."""
        return (type(self), self.max_size)

    def clone(self) -> Self:
        """A fresh codec with the same settings."""
        return type(self)(self.max_size) if type(self) is NetstringCodec else super().clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_size={self.max_size})"

    def _finish(self, pending: bytes | bytearray, tail: bytes) -> list[bytes]:
        if tail[-1] != _COMMA:
            self._refuse_end(tail[-1])
            return []
        return super()._finish(pending, tail[:-1])

    def _hold_or_refuse(self, rest: bytes, digits: bytes, ended: bool) -> None:
        """A length that has not ended yet is held; one that never can be right is refused at once."""
        fault: ProtocolError
        if not digits.isdigit():
            fault = MalformedFrame(f"a netstring starts with its length in digits and ':', not {excerpt(digits)}")
        elif digits[0] == 0x30 and len(digits) > 1:
            fault = MalformedFrame(f"a netstring's length must not have leading zeros: {excerpt(digits)}")
        elif ended:
            fault = announced_too_large(int(digits), self.max_size)
        elif len(digits) > self._max_digits:
            fault = FrameTooLarge(
                f"a message was announced by more than {self._max_digits} digits, at most {self.max_size} bytes are "
                "allowed",
                hint="see the codec's max_size",
            )
        else:
            self._hold(rest)
            return
        self._refuse(fault)

    def _refuse_end(self, byte: int) -> None:
        self._refuse(MalformedFrame(f"a netstring ends with ',', not {excerpt(bytes((byte,)))}"))
