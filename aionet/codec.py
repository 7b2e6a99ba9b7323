"""The contract of codecs: bytes to messages and back. Those that come with aionet are in ``codecs/``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any, Generic, Self, TypeVar

from .errors import IncompleteFrame, ProtocolError
from .events import CloseReason

__all__ = ["Codec", "CodecSource"]

M = TypeVar("M")


class Codec(Generic[M]):
    """Bytes to messages and back, without IO. One instance for each connection.

    Subclass it with :meth:`feed` and :meth:`encode` alone; the rest has working defaults. A subclass that keeps its
    instances small with ``__slots__`` lists ``"fault"`` among them (and ``"max_size"``, ``"replies"`` if it sets
    them for each instance) and sets it to ``None`` in its constructor.

    Attributes:
        max_size: Largest message taken from a peer, bytes. Always finite, and checked from the header where the
            grammar has one: before the message is buffered.
        fault: Set by ``feed``/``feed_eof`` when the peer broke the grammar; from then on nothing more is fed.
        replies: Whether the codec has a conversation of its own with the peer (a handshake, pongs, a farewell): only
            then is it asked for the last four methods below. Codecs that leave it ``False`` pay nothing for it.
        batches: Whether messages are ``bytes`` and :meth:`encode_batch` is faster than one :meth:`encode` each. What a
            callback writes to its own connection is then encoded when its chunk is done.
        pending: Whether more messages are complete than were returned: ``feed(b"")`` gives the next. A coroutine's
            connection, or one with an ``async def on_message``, asks once those before are taken: so a chunk of tiny
            messages is not ten thousand objects at once. Other styles do not ask.
        body_left: Bytes to come that are pieces of a body, and would be handed on as they come. ``receive_into`` of a
            connection takes them past :meth:`feed`, and tells :meth:`skip_body`. Messages of a codec with bodies that
            are ``bytes`` are pieces of one.
        text: Whether messages are text, for a carrier that tells text from binary.
        is_open: Whether its handshake with the peer, if it has one, is done: ``on_connect`` comes after that. It then
            stays true. The handshake has ``Timeouts.handshake``; if it comes to a :attr:`fault`, or is :attr:`ended`,
            the connection closes and no handler hears of it.
        ended: Whether the peer has said goodbye in the codec's own way: to the handler that is the end of the stream.
    """

    __slots__ = ()  # so that the built-in codecs, of which every idle connection has one, go without a dictionary

    max_size: int = 64 * 1024
    fault: ProtocolError | None = None
    replies: bool = False
    batches: bool = False
    pending: bool = False
    text: bool = False
    body_left: int = 0
    is_open: bool = True
    ended: bool = False

    def feed(self, data: bytes) -> list[M]:
        """Take a whole chunk as it came from the socket; return every message it completes.

        "Not complete yet" is an empty list. What the peer did wrong is put into :attr:`fault`, not raised, so that
        the good messages before it in the same chunk are delivered first. Called once a chunk, by the core.
        """
        raise NotImplementedError

    def feed_eof(self) -> list[M]:
        """The peer will send no more. Called at most once, after the last ``feed``, unless there was a fault.

        Bytes left over are a fault (:class:`~aionet.errors.IncompleteFrame`), unless the grammar says otherwise.
        """
        if self.buffered:
            # mypy does not see that every subclass has a place for it: a slot of its own, or a dictionary.
            self.fault = IncompleteFrame(  # type: ignore[misc]
                f"the stream ended inside a message, {self.buffered} bytes into it"
            )
        return []

    def skip_body(self, count: int) -> None:
        """So many of the bytes of :attr:`body_left` were taken, and will not be fed."""

    @property
    def buffered(self) -> int:
        """Bytes held of a message not yet complete. Asked at deadlines and at the end, never a message."""
        return 0

    def encode(self, message: M) -> bytes:
        """The message as bytes for the wire, ready to be sent in any order with others.

        Raises:
            EncodeError: the grammar cannot carry this message: our side's mistake, so it goes to the caller.
        """
        raise NotImplementedError

    def encode_batch(self, messages: list[M]) -> bytes:
        """Several messages at once: one ``join`` instead of many additions. Used where :attr:`batches` is true.

        Raises:
            EncodeError: one of them cannot be encoded.
        """
        return b"".join([self.encode(message) for message in messages])

    def encoder(self) -> Callable[[M], bytes]:
        """What a connection calls for each message that it does not batch: :meth:`encode`, or the same done faster."""
        return self.encode

    def encoding_key(self) -> Hashable:
        """Codecs with equal keys encode equally, so that a group encodes a message once for all of them.

        ``None`` (the default) means: the same as the other connections of its route. A codec whose encoding depends
        on the connection must return something unique.
        """
        return None

    def clone(self) -> Self:
        """A fresh codec with the same settings, for the next connection. Only called on one never fed."""
        return copy.deepcopy(self)

    def adopt(self, own: CodecSource[Any]) -> Codec[Any]:
        """The codec to serve a handler by, which has ``own``: this one, unless it is a carrier that lacks an inner one.

        Called once a route, before any :meth:`clone`.
        """
        return self

    # ---- in a carrier: another codec whose messages have borders, such as WebSocket's ------------

    def feed_payload(self, payload: bytes) -> list[M]:
        """Take one whole message of a carrier. By default those of a peer, put together, are the stream to feed.

        A codec whose messages need no framing there says so by overriding this and :meth:`encode_payload`: a line is
        one without its line end, too. Faults as in :meth:`feed`.
        """
        return self.feed(payload)

    def encode_payload(self, message: M) -> bytes:
        """As :meth:`encode`, for one whole message of a carrier."""
        return self.encode(message)

    # ---- a conversation of its own: asked for only where ``replies`` is true ---------------------

    def data_to_send(self) -> bytes:
        """What the codec itself has to send. Asked after each ``feed``; on a codec not open, at the start, too."""
        return b""

    def farewell(self, reason: CloseReason) -> bytes:
        """The last words: nothing will be encoded after them. The peer's goodbye, if it is to come, is waited for."""
        return b""

    def keepalive(self) -> bytes:
        """A question that a living peer answers, asked when nothing was heard from it for ``Timeouts.keepalive``."""
        return b""

    def carry(self, data: bytes) -> bytes:
        """Bytes that :meth:`encode` did not make, as they go over the wire: of ``write_encoded``, of a file."""
        return data


CodecSource = Codec[M] | Callable[[], Codec[M]]
"""An instance, of which each connection gets a ``clone()``, or anything that makes one: the class itself, a lambda."""
