"""What is sent, and what has to come back: a ring of messages, made and encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from ..codec import Codec
from ..codecs import JsonCodec, RawCodec
from ..errors import ConfigError
from ..limits import KIB

__all__ = ["Script", "generated_messages"]

RING_BYTES: Final = 1024 * KIB
RING_MESSAGES: Final = 1024
CHUNK: Final = 256 * KIB
"""Bytes a transport may hand over at once (uvloop's read buffer). So far a ring goes on behind its end, so that what
comes is compared with one slice of it."""

_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Script:
    """A ring of messages: whoever begins in another place sends, and expects, other bytes at the same time, so that
    replies that are lost, doubled, swapped, or sent to the wrong connection do not match.

    Attributes:
        messages: What is sent, in turn.
        replies: What is expected for each, as the codec gives it.
        make_codec: Makes the codec of each connection: a codec's class, a function of a module, a ``partial`` of one.
            It goes to other processes.
        verify: Whether replies are compared; without, only counted.
    """

    messages: tuple[Any, ...]
    replies: tuple[Any, ...]
    make_codec: Callable[[], Codec[Any]] = RawCodec
    verify: bool = True

    def __post_init__(self) -> None:
        if not self.messages or len(self.messages) != len(self.replies):
            raise ConfigError("a script has at least one message, and a reply for each")
        for what, sizes in (("messages", self.encoded_sizes()), ("replies", self._reply_sizes())):
            if len(sizes) > 1 or 0 in sizes:
                raise ConfigError(f"all {what} of a script must have one size, of at least a byte")

    @property
    def framed(self) -> bool:
        """Whether the codec tells where a reply ends; else they are told apart by their size."""
        return not isinstance(self.make_codec(), RawCodec)

    @property
    def request_size(self) -> int:
        """Bytes of one message on the wire."""
        return self.encoded_sizes().pop()

    @property
    def reply_size(self) -> int:
        """Bytes of one reply on the wire, as far as they are known: that of a reply in the same codec."""
        reply = self.replies[0]
        return len(self.make_codec().encode(reply)) if self.framed else len(reply)

    def encoded_sizes(self) -> set[int]:
        """Sizes of the messages on the wire, bytes."""
        return {len(data) for data in self._encoded()}

    def _reply_sizes(self) -> set[int]:
        return {1} if self.framed else {len(reply) for reply in self.replies}

    def _encoded(self) -> list[bytes]:
        encode = self.make_codec().encode
        return [encode(message) for message in self.messages]

    def requests(self, window: int) -> bytes:
        """The ring as bytes for the wire, and ``window`` messages more behind its end."""
        return b"".join(_beyond(self._encoded(), window))

    def raw_replies(self) -> bytes:
        """The ring of replies as bytes, and a chunk more."""
        return b"".join(_beyond(self.replies, -(-CHUNK // self.reply_size)))

    def message_ring(self, window: int) -> list[Any]:
        """The ring as it is given to a codec, and ``window`` messages more."""
        return _beyond(self.messages, window)

    def framed_replies(self) -> list[Any]:
        """The ring of replies as a list, and what a chunk may hold more."""
        return _beyond(self.replies, CHUNK // max(self.reply_size, 1) + 1)


def _beyond(ring: Sequence[Any], more: int) -> list[Any]:
    """The ring, and so many items more from its beginning, as often around as it takes."""
    around = [item for _ in range(more // len(ring) + 1) for item in ring]
    return [*ring, *islice(around, more)]


def generated_messages(size: int, codec: Codec[Any]) -> tuple[Any, ...]:
    """A ring of printable messages of ``size`` bytes, different from each other as far as their size allows.

    Raises:
        ConfigError: the codec takes no such message.
    """
    if size < 1:
        raise ConfigError(f"a message has at least 1 byte, not {size}")
    count = max(1, min(RING_MESSAGES, RING_BYTES // size, 10 ** min(size, 6)))
    filler = _LETTERS * (size // len(_LETTERS) + 1)
    digits = min(size, 6)
    texts = (f"{number:0{digits}d}".encode() + filler[: size - digits] for number in range(count))
    as_text = isinstance(codec, JsonCodec)
    return tuple(text.decode() if as_text else text for text in texts)
