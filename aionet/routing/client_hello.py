"""A TLS ClientHello, read as far as it has come (RFC 8446, sections 4.1.2 and 5.1): the server's name and protocols.

The message may be in pieces: over several reads, and over several TLS records. Every length is held to the one around
it, so that what can no longer become a hello is known at once. It is not judged further: the TLS engine does that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..matching import MAX_PEEK
from .names import HOST

__all__ = ["ClientHello", "MalformedHello", "format_client_hello", "read_client_hello"]

MAX_EXTENSIONS: Final = 128
"""Extensions of a hello. Some 60 are assigned; browsers send 15 to 20."""
MAX_RECORD: Final = 1 << 14

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_HOST: Final = re.compile(HOST)


class MalformedHello(Exception):
    """These bytes are no ClientHello, or one above :data:`~aionet.matching.MAX_PEEK`."""


class _Short(Exception):
    """What is there is right; more has to come."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client asks for.

    Attributes:
        server_name: In lower case (SNI, RFC 6066), or ``None``.
        protocols: ALPN names in the client's order (RFC 7301), decoded as Latin-1; empty if it named none.
    """

    server_name: str | None
    protocols: tuple[str, ...]


def read_client_hello(data: bytes) -> ClientHello | None:
    """The hello at the start of ``data``; ``None``: not all of it is there.

    Raises:
        MalformedHello: there is none, and none can come.
    """
    message = _defragment(data)
    if message[:1] not in (b"", bytes((_CLIENT_HELLO,))):
        raise MalformedHello
    if len(message) < 4:
        return None
    length = int.from_bytes(message[1:4], "big")
    if length + 4 + 5 > MAX_PEEK:
        raise MalformedHello
    try:
        return _read_body(_Reader(message, 4, 4 + length))
    except _Short:
        return None


def _defragment(data: bytes) -> bytes:
    """The content of the handshake records at the start, up to the end of the first message."""
    pieces, have, wanted, position = [], 0, 4, 0
    while position < len(data) and have < wanted:
        record = data[position : position + 5]
        if record[0] != _HANDSHAKE or record[1:2] not in (b"", b"\3"):
            raise MalformedHello  # the lower half of the version is ignored (RFC 8446, section 5.1)
        length = int.from_bytes(record[3:5].ljust(2, b"\0"), "big")
        if length > MAX_RECORD or (len(record) == 5 and not length):
            raise MalformedHello
        if len(record) < 5:
            break
        piece = data[position + 5 : position + 5 + length]
        pieces.append(piece)
        have += len(piece)
        position += 5 + length
        if wanted == 4 and have >= 4:
            wanted += int.from_bytes(b"".join(pieces)[1:4], "big")
    return b"".join(pieces)


class _Reader:
    """Takes fields off the front of a vector that announced its end, and may not be all there."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    @property
    def left(self) -> int:
        """Bytes announced and not taken."""
        return self.end - self.position

    def take(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            MalformedHello: the vector is shorter.
            _Short: they are not here yet.
        """
        start = self.position
        self.position += count
        if self.position > self.end:
            raise MalformedHello
        if self.position > len(self.data):
            raise _Short
        return self.data[start : self.position]

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int, least: int = 0, most: int = 0xFFFF) -> _Reader:
        """A vector whose length is a number of so many bytes; go on behind it."""
        length = self.number(size)
        if not least <= length <= most or length > self.left:
            raise MalformedHello
        inner = _Reader(self.data, self.position, self.position + length)
        self.position += length
        return inner

    def finish(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise MalformedHello


def _read_body(body: _Reader) -> ClientHello:
    if body.take(1) < b"\3":  # client_version: TLS 1.0 is 3.1; of a newer one the server answers its own
        raise MalformedHello
    body.take(1 + 32)  # its lower half, random
    body.vector(1, 0, 32)  # legacy_session_id
    if body.vector(2, 2).left % 2:  # cipher_suites
        raise MalformedHello
    body.vector(1, 1)  # legacy_compression_methods
    name: str | None = None
    protocols: tuple[str, ...] = ()
    seen: set[int] = set()
    extensions = body.vector(2) if body.left else body
    body.finish()
    while extensions.left:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind in seen or len(seen) == MAX_EXTENSIONS:
            raise MalformedHello
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _read_server_name(content)
        elif kind == _ALPN:
            protocols = _read_protocols(content)
    if len(body.data) < body.end:  # what was passed over may not be there yet
        raise _Short
    return ClientHello(name, protocols)


def _read_server_name(content: _Reader) -> str:
    names = content.vector(2, 1)
    content.finish()
    kind, name = names.number(1), names.vector(2, 1)
    names.finish()  # there may be one name of each type, and there is one type
    text = name.take(name.left)
    if kind or not _HOST.fullmatch(text):
        raise MalformedHello
    return text.decode().lower()


def _read_protocols(content: _Reader) -> tuple[str, ...]:
    names, protocols = content.vector(2, 2), []
    content.finish()
    while names.left:
        name = names.vector(1, 1)
        protocols.append(name.take(name.left).decode("latin-1"))
    return tuple(protocols)


def format_client_hello(server_name: str | None = None, protocols: Sequence[str] = ()) -> bytes:
    """A hello as short as can be, in one record: what such a client sends first, for samples and for looking."""
    extensions = b""
    if server_name is not None:
        name = server_name.encode()
        extensions += _extension(_SERVER_NAME, _sized(2, b"\0" + _sized(2, name)))
    if protocols:
        names = b"".join(_sized(1, protocol.encode("latin-1")) for protocol in protocols)
        extensions += _extension(_ALPN, _sized(2, names))
    body = b"\3\3" + bytes(32) + _sized(1, b"") + _sized(2, b"\x13\x01") + _sized(1, b"\0") + _sized(2, extensions)
    return b"\x16\3\1" + _sized(2, b"\1" + _sized(3, body))


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _sized(2, content)


def _sized(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size, "big") + content
