"""JSON (RFC 8259) in the messages of another codec, checked against a type by msgspec."""

from __future__ import annotations

import copy
from builtins import type as class_of
from collections.abc import Hashable
from typing import Any, Self, TypeVar, overload

import msgspec

from ..codec import Codec
from ..errors import ConfigError, EncodeError, MalformedFrame, ProtocolError
from ._common import announced_too_large, refused_too_large
from .line import LineCodec

__all__ = ["JsonCodec"]

M = TypeVar("M")

_encode = msgspec.json.Encoder().encode
_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
_SHOWN = 160  # characters of msgspec's reason, which may repeat the peer's text; it ends with the path in the message


class JsonCodec(Codec[M]):
    """One JSON value in each message of ``inner``; by default JSON lines.

    A value that is no JSON, or not of the ``type`` given, is a fault that says where in the value; messages before
    it are delivered. What JSON itself leaves open is as in msgspec: NaN and infinity are refused on receipt and sent
    as ``null``; of a key given twice the last counts; unknown fields are ignored unless the Struct forbids them.

    Args:
        inner: The framing; a :class:`~aionet.codecs.LineCodec` by default. Its ``max_size`` holds. It becomes part of
            this codec and serves no other.
        type: What a message must be: a ``msgspec.Struct``, a dataclass, a ``TypedDict``, a union of tagged
            Structs, ... By default any JSON value.

    Raises:
        ConfigError: ``inner`` is no codec, or msgspec does not support ``type``.
    """

    text = True

    __slots__ = ("_decoder", "_type", "fault", "inner", "max_size", "replies")

    @overload
    def __init__(self: JsonCodec[Any], inner: Codec[bytes] | None = None) -> None: ...
    @overload
    def __init__(self, inner: Codec[bytes] | None = None, type: class_of[M] = ...) -> None: ...
    @overload
    def __init__(self: JsonCodec[Any], inner: Codec[bytes] | None = None, type: Any = ...) -> None: ...
    def __init__(self, inner: Codec[bytes] | None = None, type: Any = Any) -> None:
        if inner is None:
            inner = LineCodec()
        elif not isinstance(inner, Codec):
            raise ConfigError(f"inner must be a codec, such as LineCodec(), not {inner!r}")
        elif not inner.is_open:
            name = class_of(inner).__name__
            raise ConfigError(f"{inner!r} carries other codecs, not the other way round", hint=f"{name}(JsonCodec())")
        try:
            decoder = msgspec.json.Decoder(type)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"type {type!r} cannot be decoded from JSON: {error}") from None
        self._set_up(inner, type, decoder)

    def _set_up(self, inner: Codec[bytes], type: Any, decoder: Any) -> None:
        self.inner = inner
        self._type = type
        self._decoder = decoder
        self.max_size = inner.max_size
        self.replies = inner.replies
        self.fault: ProtocolError | None = None

    def feed(self, data: bytes) -> list[M]:
        """The values that this chunk completes."""
        return [] if self.fault is not None else self._decode(self.inner.feed(data))

    def feed_eof(self) -> list[M]:
        """As the inner codec has it."""
        return [] if self.fault is not None else self._decode(self.inner.feed_eof())

    @property
    def buffered(self) -> int:
        """Bytes of a message that the inner codec has not complete."""
        return self.inner.buffered if self.fault is None else 0

    def encode(self, message: M) -> bytes:
        """The value as compact JSON in the inner codec's form.

        Raises:
            EncodeError: msgspec cannot write the value as JSON, or the inner codec cannot carry it.
        """
        try:
            data = _encode(message)
        except _UNWRITABLE as error:
            raise _unwritable(message, error) from error
        return self.inner.encode(data)

    def feed_payload(self, payload: bytes) -> list[M]:
        """The value that the payload is; the inner codec's framing is not needed, its limit holds."""
        if len(payload) > self.max_size:
            self.fault = announced_too_large(len(payload), self.max_size)
        return [] if self.fault is not None else self._decode([payload])

    def encode_payload(self, message: M) -> bytes:
        """The value as compact JSON.

        Raises:
            EncodeError: msgspec cannot write the value as JSON, or it has more than ``max_size`` bytes.
        """
        try:
            data = _encode(message)
        except _UNWRITABLE as error:
            raise _unwritable(message, error) from error
        if len(data) > self.max_size:
            raise refused_too_large(len(data), self.max_size)
        return data

    def data_to_send(self) -> bytes:
        """What the inner codec has to send."""
        return self.inner.data_to_send()

    def encoding_key(self) -> Hashable:
        """Codecs of this class encode equally if their inner codecs do."""
        key = self.inner.encoding_key()
        return None if key is None else (class_of(self), key)

    def clone(self) -> Self:
        """A fresh codec with a clone of the inner one. The decoder has no state and is shared."""
        if class_of(self) is not JsonCodec:
            shared = (self._decoder, self._type)
            return copy.deepcopy(self, {id(each): each for each in shared})
        fresh = class_of(self).__new__(class_of(self))
        fresh._set_up(self.inner.clone(), self._type, self._decoder)
        return fresh

    def __repr__(self) -> str:
        wanted = "" if self._type is Any else f", type={getattr(self._type, '__name__', self._type)}"
        return f"{class_of(self).__name__}({self.inner!r}{wanted})"

    def _decode(self, payloads: list[bytes]) -> list[M]:
        """The values up to the first bad one. The inner codec's own fault comes after them all."""
        decode = self._decoder.decode
        messages: list[M] = []
        try:
            for payload in payloads:
                messages.append(decode(payload))  # noqa: PERF401 - a comprehension would lose what was good
        except RecursionError:
            self.fault = MalformedFrame("a JSON value is nested too deeply")
        except (msgspec.MsgspecError, ValueError) as error:
            self.fault = MalformedFrame(_reason(error, self._type))
        else:
            self.fault = self.inner.fault
        return messages


def _unwritable(message: object, error: Exception) -> EncodeError:
    return EncodeError(f"{class_of(message).__name__} value cannot be written as JSON: {error}")


def _reason(error: Exception, wanted: Any) -> str:
    text = ascii(str(error))[1:-1]
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"
    if isinstance(error, msgspec.ValidationError):
        return f"a JSON value is not a {getattr(wanted, '__name__', wanted)}: {text}"
    return f"a message is not JSON: {text}"
