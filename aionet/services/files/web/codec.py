"""Requests of HTTP/1.0 and 1.1 (RFC 9112) as messages. httptools, which is Node's llhttp, does the grammar.

::

    Request          a head, whole; with ``has_body`` these follow:
    bytes            a piece of the body, as it came, chunked coding taken off
    b""              the body is complete

llhttp is as strict here as RFC 9112 asks for: obs-fold, a space before a colon, a bare CR or LF, two lengths, a length
beside chunked coding and bytes behind "Connection: close" are faults, of which smuggled requests are made. What it does
not do is done here: sizes are bounded, and an Upgrade is passed over. A body is never held. What came in one chunk is
parsed a slice at a time, as the messages are taken: a quarter of a MiB can hold ten thousand requests, each of which
becomes half a KiB.

A request costs 3 to 5 us to read; h11, which the HTTP client has, takes 24 to 37 us (both measured without their
answers), more than nginx takes in all to serve a small file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from aionet import Codec
from aionet.errors import EncodeError, FrameTooLarge, IncompleteFrame, MalformedFrame, ProtocolError

__all__ = ["MAX_FIELDS", "MAX_HEAD", "MAX_TARGET", "SLICE", "HttpCodec", "Message", "Request", "status_of"]

MAX_HEAD: Final = 32 * 1024
"""Bytes of a request line and its fields. nginx and h11 take 16 to 32 KiB; browsers send one or two."""

MAX_TARGET: Final = 16 * 1024
"""Bytes of a request's target: a name of PATH_MAX, every byte as %XX, and a query. RFC 9112 asks for 8,000 at least."""

MAX_FIELDS: Final = 100
"""Fields of a head (Apache's default): each is an object here, however short it is."""


@dataclass(slots=True)
class Request:
    """The head of a request.

    Attributes:
        method: Such as ``"GET"``.
        target: As it was sent: ASCII, nothing decoded.
        fields: Values by name in lower case. Values of a name that came twice are joined by ``", "``.
        has_body: Whether pieces of a body follow, and then ``b""``.
        keep_alive: Whether the connection is to stay open behind the answer.
        minor: 1 of HTTP/1.1, 0 of HTTP/1.0.
    """

    method: str
    target: str
    fields: Mapping[str, str]
    has_body: bool = False
    keep_alive: bool = True
    minor: int = 1

    @property
    def length(self) -> int | None:
        """Bytes of the body, if they were said beforehand."""
        value = self.fields.get("content-length")
        return None if value is None else int(value)


SLICE: Final = 16 * 1024
"""Bytes parsed at once, where they may be many messages."""

Message = Request | bytes
"""What comes. What goes out is bytes: a head and what belongs to it."""


class _Malformed(MalformedFrame):
    """A fault that has a status of its own, in place of 400."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _TooLarge(FrameTooLarge):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def status_of(fault: ProtocolError) -> int:
    """The status that tells a client of this fault."""
    return fault.status if isinstance(fault, (_Malformed, _TooLarge)) else 400


class HttpCodec(Codec[Message]):
    """The server's side: takes requests, sends bytes. Its ``on_...`` methods are the parser's to call."""

    max_size = MAX_HEAD

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._waiting: deque[memoryview | bytes] = deque()  # not parsed yet
        self._eof = False
        self._messages: list[Message] = []
        self._target = b""
        self._fields: dict[str, str] = {}
        self._in_head = self._in_body = False
        self._size = 0  # bytes of the head up to now; of trailers, behind it
        self._count = 0  # fields
        self._unfinished = 0  # bytes of chunks that completed no part of a head
        self._left = 0  # bytes of a body of known length

    def clone(self) -> HttpCodec:
        return type(self)()

    @property
    def pending(self) -> bool:  # type: ignore[override]
        return bool(self._waiting)

    def feed(self, data: bytes) -> list[Message]:
        waiting = self._waiting
        if self.fault is not None:
            return []
        if data:
            waiting.append(data)
            if len(waiting) > 1:
                return []  # it is asked for when what came before has been taken
        messages: list[Message] = []
        self._messages = messages
        while waiting and not messages and self.fault is None:
            chunk = waiting.popleft()
            size = len(chunk) if len(chunk) <= self._left else SLICE
            if len(chunk) > size:
                view = memoryview(chunk)
                waiting.appendleft(view[size:])
                chunk = view[:size]
            self._parse(chunk)
        if self._eof and not waiting:
            self._end()
        return messages

    def _parse(self, data: memoryview | bytes) -> None:
        before = self._size
        while data and self.fault is None:
            try:
                self._parser.feed_data(data)
                break
            except HttpParserUpgrade as exc:  # an offer that may be passed over (RFC 9110, 7.8)
                data = data[exc.args[0] :]
                self._parser = HttpRequestParser(self)
            except HttpParserError as exc:
                self._break_off(exc)
        if self._in_head and self.fault is None:
            self._unfinished = self._unfinished + len(data) if self._size == before else 0
            if self._size + self._unfinished > MAX_HEAD:
                self.fault = _TooLarge(f"the head is longer than {MAX_HEAD} bytes", 431)
        if self.fault is not None:
            self._in_head = self._in_body = False
            self._waiting.clear()

    def feed_eof(self) -> list[Message]:
        self._eof = True
        if not self._waiting:
            self._end()
        return []

    def _end(self) -> None:
        if (self._in_head or self._in_body) and self.fault is None:
            part = "head" if self._in_head else "body"
            self.fault = IncompleteFrame(f"the stream ended inside the {part} of a request")

    @property
    def buffered(self) -> int:
        return max(min(self._size + self._unfinished, MAX_HEAD), 1) if self._in_head and not self._waiting else 0

    def encode(self, message: Message) -> bytes:
        if isinstance(message, Request):
            raise EncodeError(f"a server sends bytes, not {message!r}")
        return message

    # ---- the parser calls these ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._fields = {}
        self._size = self._count = self._unfinished = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._size += len(url)
        if len(self._target) > MAX_TARGET:
            self._refuse(_TooLarge(f"the target is longer than {MAX_TARGET} bytes", 414))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 3
        self._count += 1
        if self._size > MAX_HEAD or self._count > MAX_FIELDS:
            self._refuse(_TooLarge(f"a head has at most {MAX_FIELDS} fields and {MAX_HEAD} bytes", 431))
        if self._in_body:
            return  # a trailer field: none is of use here
        key, text = name.decode("ascii").lower(), value.decode("latin-1").rstrip(" \t")
        known = self._fields.get(key)
        if known is None:
            self._fields[key] = text
        elif key == "host":
            self._refuse(MalformedFrame("two Host fields"))
        else:
            self._fields[key] = f"{known}, {text}"

    def on_headers_complete(self) -> None:
        parser, fields = self._parser, self._fields
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse(_Malformed(f"HTTP/{version} is not spoken here: HTTP/1.1 and 1.0 are", 505))
        coding = fields.get("transfer-encoding")
        if coding is not None and version == "1.0":  # RFC 9112, 6.1: somebody on the way did not understand it
            self._refuse(MalformedFrame("HTTP/1.0 has no Transfer-Encoding"))
        if coding is not None and coding.lower() != "chunked":
            self._refuse(_Malformed(f"the transfer coding {coding[:60]!a} is not known here: chunked is", 501))
        self._left = int(fields.get("content-length", 0))
        has_body = coding is not None or self._left > 0
        if has_body and parser.should_upgrade():  # llhttp takes what follows for the other protocol
            self._refuse(_Malformed("a request with a body cannot ask for another protocol", 501))
        self._in_head, self._in_body, self._size, self._count = False, has_body, 0, 0
        self._messages.append(
            Request(
                parser.get_method().decode("ascii"),
                self._target.decode("ascii"),
                fields,
                has_body,
                parser.should_keep_alive(),
                int(version[2]),
            )
        )

    def on_body(self, body: bytes) -> None:
        self._left -= len(body)
        self._messages.append(body)

    def on_message_complete(self) -> None:
        if self._in_body:
            self._in_body = False
            self._messages.append(b"")

    # ---- faults --------------------------------------------------------------------------------

    def _refuse(self, fault: ProtocolError) -> NoReturn:
        """Set the fault; raised from the parser's callback, it stops the parser too."""
        self.fault = fault
        raise fault

    def _break_off(self, exc: HttpParserError) -> None:
        if self.fault is not None:
            return
        if isinstance(exc, HttpParserInvalidMethodError):
            self.fault = _Malformed("no method that is known here", 501)
        else:
            self.fault = MalformedFrame(f"no request of HTTP/1.1: {exc}")
