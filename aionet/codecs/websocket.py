"""WebSocket (RFC 6455) as a codec: any handler, reached by a browser.

::

    router.add("ws://127.0.0.1:8081/chat", Chat())                      # the handler's codec, carried by WebSocket
    router.add("ws://127.0.0.1:8082/", Feed(), codec=WebSocketCodec(JsonCodec(), pages={"/": Page(HTML)}))

This module loads the ``websockets`` library; ``aionet.WebSocketCodec`` does so when it is first asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Self, TypedDict, TypeVar, Unpack, overload

from websockets.exceptions import ProtocolError as InvalidClose
from websockets.frames import Close, CloseCode

from ..codec import Codec, CodecSource
from ..endpoint import Endpoint
from ..errors import ConfigError, EncodeError
from ..events import CloseReason
from ..limits import KIB
from ._common import to_bytes, whole_number
from ._websocket_frames import BINARY, TEXT, FrameCodec, MaskingCodec, Text, is_utf8
from ._websocket_opening import ClientOpening, Page, Pages, ServerOpening, Settings, Target, UpgradeRequest
from .raw import RawCodec

__all__ = ["Page", "Text", "UpgradeRequest", "WebSocketCodec"]

M = TypeVar("M")

PIECE: Final = 64 * KIB
"""Bytes of a message that leaves, where its borders mean nothing: what our own other side takes."""

_CODES: Final = {
    CloseReason.SHUTDOWN: CloseCode.GOING_AWAY,
    CloseReason.IDLE_TIMEOUT: CloseCode.GOING_AWAY,
    CloseReason.HANDLER_ERROR: CloseCode.INTERNAL_ERROR,
    CloseReason.MESSAGE_TIMEOUT: CloseCode.POLICY_VIOLATION,
}
"""What a close frame makes of our reasons, whose text it carries; of all others: the normal end, which needs none."""

_STATUS: Final = {
    CloseReason.HANDSHAKE_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    CloseReason.SHUTDOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    CloseReason.HANDLER_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""What a request hears that the connection closes on before it was answered."""


class _Options(TypedDict, total=False):
    max_size: int | None
    text: bool | None
    path: str | None
    origins: Sequence[str]
    subprotocols: Sequence[str]
    pages: Pages
    headers: Mapping[str, str]
    compress: bool


class WebSocketCodec(FrameCodec[M]):
    """WebSocket messages that carry those of another codec, ``inner``; the server's side.

    What is in a WebSocket message, ``inner`` says:

    * :class:`~aionet.codecs.RawCodec`: it is the handler's message. One that came as text is a :class:`Text`, which are
      bytes; what is written as :class:`Text` (or ``str``) leaves as text, other bytes as binary.
    * :class:`~aionet.codecs.LineCodec`, :class:`~aionet.codecs.JsonCodec`: it is a line, or a value, without its
      framing; they leave as text.
    * any other codec: payloads, put together, are the stream of that codec; so is what leaves, in at most 64 KiB each.

    Args:
        inner: Left out, the codec of the handler that it serves, or else ``RawCodec``.
        max_size: Largest WebSocket message, bytes; ``inner`` may set a lower limit. By default 64 KiB, or that of
            ``inner`` if it is larger. A message has at most 1024 fragments.
        text: Whether bytes leave as text, wherever they are UTF-8; by default what ``inner`` says.
        path: The request's path to be served, such as ``"/chat"``; others are 404. By default that of the ``ws://``
            endpoint; on other endpoints any. A client's: the path to ask for, with its query.
        origins: Whose pages may connect (``"https://app.example.com"``), besides those of the host that is asked;
            ``"*"``: everybody's. Programs, which send no Origin, always may.
        subprotocols: Of these, the first that the client offers is agreed on. A client's: what it offers.
        pages: Answers to a GET that is no handshake: by path, or a callable that is given the request.
        headers: More headers, of our side of the handshake.
        compress: Whether to agree to permessage-deflate (RFC 7692), message by message. What a message inflates to is
            bounded by ``max_size``. Off by default: it costs more than it saves where messages are small.

    Attributes:
        request: The handshake's :class:`UpgradeRequest`, once it is done.

    Raises:
        ConfigError: a size below 1, an inner codec that is none or carries others itself, a path without its slash.
    """

    __slots__ = (
        "_adopts",
        "_last_words",
        "_make_inner",
        "_opening",
        "_settings",
        "_size",
        "_streams",
        "_text",
        "batches",
        "inner",
        "is_open",
        "request",
        "text",
    )

    replies = True

    @overload
    def __init__(self: WebSocketCodec[bytes], inner: None = None, **options: Unpack[_Options]) -> None: ...
    @overload
    def __init__(self, inner: CodecSource[M], **options: Unpack[_Options]) -> None: ...
    def __init__(
        self,
        inner: CodecSource[Any] | None = None,
        *,
        max_size: int | None = None,
        text: bool | None = None,
        path: str | None = None,
        origins: Sequence[str] = (),
        subprotocols: Sequence[str] = (),
        pages: Pages = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        compress: bool = False,
    ) -> None:
        if path is not None and not path.startswith("/"):
            raise ConfigError(f"a path begins with a slash, not {path!r}", hint=f"/{path}")
        for name, several in (("origins", origins), ("subprotocols", subprotocols)):
            if isinstance(several, str):
                raise ConfigError(f"{name} must be several, not {several!r}", hint=f"{name}=({several!r},)")
        self._adopts = inner is None
        self._make_inner = _maker(RawCodec if inner is None else inner)
        self._settings = Settings(path, tuple(origins), tuple(subprotocols), pages, headers, compress)
        self._size = None if max_size is None else whole_number("max_size", max_size)
        self._text = text
        self._begin()

    def _begin(self) -> None:
        """What each connection begins with."""
        self.inner: Codec[Any] = self._make_inner()
        if not self.inner.is_open:
            raise ConfigError(f"{self.inner!r} carries other codecs, and cannot be carried")
        size = max(PIECE, self.inner.max_size) if self._size is None else self._size
        super().__init__(size, type(self.inner) is RawCodec)
        self.text = self.inner.text if self._text is None else self._text
        self._streams = type(self.inner).feed_payload is Codec.feed_payload
        self.batches = (self._raw or self.inner.batches) and not (self._settings.compress or self._streams)
        self.is_open = False
        self.request: UpgradeRequest | None = None
        self._last_words: tuple[int, str] | None = None
        self._opening: ServerOpening | ClientOpening | None = self._make_opening()

    def _make_opening(self) -> ServerOpening | ClientOpening:
        return ServerOpening(self._settings)

    # ---- in ------------------------------------------------------------------------------------

    def _feed_held(self, data: bytes) -> list[M]:
        if self._opening is not None:
            rest = None if self.ended or self.fault is not None else self._opening.feed(data)
            if rest is None or not self._opened(self._opening):
                return []
            data = rest
        return super()._feed_held(data)

    def _opened(self, opening: ServerOpening | ClientOpening) -> bool:
        """The handshake has come to an end."""
        if isinstance(opening, ServerOpening):
            self._answers = opening.answer
        if opening.request is None:
            self.fault = opening.fault
            self.ended = opening.fault is None  # a page was asked for
            return False
        self.request = opening.request
        self._extensions = opening.extensions
        self._opening = None
        self.is_open = True
        return True

    def _open_payloads(self, payloads: list[bytes]) -> list[M]:
        messages: list[M] = []
        inner = self.inner
        for payload in payloads:
            messages += inner.feed_payload(payload)
            if inner.fault is not None:
                self.refuse(inner.fault)
                return messages
        if self.ended:
            messages += self._end_inner()
        return messages

    def _end_inner(self) -> list[M]:
        messages = self.inner.feed_eof()
        if self.inner.fault is not None:
            self.refuse(self.inner.fault)
        return messages

    def feed_eof(self) -> list[M]:
        """The connection ends without a goodbye, which is the end all the same, if nothing was begun."""
        if self.ended:
            return []
        self.ended = True
        super().feed_eof()
        library = self._protocol()
        library.receive_eof()  # and so nothing will be said any more
        library.data_to_send()
        return self._end_inner() if self.fault is None else []

    @property
    def buffered(self) -> int:
        """Bytes of an incomplete message, or handshake."""
        return super().buffered + self.inner.buffered if self._opening is None else self._opening.buffered

    # ---- out -----------------------------------------------------------------------------------

    def encode(self, message: M | str) -> bytes:
        """The message as ``inner`` has it, in a frame.

        Raises:
            EncodeError: ``inner`` cannot carry it.
        """
        payload: Any = message
        if not self._raw:
            payload = self.inner.encode_payload(payload)
        elif isinstance(message, str):
            try:
                payload = Text(message)
            except UnicodeEncodeError as exc:
                raise EncodeError(f"{message[:40]!a} cannot be sent as text: {exc.reason}") from exc
        elif not isinstance(message, bytes):
            payload = to_bytes(message)
        return self._split(payload) if self._streams else self.frame(self._kind(payload), payload)

    def _split(self, data: bytes) -> bytes:
        """Bytes whose borders mean nothing, in messages that a peer with our own limits takes."""
        if len(data) <= PIECE:
            return self.frame(self._kind(data), data)
        pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        return b"".join([self.frame(self._kind(piece), piece) for piece in pieces])

    def _kind(self, payload: bytes) -> int:
        return TEXT if isinstance(payload, Text) or (self.text and is_utf8(payload)) else BINARY

    def encode_batch(self, messages: list[Any]) -> bytes:
        """Several at once.

        Raises:
            EncodeError: as :meth:`encode`.
        """
        payloads = messages if self._raw else [self.inner.encode_payload(message) for message in messages]
        if not self.text:
            return self.frames(BINARY, payloads)
        if b"".join(payloads).isascii():
            return self.frames(TEXT, payloads)
        return b"".join([self.frame(self._kind(payload), payload) for payload in payloads])

    def carry(self, data: bytes) -> bytes:
        """Bytes in the form of ``inner``, as a message of their own; of a stream, or a file, as several."""
        return self._split(data) if self._streams or self._raw else self.frame(self._kind(data), data)

    def farewell(self, reason: CloseReason) -> bytes:
        """A close frame whose code says why; before the handshake is done, an answer of HTTP."""
        opening = self._opening
        if opening is None:
            code = _CODES.get(reason)
            words = (CloseCode.NORMAL_CLOSURE, "") if code is None else (code, reason.value)
            return self.say_goodbye(*(self._last_words or words))
        if isinstance(opening, ServerOpening) and not opening.answer and reason in _STATUS:
            opening.refuse(_STATUS[reason], reason.value)
            return opening.answer
        return b""

    def close_with(self, code: int, words: str = "") -> None:
        """What the close frame shall say when our side closes: 4000 to 4999 are free to use, RFC 6455 lists others.

        Raises:
            EncodeError: a code that may not be sent.
        """
        try:
            Close(code, words).check()
        except InvalidClose as exc:
            raise EncodeError(f"{code} cannot be sent as a close code", hint="4000 to 4999 are free to use") from exc
        self._last_words = (code, words)

    @property
    def peer_close(self) -> tuple[int, str] | None:
        """Code and words of the peer's close frame; 1005 is a frame without a code. ``None``: none came."""
        close = None if self._library is None else self._library.close_rcvd
        return None if close is None else (int(close.code), close.reason)

    # ---- one for each connection ---------------------------------------------------------------

    def encoding_key(self) -> Hashable:
        """Codecs of this class encode equally if their inner codecs do, and compression was agreed on by both."""
        key = self.inner.encoding_key()
        return None if key is None else (type(self), key, self.text, bool(self._extensions))

    def clone(self) -> Self:
        """A fresh codec with the same settings, before its handshake."""
        if type(self) in (WebSocketCodec, ClientCodec):
            fresh = copy.copy(self)
        else:
            shared = (self._settings, self._make_inner)
            fresh = copy.deepcopy(self, {id(each): each for each in shared})
        fresh._begin()
        return fresh

    def adopt(self, own: CodecSource[Any]) -> Codec[Any]:
        """This codec around the handler's own, unless it was made around another one."""
        return self._with(_make_inner=_maker(own), _adopts=False) if self._adopts else self

    def opened(self, request: UpgradeRequest | None = None) -> Self:
        """A fresh codec as if the handshake were done: for tests, and for whoever has done it."""
        fresh = self.clone()
        fresh._opening = None
        fresh._answers = b""
        fresh.is_open = fresh._plain = True
        fresh.request = UpgradeRequest(self._settings.path or "/") if request is None else request
        return fresh

    @staticmethod
    def serving(endpoint: Endpoint, codec: CodecSource[Any]) -> CodecSource[Any]:
        """What serves a ``ws://`` or ``wss://`` endpoint: such a codec, at its path, made around any other."""
        return _around(codec, lambda made: made.placed(endpoint))

    @staticmethod
    def connecting(endpoint: Endpoint, codec: CodecSource[Any]) -> CodecSource[Any]:
        """What connects to a ``ws://`` or ``wss://`` endpoint."""
        return _around(codec, lambda made: made.towards(endpoint))

    def placed(self, endpoint: Endpoint) -> Self:
        """This codec, or one that serves the path of a ``ws://`` or ``wss://`` endpoint if it was made for no other."""
        if self._settings.path is not None:
            return self
        return self._with(_settings=replace(self._settings, path=endpoint.path))

    def towards(self, endpoint: Endpoint) -> WebSocketCodec[M]:
        """The client's side of it, to connect to a ``ws://`` or ``wss://`` endpoint."""
        target = Target(endpoint.host, endpoint.port, self._settings.path or endpoint.path, endpoint.is_tls)
        fresh: ClientCodec[M] = ClientCodec.__new__(ClientCodec)
        fresh._adopts, fresh._make_inner, fresh._size, fresh._text = False, self._make_inner, self._size, self._text
        fresh._settings = replace(self._settings, target=target)
        fresh._begin()
        return fresh

    def _with(self, **changed: Any) -> Self:
        fresh = copy.copy(self)
        for name, value in changed.items():
            setattr(fresh, name, value)
        fresh._begin()
        return fresh

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"


class ClientCodec(MaskingCodec[M], WebSocketCodec[M]):
    """The client's side. Made by :meth:`WebSocketCodec.towards`."""

    __slots__ = ()

    def _begin(self) -> None:
        super()._begin()
        assert isinstance(self._opening, ClientOpening)
        self._answers = self._opening.answer

    def _make_opening(self) -> ClientOpening:
        return ClientOpening(self._settings)

    def encoding_key(self) -> Hashable:
        """Each frame is masked anew."""
        return self


def _around(codec: CodecSource[Any], finish: Callable[[WebSocketCodec[Any]], WebSocketCodec[Any]]) -> CodecSource[Any]:
    make = _maker(codec)
    if not isinstance(make(), WebSocketCodec):
        return finish(WebSocketCodec(codec))
    return finish(codec) if isinstance(codec, WebSocketCodec) else lambda: finish(make())  # type: ignore[arg-type]


def _maker(source: CodecSource[Any]) -> Callable[[], Codec[Any]]:
    make: Callable[[], Any] = source.clone if isinstance(source, Codec) else source
    sample = make() if callable(make) else make
    if not isinstance(sample, Codec):
        raise ConfigError(f"{source!r} is no codec", hint="give a Codec instance, or something callable that makes one")
    return make
