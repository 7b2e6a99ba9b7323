"""The common half of codecs that know, from a header or beforehand, how many bytes a message has."""

from __future__ import annotations

from ..codec import Codec
from ..errors import ProtocolError

__all__ = ["CountedCodec"]


class CountedCodec(Codec[bytes]):
    """A message that spans chunks is collected here; a subclass parses the chunks in which messages begin.

    A subclass's :meth:`feed` takes messages off a chunk and gives an unfinished one to :meth:`_hold`. It starts with
    ``if self._pending or self.fault is not None: return self._resume(data)``.
    """

    __slots__ = ("_frame", "_header", "_pending", "fault", "max_size")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.fault: ProtocolError | None = None
        # The unfinished message from its header on. Bytes at first; a bytearray (cheap to append to, and no larger
        # than what it holds, as a list of small chunks would be) only when it takes more than two chunks.
        self._pending: bytes | bytearray = b""
        self._header = 0  # bytes of its header
        self._frame = 0  # bytes of the whole, header and trailer included; 0 while the header is incomplete

    def feed_eof(self) -> list[bytes]:
        """Nothing more comes: an unfinished message is a fault."""
        super().feed_eof()
        self._pending = b""
        return []

    @property
    def buffered(self) -> int:
        """Bytes of the unfinished message, its header included."""
        return len(self._pending)

    def _hold(self, rest: bytes, header: int = 0, frame: int = 0) -> None:
        """Keep an unfinished message. Its size, if known, was checked against ``max_size``."""
        self._pending = rest
        self._header = header
        self._frame = frame

    def _refuse(self, fault: ProtocolError) -> None:
        self.fault = fault
        self._pending = b""

    def _resume(self, data: bytes) -> list[bytes]:
        """Take a chunk that goes on with the unfinished message."""
        pending = self._pending
        if self.fault is not None or not data:
            return []
        if not self._frame:  # a header is short: put it together and start over
            self._pending = b""
            return self.feed(b"".join((pending, data)))
        missing = self._frame - len(pending)
        if len(data) < missing:
            if type(pending) is bytes:
                pending = bytearray(pending)
            pending += data
            self._pending = pending
            return []
        self._pending = b""
        messages = self._finish(pending, data[:missing])
        if len(data) > missing and self.fault is None:
            messages += self.feed(data[missing:])
        return messages

    def _finish(self, pending: bytes | bytearray, tail: bytes) -> list[bytes]:
        """The message without its header, now that its last bytes have come. Copied once."""
        with memoryview(pending) as view:
            return [b"".join((view[self._header :], tail))]
