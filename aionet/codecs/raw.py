"""Chunks of bytes as they come: for streams without messages, and for handlers that do their own framing."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Self

from ..codec import Codec
from ._common import to_bytes

__all__ = ["RawCodec"]


class RawCodec(Codec[bytes]):
    """Each chunk is a message, as it came from the socket; never empty.

    Where the chunks begin and end is up to the network and means nothing. Nothing is buffered here and no chunk
    is refused, so ``max_size`` has no effect; the reader bounds a chunk.
    """

    batches = True

    __slots__ = ()

    @property
    def body_left(self) -> int:  # type: ignore[override]
        """All that will ever come; nothing in a subclass whose :meth:`feed` wants to see it."""
        return sys.maxsize if type(self).feed is RawCodec.feed else 0

    def feed(self, data: bytes) -> list[bytes]:
        """The chunk itself; nothing for an empty one."""
        return [data] if data else []

    def encode(self, message: bytes) -> bytes:
        """The bytes unchanged; a bytearray or memoryview is copied.

        Raises:
            EncodeError: not bytes-like.
        """
        return message if type(message) is bytes else to_bytes(message)

    def feed_payload(self, payload: bytes) -> list[bytes]:
        """The payload itself; an empty one, too: a carrier's borders do mean something."""
        return [payload]

    encode_batch = staticmethod(b"".join)  # type: ignore[assignment]  # one behind the other; a single one as it is

    def encoding_key(self) -> Hashable:
        """All codecs of this class encode equally."""
        return (type(self),)

    def clone(self) -> Self:
        """A fresh codec."""
        return type(self)() if type(self) is RawCodec else super().clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
