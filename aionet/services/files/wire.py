"""The grammar of the file service, AIONET-FILES 1, as one codec with states. ``docs/files-protocol.md`` is its manual.

Both directions have one shape: a header line that a person can type, then exactly as many bytes as it announced.

::

    request   VERB[;key=value]... [name]           and, if it has ;size=N, N bytes
    reply     OK size[;key=value]...               and size bytes
              ERR CODE reason

                   line without a body, or a line that is no request
                        +------+
                        v      |
    start ---------> HEADER ---+
                        |  ^
       size above 0     |  |   the last byte of the body
                        v  |
                        BODY ----> chunks, as they come

A name is the rest of its line, as it is: spaces belong to it and nothing is decoded. A control character, a line above
``max_size``, a ``size`` that is no number: faults, for nobody could tell where the next header starts. Any other bad
line is a message of its own, :class:`Unreadable`: the server says why and goes on. Verbs may be typed in lower case.
The body is never buffered: its chunks are messages, as they came. Whoever reads it counts, up to the size announced.

The server's side takes apart no more than it must: requests that are complete in one chunk, bodies and all, stay the
bytes they are, as one :class:`Batch`, and are read when their turn comes. So a chunk full of tiny requests holds no
more memory than it has bytes, and a thread can answer many at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from aionet import Codec
from aionet.errors import ConfigError, EncodeError, FrameTooLarge, IncompleteFrame, MalformedFrame, ProtocolError

__all__ = [
    "MAX_HEADER",
    "MAX_SIZE",
    "VERSION",
    "Batch",
    "ErrorReply",
    "Message",
    "Reply",
    "ReplyCodec",
    "Request",
    "RequestCodec",
    "Unreadable",
    "explain",
]

VERSION: Final = "1"
"""Changes only when something that exists gets another meaning. New verbs, options and facts do not change it."""

MAX_HEADER: Final = 8192
"""Bytes of a header line: twice a name of PATH_MAX."""

MAX_SIZE: Final = 10**19 - 1
"""Bytes of a body: the largest number of 19 digits, more than any file has."""

_WORD: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_VERB: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VALUE: Final = re.compile(r"[!-:<-~]+")  # printable ASCII without space and semicolon
_FACTS: Final = re.compile(rf"(;{_KEY.pattern}={_VALUE.pattern})*")
_SIZE: Final = re.compile(r"[0-9]{1,19}")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_HTTP: Final = re.compile(r"[A-Z]+ (/|http)\S* HTTP/[0-9.]+")
_SPECIAL: Final = re.compile(rb"[\x00-\x1f\x7f]|;size| HTTP/")  # what makes a line more than one line of a batch

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.

    Attributes:
        verb: Upper case, such as ``GET``.
        name: As it was sent; ``""`` if none was.
        options: Their values by key, without ``size``.
        size: Bytes of body that follow.
    """

    verb: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: _NO_OPTIONS)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no request, though the next one may be. ``reason`` is for the reply."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The request was understood; ``size`` bytes of body follow.

    Attributes:
        size: Bytes.
        facts: Values by key. A reader passes over keys that it does not know.
    """

    size: int
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def more(self) -> bool:
        """Whether another header follows the body, for the next part of the same answer."""
        return self.facts.get("more") == "1"


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The request failed.

    Attributes:
        code: One of :class:`~aionet.services.files.errors.Code`, or a newer server's word.
        reason: For people, on one line.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that came together, each with the whole of its body, as the bytes they are.

    Iterated, it gives pairs: a :class:`Request`, or an :class:`Unreadable`, and the request's body.
    """

    data: bytes

    def __iter__(self) -> Iterator[tuple[Request | Unreadable, bytes]]:
        data, position = self.data, 0
        while position < len(data):
            end = data.index(b"\n", position)
            request = _read_request(data[position:end].removesuffix(b"\r"))
            position = end + 1
            body = b""
            if isinstance(request, Request) and request.size:
                body = data[position : position + request.size]
                position += request.size
            yield request, body


Message = Batch | Request | Reply | ErrorReply | bytes
"""Everything that passes; ``bytes`` are a piece of a body."""


class _FilesCodec(Codec[Message]):
    """HEADER and BODY: what both sides have in common."""

    def __init__(self, *, max_size: int = MAX_HEADER) -> None:
        if max_size < 64:
            raise ConfigError(f"max_size must be at least 64 bytes, not {max_size}")
        self.max_size = max_size
        self._header = bytearray()  # of a line that is not complete
        self._missing = 0  # bytes of the body still to come; 0: in HEADER

    def feed(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        position, end = 0, len(data)
        while position < end and self.fault is None:
            if self._missing:
                position = self._feed_body(data, position, messages)
            else:
                position = self._feed_header(data, position, messages)
        return messages

    def feed_eof(self) -> list[Message]:
        if self._missing:
            self.fault = IncompleteFrame(f"the stream ended {self._missing} bytes before the end of the body")
        elif self._header:
            self.fault = IncompleteFrame("the stream ended inside a header line: no line feed")
        return []

    @property
    def buffered(self) -> int:
        return len(self._header)

    @property
    def body_left(self) -> int:  # type: ignore[override]
        return self._missing

    def skip_body(self, count: int) -> None:
        self._missing -= count

    def _feed_body(self, data: bytes, position: int, messages: list[Message]) -> int:
        taken = min(len(data) - position, self._missing)
        self._missing -= taken
        whole = taken == len(data)
        messages.append(data if whole else bytes(data[position : position + taken]))
        return position + taken

    def _feed_header(self, data: bytes, position: int, messages: list[Message]) -> int:
        """Take up to the end of the line; what is complete goes to ``messages``. Returns where to go on."""
        found = data.find(b"\n", position)
        stop = len(data) if found < 0 else found
        scanned = max(len(self._header) - 1, 0)  # the last byte again: a CR is right only before the LF
        room = self.max_size + 2 - len(self._header)  # a longer line is refused: never copy more of it
        self._header += data[position : min(stop, position + room)]
        self.fault = self._why_no_header(self._header, scanned)
        if self.fault is not None:
            self._header.clear()
            return len(data)
        if found < 0:
            return len(data)
        line = bytes(self._header)
        self._header.clear()
        try:
            self._take_line(line, messages)
        except ProtocolError as exc:
            self.fault = exc
            return len(data)
        return found + 1

    def _why_no_header(self, line: bytes | bytearray, scanned: int) -> ProtocolError | None:
        """Control characters and length, by what comes first, so that the verdict does not depend on the chunks."""
        length = len(line) - (1 if line.endswith(b"\r") else 0)
        match = _CONTROL.search(line, scanned, min(length, self.max_size))
        if match is not None:
            return MalformedFrame(f"control character 0x{match[0][0]:02x} in a header line")
        if length > self.max_size:
            return FrameTooLarge(f"a header line is at most {self.max_size} bytes")
        return None

    def _take_line(self, line: bytes, messages: list[Message]) -> None:
        """A whole line without its LF: add what it says; the size of its body goes to ``_missing``.

        Raises:
            ProtocolError: it says nothing, nor can the next one be found.
        """
        raise NotImplementedError


class RequestCodec(_FilesCodec):
    """The server's side: takes requests, sends replies.

    It gives each :class:`Batch` that is complete, and a :class:`Request` alone where the body follows in ``bytes``.

    Args:
        max_size: Longest header line taken, bytes without its end.
        max_body: Largest body a request may announce, bytes. A body is passed on as it comes, never held.
    """

    def __init__(self, *, max_size: int = MAX_HEADER, max_body: int = 1024 * 1024) -> None:
        super().__init__(max_size=max_size)
        self.max_body = max_body

    def feed(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        position = 0
        if self._missing:
            position = self._feed_body(data, position, messages)
        elif self._header:
            position = self._feed_header(data, position, messages)
            if self._missing and position < len(data):
                position = self._feed_body(data, position, messages)
        if position < len(data) and self.fault is None:
            position = self._feed_batch(data, position, messages)
        while position < len(data) and self.fault is None:  # a line that is not complete, or whose body is not
            step = self._feed_body if self._missing else self._feed_header
            position = step(data, position, messages)
        return messages

    def encode(self, message: Message) -> bytes:
        if isinstance(message, bytes):
            return message
        if isinstance(message, Reply):
            return f"OK {_format_facts(str(message.size), message.facts)}\n".encode()
        if isinstance(message, ErrorReply):
            return _format_error(message, self.max_size)
        raise EncodeError(f"a server sends Reply, ErrorReply and bytes, not {message!r}")

    def _feed_batch(self, data: bytes, start: int, messages: list[Message]) -> int:
        """All requests from ``start`` on that are complete, as one message; where the first stands that is not."""
        position, size = start, len(data)
        while (end := data.find(b"\n", position)) >= 0:
            stop = end + 1
            if end - position > self.max_size or _SPECIAL.search(data, position, end):
                line = data[position:end]
                self.fault = self._why_no_header(line, 0)
                if self.fault is None:
                    try:
                        stop += self._size_in(line)
                    except ProtocolError as exc:
                        self.fault = exc
                if self.fault is not None or stop > size:
                    break
            position = stop
        if position > start:
            messages.append(Batch(data[start:position]))
        return position

    def _take_line(self, line: bytes, messages: list[Message]) -> None:
        self._missing = self._size_in(line)
        request = _read_request(line.removesuffix(b"\r")) if self._missing else None
        messages.append(request if isinstance(request, Request) else Batch(line + b"\n"))

    def _size_in(self, line: bytes) -> int:
        """Bytes of body that this line announces.

        Raises:
            ProtocolError: it cannot be told, or there are too many.
        """
        if not _SPECIAL.search(line):
            return 0
        request = _read_request(line.removesuffix(b"\r"))
        if isinstance(request, Unreadable):
            return 0
        if request.size > self.max_body:
            raise FrameTooLarge(f"a body of {request.size} bytes is more than the {self.max_body} taken here")
        return request.size


def _read_request(line: bytes) -> Request | Unreadable:
    """What is in a line without its end.

    Raises:
        MalformedFrame: nobody knows where the next line starts.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Unreadable("the line is not UTF-8")
    head, _, name = text.partition(" ")
    verb, *pairs = head.split(";")
    if not _VERB.fullmatch(verb):
        return Unreadable("a line begins with a command, such as: LIST, or: GET name, or: HELLO")
    if "HTTP/" in name and _HTTP.fullmatch(text):  # a browser could be made to send commands in the body of a form
        raise MalformedFrame(f"this port speaks AIONET-FILES {VERSION}, not HTTP")
    if not pairs:
        return Request(verb.upper(), name, _NO_OPTIONS)
    try:
        options = _parse_pairs(pairs)
    except MalformedFrame as exc:
        if any(pair.startswith("size") for pair in pairs):
            raise  # a body may follow, of nobody knows how many bytes
        return Unreadable(str(exc))
    size = options.pop("size", None)
    return Request(verb.upper(), name, options, 0 if size is None else _parse_size(size))


class ReplyCodec(_FilesCodec):
    """The client's side: sends requests, takes replies."""

    def encode(self, message: Message) -> bytes:
        if isinstance(message, bytes):
            return message
        if not isinstance(message, Request):
            raise EncodeError(f"a client sends Request and bytes, not {message!r}")
        if not _WORD.fullmatch(message.verb):
            raise EncodeError(f"{message.verb!r} is no command: upper case letters, digits and underscores")
        options = dict(message.options)
        if "size" in options:
            raise EncodeError("the size of a request's body is its field size, not an option")
        if message.size:
            options["size"] = str(message.size)
        head = _format_facts(message.verb, options)
        line = _one_line(f"{head} {message.name}" if message.name else head)
        if len(line) > self.max_size:
            raise EncodeError(f"a request of {len(line)} bytes is longer than the {self.max_size} of a header line")
        return line + b"\n"

    def _take_line(self, line: bytes, messages: list[Message]) -> None:
        messages.append(self._read_reply(line.removesuffix(b"\r")))

    def _read_reply(self, line: bytes) -> Reply | ErrorReply:
        try:
            word, _, rest = line.decode().partition(" ")
        except UnicodeDecodeError:
            raise MalformedFrame("the server's reply is not UTF-8") from None
        if word == "OK":
            size, *pairs = rest.split(";")
            reply = Reply(_parse_size(size), _parse_pairs(pairs))
            self._missing = reply.size
            return reply
        code, _, reason = rest.partition(" ")
        if word == "ERR" and _WORD.fullmatch(code):
            return ErrorReply(code, reason)
        raise MalformedFrame("the server's reply begins with neither OK nor ERR: no file service?")


def _parse_pairs(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value) or key in found:
            raise MalformedFrame(f"{pair[:60]!a} is not key=value, or is given twice")
        found[key] = value
    return found


def _parse_size(text: str) -> int:
    if not _SIZE.fullmatch(text):
        raise MalformedFrame(f"the size {text[:60]!a} is not a whole number of bytes")
    return int(text)


def _format_facts(head: str, facts: Mapping[str, str]) -> str:
    text = "".join([f";{key}={value}" for key, value in facts.items()])
    if not _FACTS.fullmatch(text) or text.count(";") != len(facts):
        raise EncodeError(f"{facts!r}: a key is lower case, a value printable ASCII without space and ';'")
    return head + text


def _format_error(message: ErrorReply, longest: int) -> bytes:
    if not _WORD.fullmatch(message.code):
        raise EncodeError(f"{message.code!r} is no error code: upper case letters, digits and underscores")
    line = _one_line(f"ERR {message.code} {message.reason}")
    if len(line) > longest:
        raise EncodeError(f"an error reply of {len(line)} bytes is longer than the {longest} of a header line")
    return line + b"\n"


def _one_line(text: str) -> bytes:
    try:
        line = text.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"{text[:100]!a} is not UTF-8") from None
    if _CONTROL.search(line):
        raise EncodeError(f"control character in {text[:100]!a}")
    return line


def explain(fault: ProtocolError) -> ErrorReply:
    """A fault in words, for the peer's last line."""
    return ErrorReply("TOO_LARGE" if isinstance(fault, FrameTooLarge) else "BAD_REQUEST", str(fault))
