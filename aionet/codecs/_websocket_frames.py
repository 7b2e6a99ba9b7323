"""The frames of WebSocket (RFC 6455, section 5), of both sides.

Whole messages in one frame, nearly all there are, are taken off a chunk in one loop, by the C function of the
``websockets`` library that unmasks. Whatever else comes (control frames, fragments, compressed messages, faults) is cut
into single frames, and each of those is for the library's own parser to judge: its rules are the rules here.
"""

from __future__ import annotations

import codecs
import secrets
import struct
from typing import Any, Final, TypeVar, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from ..codec import Codec
from ..errors import FrameTooLarge, MalformedFrame, ProtocolError

try:
    from websockets.speedups import apply_mask
except ImportError:  # where it has no wheel; some thirty times slower
    from websockets.utils import apply_mask

__all__ = ["BINARY", "MIN_FRAGMENT", "QUIET", "TEXT", "FrameCodec", "Text", "is_utf8"]

M = TypeVar("M")

TEXT: Final = 0x81  # the first byte of a whole message: FIN and opcode
BINARY: Final = 0x82
_PING: Final = 0x89
_PONG: Final = 0x8A
_MASKED: Final = 0x80  # in the second byte
_OPCODES: Final = frozenset(Opcode)

MIN_FRAGMENT: Final = 64
"""Bytes. A message may have as many fragments as its full size has of these, and 1024 more. RFC 6455 has no limit, so
that empty ones could come for ever."""

_MOST_WORDS: Final = 123  # bytes of the reason in a close frame: 125 less the code


class Text(bytes):
    """The bytes of a text message, known to be UTF-8. Written back, they leave as text again."""

    __slots__ = ()

    def __new__(cls, text: str | bytes) -> Text:
        """From a ``str``, or from bytes, which must be UTF-8 (``UnicodeDecodeError`` otherwise)."""
        if isinstance(text, str):
            text = text.encode()
        elif not text.isascii():
            text.decode()
        return super().__new__(cls, text)


_new: Final = bytes.__new__  # of what has been checked


def is_utf8(data: bytes) -> bool:
    """Whether a text message may carry these bytes."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Quiet:
    """The library's logger, of which nothing is heard: what happens is reported by events."""

    def isEnabledFor(self, level: int) -> bool:
        return False

    def debug(self, *args: Any, **kwargs: Any) -> None: ...

    info = error = debug


QUIET: Final = cast(Any, _Quiet())


class FrameCodec(Codec[M]):
    """Frames in and out; a subclass knows the handshake, and what a payload is to the handler.

    Between chunks at most one incomplete frame is held, whose header has been checked, and the fragments of at most
    one message. The library's parser exists only while it is needed; it never holds a part of a frame, so that either
    side can go on where the other has stopped.
    """

    __slots__ = (
        "_answers",
        "_decoder",
        "_extensions",
        "_fragment_count",
        "_fragments",
        "_goodbye",
        "_library",
        "_need",
        "_parting",
        "_pending",
        "_plain",
        "_raw",
        "ended",
        "fault",
        "max_size",
    )

    _side = Side.SERVER

    def __init__(self, max_size: int, raw: bool) -> None:
        self.max_size = max_size
        self.fault: ProtocolError | None = None
        self.ended = False
        self._raw = raw  # payloads are messages
        self._plain = False  # nothing held, nothing special: chunks go straight to the loop
        self._pending: bytes | bytearray = b""  # an incomplete frame, from its header on
        self._need = 0  # bytes of the whole; 0 while its header is incomplete
        self._fragments: bytearray | None = None  # of a message whose last frame has not come
        self._fragment_count = 0
        self._decoder: codecs.IncrementalDecoder | None = None  # checks text fragments
        self._library: Protocol | None = None
        self._extensions: list[Any] = []
        self._answers = b""
        self._parting = False
        self._goodbye = b""  # a close frame to be sent last: a fault's, or the answer to the peer's

    # ---- in ------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[M]:
        """The messages that this chunk completes."""
        if not self._plain:
            return self._feed_held(data)
        size = len(data) - 6
        if 0 <= size < 126 and data[1] == _MASKED + size and data[0] == BINARY and size <= self.max_size:
            key, payload = _UNPACK[size](data)  # one short message, the most common of all: without the loop
            payloads = [apply_mask(payload, key)]
            return payloads if self._raw else self._open_payloads(payloads)  # type: ignore[return-value]  # M is bytes
        return self._feed_plain(data)

    def _feed_plain(self, data: bytes) -> list[M]:
        """A chunk while nothing is held."""
        payloads: list[bytes] = []
        at = self._take(data, 0, payloads)
        if at < len(data):
            self._take_rest(data, at, payloads)
        return payloads if self._raw else self._open_payloads(payloads)  # type: ignore[return-value]  # M is bytes

    def _open_payloads(self, payloads: list[bytes]) -> list[M]:
        """What the payloads are to the handler."""
        raise NotImplementedError

    def _feed_held(self, data: bytes) -> list[M]:
        if self.ended or self.fault is not None:
            return []
        payloads: list[bytes] = []
        if self._pending:
            data = self._resume(data)
        at = self._take(data, 0, payloads) if self._fragments is None else 0
        self._take_rest(data, at, payloads)
        return payloads if self._raw else self._open_payloads(payloads)  # type: ignore[return-value]  # M is bytes

    def _resume(self, data: bytes) -> bytes:
        """The pending frame and the chunk that goes on with it; nothing as long as it is not whole."""
        pending = self._pending
        if len(pending) + len(data) < self._need:
            if type(pending) is bytes:
                self._pending = pending = bytearray(pending)
            pending += data
            return b""
        self._pending = b""
        return b"".join((pending, data))

    def _take(self, data: bytes, at: int, payloads: list[bytes]) -> int:
        """Take whole messages off ``data``, from ``at`` on. Returns where something else begins, or the end."""
        end = len(data)
        limit = self.max_size
        while end - at > 5:
            size = data[at + 1] - _MASKED
            body = at + 6
            if size > 125:
                wide = 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : at + 2 + wide])
                body += wide  # cut short, it ends behind what is there
            stop = body + size
            if stop > end or not 0 <= size <= limit:
                break
            first = data[at]
            if first != BINARY and first != TEXT:
                break
            if body - at == 6:
                key, payload = _UNPACK[size](data, at)  # in one call: two slices take longer
            else:
                key, payload = data[body - 4 : body], data[body:stop]
            payload = apply_mask(payload, key)
            if first == TEXT:
                if not payload.isascii() and not self._check_text(payload):
                    return at
                if self._raw:
                    payload = _new(Text, payload)
            payloads.append(payload)
            at = stop
        return at

    def _take_rest(self, data: bytes, at: int, payloads: list[bytes]) -> None:
        """Take what is no whole message: one frame after the other, until such messages come again."""
        end = len(data)
        while at < end and not self.ended and self.fault is None:
            size = self._measure(data, at)
            if size == 0 or at + size > end:
                self._pending, self._need = data[at:], size
                break
            if not self._take_ping(data, at, size):
                self._ask_library(data[at : at + size], payloads)
            at += size
            if self._fragments is None and not self.ended and self.fault is None:
                at = self._take(data, at, payloads)
        if self._fragments is None and self._library is not None and self._library.state is State.OPEN:
            self._library = None  # it has nothing in mind
        self._plain = not (self._pending or self.ended) and self._fragments is None and self.fault is None

    def _measure(self, data: bytes, at: int) -> int:
        """Bytes of the frame that begins there; of its header alone, if that is at fault; 0 if that is not whole."""
        there = len(data) - at
        if there < 2:
            return 0
        masked, length = divmod(data[at + 1], _MASKED)
        if data[at] & 0x0F not in _OPCODES or masked != (self._side is Side.SERVER):
            return 2
        header = 2
        if length > 125:
            header = 4 if length == 126 else 10
            if there < header:
                return 0
            length = int.from_bytes(data[at + 2 : at + header])
        if length > self.max_size - len(self._fragments or b""):
            return header
        return header + 4 * masked + length

    def _take_ping(self, data: bytes, at: int, size: int) -> bool:
        """Answer a ping, or pass over a pong, that keeps to the rules: in a tenth of the library's time, for floods."""
        serving = self._side is Side.SERVER
        first, length = data[at], data[at + 1] - _MASKED * serving
        if first not in (_PING, _PONG) or not 0 <= length <= 125 or size != 2 + 4 * serving + length:
            return False
        if first == _PING and not self._parting:
            payload = data[at + size - length : at + size]
            self._answers += self._control(_PONG, apply_mask(payload, data[at + 2 : at + 6]) if serving else payload)
        return True

    def _ask_library(self, frame: bytes, payloads: list[bytes]) -> None:
        library = self._protocol()
        library.receive_data(frame)
        for event in library.events_received():
            assert isinstance(event, Frame)
            self._take_frame(event, payloads)
        self._heed(library)

    def _take_frame(self, frame: Frame, payloads: list[bytes]) -> None:
        """A frame that keeps to the rules."""
        if frame.opcode is Opcode.CLOSE:
            self.ended = True
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._fragments = bytearray()
            self._fragment_count = 0
            self._decoder = codecs.getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
        assert self._fragments is not None
        try:
            if self._decoder is not None:
                self._decoder.decode(frame.data, frame.fin)
        except UnicodeDecodeError as exc:
            self._refuse_text(exc)
            return
        self._fragments += frame.data
        self._fragment_count += 1
        if frame.fin:
            payload = bytes(self._fragments)
            payloads.append(payload if self._decoder is None else _new(Text, payload))
            self._fragments = self._decoder = None
        elif self._fragment_count >= (most := 1024 + self.max_size // MIN_FRAGMENT):
            self.refuse(FrameTooLarge(f"a message of more than {most} fragments"))

    def _heed(self, library: Protocol) -> None:
        """Take what the library has to say."""
        words = b"".join(library.data_to_send())
        if library.state is State.OPEN:
            self._answers += words
            return
        if not self._parting:  # behind a close frame nothing is said any more: pongs would gather here for ever
            self._parting = True
            self._goodbye = words
        exc = library.parser_exc
        if exc is not None and self.fault is None:
            self.fault = (FrameTooLarge if isinstance(exc, PayloadTooBig) else MalformedFrame)(f"WebSocket: {exc}")
        if self.fault is not None:
            self._pending, self._fragments = b"", None

    def _check_text(self, payload: bytes) -> bool:
        try:
            payload.decode()
        except UnicodeDecodeError as exc:
            self._refuse_text(exc)
            return False
        return True

    def _refuse_text(self, exc: UnicodeDecodeError) -> None:
        fault = MalformedFrame(f"WebSocket: text that is no UTF-8: {exc.reason} at position {exc.start}")
        self.refuse(fault, CloseCode.INVALID_DATA)

    def refuse(self, fault: ProtocolError, code: int | None = None) -> None:
        """The peer broke the rules; ``code`` says which, to it: left out, it is about the size, or about the data."""
        if code is None:
            code = CloseCode.MESSAGE_TOO_BIG if isinstance(fault, FrameTooLarge) else CloseCode.UNSUPPORTED_DATA
        self.fault = fault
        self._plain = False
        library = self._protocol()
        if not library.eof_sent:
            library.fail(code, _words(str(fault)))
            self._heed(library)

    def _protocol(self) -> Protocol:
        """The library's half-way through a connection, made when it is needed."""
        if self._library is None:
            self._library = Protocol(self._side, state=State.OPEN, max_size=self.max_size, logger=QUIET)
            self._library.extensions = self._extensions
        return self._library

    @property
    def buffered(self) -> int:
        """Bytes of an incomplete message, its headers included."""
        fragments = 0 if self._fragments is None else len(self._fragments) + 2 * self._fragment_count
        return len(self._pending) + fragments

    # ---- out -----------------------------------------------------------------------------------

    def frame(self, first: int, payload: bytes) -> bytes:
        """One message. ``first`` is :data:`TEXT` or :data:`BINARY`."""
        if self._extensions:
            opcode = Opcode.TEXT if first == TEXT else Opcode.BINARY
            return Frame(opcode, payload).serialize(mask=self._side is Side.CLIENT, extensions=self._extensions)
        return _header(first, len(payload)) + payload

    def frames(self, first: int, payloads: list[bytes]) -> bytes:
        """Several messages of one kind, behind each other; without extensions."""
        short = _SHORT[first]
        try:
            if len(payloads) == 1:
                return short[len(payloads[0])] + payloads[0]
            return b"".join([short[len(payload)] + payload for payload in payloads])
        except IndexError:
            return b"".join([part for payload in payloads for part in (_header(first, len(payload)), payload)])

    def data_to_send(self) -> bytes:
        """Pongs."""
        answers, self._answers = self._answers, b""
        return answers

    def say_goodbye(self, code: int, words: str) -> bytes:
        """A close frame: the one that is owed, or else this; nothing, once one was sent."""
        library = self._protocol()
        if library.state is State.OPEN:
            library.send_close(code, _words(words))
            self._heed(library)
        goodbye, self._goodbye = self._goodbye, b""
        return goodbye

    def keepalive(self) -> bytes:
        """A ping."""
        return self._control(_PING, b"")

    def _control(self, first: int, payload: bytes) -> bytes:
        return bytes((first, len(payload))) + payload


class MaskingCodec(FrameCodec[M]):
    """The client's side: it masks what it sends, so that no proxy takes it for HTTP, and is sent unmasked frames."""

    __slots__ = ()

    _side = Side.CLIENT

    def feed(self, data: bytes) -> list[M]:
        """The messages that this chunk completes."""
        return self._feed_plain(data) if self._plain else self._feed_held(data)

    def _take(self, data: bytes, at: int, payloads: list[bytes]) -> int:
        end = len(data)
        raw = self._raw
        while end - at > 1:
            first = data[at]
            size = data[at + 1]
            body = at + 2
            if size > 125:
                if size > 127:
                    break
                wide = 2 if size == 126 else 8
                size = int.from_bytes(data[body : body + wide])
                body += wide
            stop = body + size
            if (first != BINARY and first != TEXT) or stop > end or size > self.max_size:
                break
            payload = data[body:stop]
            if first == TEXT:
                if not payload.isascii() and not self._check_text(payload):
                    return at
                if raw:
                    payload = _new(Text, payload)
            payloads.append(payload)
            at = stop
        return at

    def _control(self, first: int, payload: bytes) -> bytes:
        return _masked(first, payload, secrets.token_bytes(4))

    def frame(self, first: int, payload: bytes) -> bytes:
        return super().frame(first, payload) if self._extensions else _masked(first, payload, secrets.token_bytes(4))

    def frames(self, first: int, payloads: list[bytes]) -> bytes:
        masks = secrets.token_bytes(4 * len(payloads))
        return b"".join([_masked(first, payload, masks[4 * n : 4 * n + 4]) for n, payload in enumerate(payloads)])


def _header(first: int, size: int, mask: int = 0) -> bytes:
    if size < 126:
        return bytes((first, mask | size)) if mask else _SHORT[first][size]
    if size < 65536:
        return bytes((first, mask | 126)) + size.to_bytes(2)
    return bytes((first, mask | 127)) + size.to_bytes(8)


_SHORT: Final = {first: [bytes((first, size)) for size in range(126)] for first in (TEXT, BINARY)}


_UNPACK: Final = [struct.Struct(f"2x4s{size}s").unpack_from for size in range(126)]
"""Key and payload of a short frame, by its size; what they need not be told is where its header ends."""


def _masked(first: int, payload: bytes, mask: bytes) -> bytes:
    return b"".join((_header(first, len(payload), _MASKED), mask, apply_mask(payload, mask)))


def _words(text: str) -> str:
    """As much of a reason as fits a close frame."""
    return text.encode()[:_MOST_WORDS].decode(errors="ignore")
