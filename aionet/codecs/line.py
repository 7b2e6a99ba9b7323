"""Messages that end with a delimiter: lines of text, and any record with a terminator of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Self

from ..codec import Codec
from ..errors import ConfigError, EncodeError, FrameTooLarge, ProtocolError
from ..limits import KIB
from ._common import excerpt, refused_too_large, to_bytes, whole_number

try:
    from ._lines import LineEncoder, join_lines
except ImportError:  # it is compiled where there is a C compiler
    LineEncoder = join_lines = None  # type: ignore[assignment,misc]

__all__ = ["LineCodec"]

_CR = 0x0D  # as a number: ``b"\r" in data`` takes 120 ns longer, as CPython 3.11 first tries it as a number


@lru_cache(maxsize=64)
def _encoder(max_size: int, delimiter: bytes) -> Callable[[bytes], bytes]:
    return LineEncoder(delimiter[0], max_size, LineCodec(max_size, delimiter).encode).encode


class LineCodec(Codec[bytes]):
    """Messages of bytes, each followed by ``delimiter``, which is not part of them.

    With the default delimiter, LF, one CR just before it is dropped as well: CRLF (telnet, SMTP, ``nc -C``) and LF
    are read alike. LF is sent; a protocol that demands CRLF takes ``delimiter=b"\\r\\n"``. A message that ends
    with CR therefore arrives without it, unless the receiver has ``keep_cr``.

    Args:
        max_size: Longest message, bytes, delimiter (and dropped CR) not counted.
        delimiter: At least one byte.
        keep_cr: Drop no CR before LF.
        eof_ends_line: At the end of the stream, bytes without a delimiter are a last message (``printf hi | nc``).
            By default they are a fault: a line cut off by a broken connection looks the same.

    Raises:
        ConfigError: a size below 1, or a delimiter that is empty or not bytes.
    """

    batches = True
    text = True

    __slots__ = ("_byte", "_pending", "delimiter", "eof_ends_line", "fault", "keep_cr", "max_size")

    def __init__(
        self,
        max_size: int = 64 * KIB,
        delimiter: bytes = b"\n",
        *,
        keep_cr: bool = False,
        eof_ends_line: bool = False,
    ) -> None:
        if not isinstance(delimiter, bytes) or not delimiter:
            raise ConfigError(f"delimiter must be at least one byte, such as b'\\n', not {delimiter!r}")
        self.max_size = whole_number("max_size", max_size)
        self.delimiter = delimiter
        self._byte = delimiter[0] if len(delimiter) == 1 else None  # most messages are searched for it by memchr(3)
        self.keep_cr = keep_cr or delimiter != b"\n"
        self.eof_ends_line = eof_ends_line
        self.fault: ProtocolError | None = None
        # What came after the last delimiter. It never holds a whole delimiter, so it is never searched again; it
        # becomes a bytearray (cheap to append to) only when a line takes more than two chunks.
        self._pending: bytes | bytearray = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this chunk completes. A line too long is a fault, as soon as that is certain."""
        if self._pending or self.fault is not None:
            data = self._resume(data)
            if not data:
                return []
        lines = data.split(self.delimiter)
        rest = lines.pop()
        if not self.keep_cr and _CR in data:
            lines = [line.removesuffix(b"\r") for line in lines]
        if len(data) > self.max_size:
            return self._keep_within_limit(lines, rest)
        if rest:
            self._pending = rest
        return lines

    def feed_eof(self) -> list[bytes]:
        """Bytes without a delimiter: a last message with ``eof_ends_line``, a fault otherwise."""
        rest = bytes(self._pending)
        if not self.eof_ends_line:
            super().feed_eof()
            rest = b""
        self._pending = b""
        if len(rest) > self.max_size:  # by a CR, or part of a delimiter, whose rest never came
            self._too_large(rest)
        elif rest:
            return [rest]
        return []

    @property
    def buffered(self) -> int:
        """Bytes of a line whose delimiter has not come."""
        return len(self._pending)

    def encode(self, message: bytes) -> bytes:
        """The message and the delimiter.

        Raises:
            EncodeError: not bytes-like, longer than ``max_size``, or the delimiter would be found inside it.
        """
        byte = self._byte
        if byte is None or type(message) is not bytes:
            return self._encode_any(to_bytes(message))
        if byte in message or len(message) > self.max_size:
            raise self._cannot_encode(message)
        return message + self.delimiter

    def encoder(self) -> Callable[[bytes], bytes]:
        """:meth:`encode`, compiled: 33 ns instead of 118. One serves all connections whose lines are alike."""
        if LineEncoder is None or self._byte is None or type(self) is not LineCodec:
            return self.encode
        return _encoder(self.max_size, self.delimiter)

    def _encode_any(self, message: bytes) -> bytes:
        line = message + self.delimiter  # a longer one may arise across the seam
        if len(message) > self.max_size or line.find(self.delimiter) != len(message):
            raise self._cannot_encode(message)
        return line

    def encode_batch(self, messages: list[bytes]) -> bytes:
        """All messages with their delimiters.

        Raises:
            EncodeError: as :meth:`encode`.
        """
        if join_lines is not None and self._byte is not None:
            encoded = join_lines(messages, self._byte, self.max_size)
            if encoded is not None:
                return encoded
        delimiter = self.delimiter
        # Looking for one byte in all of them joined is memchr(3): half of what counting it in the result takes, join
        # included. A longer delimiter may arise across a seam; and a sum within the limit has no part above it.
        try:
            joined = b"".join(messages)
        except TypeError:  # encode says what is wrong
            return super().encode_batch(messages)
        if len(delimiter) > 1 or delimiter[0] in joined or len(joined) > self.max_size or not messages:
            return super().encode_batch(messages)
        return delimiter.join(messages) + delimiter

    def feed_payload(self, payload: bytes) -> list[bytes]:
        """The lines in it. Its end ends the last one, with a delimiter or without."""
        return self.feed(payload if payload.endswith(self.delimiter) else payload + self.delimiter)

    def encode_payload(self, message: bytes) -> bytes:
        """The message without a delimiter.

        Raises:
            EncodeError: as :meth:`encode`.
        """
        return self.encode(message)[: -len(self.delimiter)]

    def encoding_key(self) -> Hashable:
        """Codecs of this class with the same delimiter and limit encode equally."""
        return (type(self), self.delimiter, self.max_size)

    def clone(self) -> Self:
        """A fresh codec with the same settings."""
        if type(self) is not LineCodec:
            return super().clone()
        return type(self)(self.max_size, self.delimiter, keep_cr=self.keep_cr, eof_ends_line=self.eof_ends_line)

    def __repr__(self) -> str:
        keep_cr = ", keep_cr=True" if self.keep_cr and self.delimiter == b"\n" else ""
        eof = ", eof_ends_line=True" if self.eof_ends_line else ""
        return f"{type(self).__name__}(max_size={self.max_size}, delimiter={self.delimiter!r}{keep_cr}{eof})"

    def _resume(self, data: bytes) -> bytes:
        """Put a chunk behind what is pending: both together once they hold a delimiter, ``b""`` until then.

        Only the new bytes are searched, and the seam, for a delimiter that two chunks share.
        """
        if self.fault is not None:
            return b""
        pending = self._pending
        overlap = len(self.delimiter) - 1
        found = data.find(self.delimiter) >= 0
        if not found and overlap:
            found = (pending[-overlap:] + data[:overlap]).find(self.delimiter) >= 0
        if found:
            self._pending = b""
            return b"".join((pending, data))
        if type(pending) is bytes:
            pending = bytearray(pending)
        pending += data
        self._pending = pending
        if len(pending) > self.max_size and not self._may_still_end(pending):
            self._too_large(pending)
        return b""

    def _keep_within_limit(self, lines: list[bytes], rest: bytes) -> list[bytes]:
        """The lines before the first one too long; if all are good, the rest is kept or refused."""
        limit = self.max_size
        if lines and max(map(len, lines)) > limit:
            first = next(index for index, line in enumerate(lines) if len(line) > limit)
            self._too_large(lines[first])
            return lines[:first]
        if len(rest) > limit and not self._may_still_end(rest):
            self._too_large(rest)
        else:
            self._pending = rest
        return lines

    def _may_still_end(self, rest: bytes | bytearray) -> bool:
        """Whether ``rest`` ends with the beginning of a delimiter, at most ``max_size`` bytes into it."""
        ending = self.delimiter if self.keep_cr else b"\r\n"
        excess = len(rest) - self.max_size
        return any(rest.endswith(ending[:size]) for size in range(excess, len(ending)))

    def _too_large(self, line: bytes | bytearray) -> None:
        self._pending = b""
        self.fault = FrameTooLarge(
            f"a line of more than {self.max_size} bytes ({len(line)} seen) that begins {excerpt(line)}",
            hint="see the codec's max_size",
        )

    def _cannot_encode(self, message: bytes) -> EncodeError:
        if len(message) > self.max_size:
            return refused_too_large(len(message), self.max_size)
        return EncodeError(
            f"a message must not contain the delimiter {self.delimiter!r}, nor end with a part of it",
            hint="send each line as a message of its own, or choose a codec with a length prefix",
        )
