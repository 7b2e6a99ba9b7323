"""Codecs by name, as ``--codec`` takes them: ``raw``, ``line``, ``length:2``, ``json:length:4`` ..."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import click

from .. import codecs
from ..codec import Codec
from ..codecs import JsonCodec, LengthPrefixCodec, LineCodec, NetstringCodec, RawCodec, VarintCodec
from ..errors import AionetError

__all__ = ["GRAMMAR", "NamedCodec", "over_websocket", "parse_codec", "read_codec"]

GRAMMAR: Final = "raw, line[:crlf], length[:1|2|4|8][:little], varint, netstring, json[:CODEC]"


@dataclass(frozen=True, slots=True)
class NamedCodec:
    """A codec, and how its messages are typed in and printed.

    Attributes:
        codec: As :func:`aionet.connect` takes it.
        framed: Whether it has messages at all: a line typed in is one, and one printed is a line. Without: chunks.
        read: What was typed, to a message. Raises ``ValueError`` if it is none.
        show: A message, to what is printed.
    """

    codec: Codec[Any]
    framed: bool
    read: Callable[[bytes], Any]
    show: Callable[[Any], bytes]


def parse_codec(spec: str) -> NamedCodec:
    """The codec that ``spec`` names.

    Raises:
        ValueError: with what is wrong and what is known.
    """
    codec = _parse(spec, spec.split(":"))
    if isinstance(codec, JsonCodec):
        return NamedCodec(codec, True, json.loads, lambda value: json.dumps(value).encode() + b"\n")
    if isinstance(codec, RawCodec):
        return NamedCodec(codec, False, bytes, bytes)
    return NamedCodec(codec, True, bytes, lambda message: bytes(message) + b"\n")


def over_websocket(named: NamedCodec, *, text: bool) -> NamedCodec:
    """The codec in WebSocket messages, each of which is a line here; chunks leave as ``text``, if they are UTF-8."""
    if named.framed:
        return replace(named, codec=codecs.WebSocketCodec(named.codec))
    return NamedCodec(
        codecs.WebSocketCodec(named.codec, text=text), True, bytes, lambda message: bytes(message) + b"\n"
    )


def _parse(spec: str, words: list[str]) -> Codec[Any]:
    name, *parameters = words
    if name == "json":
        return JsonCodec(_parse(spec, parameters) if parameters else None)
    if name == "length":
        return _length(spec, parameters)
    if name == "line" and parameters in ([], ["crlf"]):
        # A peer may well close without a last line end: show what it said.
        return LineCodec(delimiter=b"\r\n" if parameters else b"\n", eof_ends_line=True)
    plain: dict[str, Callable[[], Codec[Any]]] = {
        "raw": RawCodec,
        "varint": VarintCodec,
        "netstring": NetstringCodec,
    }
    if name in plain and not parameters:
        return plain[name]()
    known = [*plain, "line", "length", "json"]
    if name in known:
        raise ValueError(f"codec {spec!r}: {name} does not take {':'.join(parameters)!r}; known: {GRAMMAR}")
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"codec {spec!r}: {guess}known: {GRAMMAR}")


def _length(spec: str, parameters: list[str]) -> Codec[Any]:
    width = 4
    byteorder: Literal["big", "little"] = "big"
    for parameter in parameters:
        if parameter.isascii() and parameter.isdigit():
            width = int(parameter)
        elif parameter == "little":
            byteorder = "little"
        elif parameter != "big":
            raise ValueError(f"codec {spec!r}: length does not take {parameter!r}; known: {GRAMMAR}")
    try:
        return LengthPrefixCodec(width=width, byteorder=byteorder)
    except AionetError as exc:
        raise ValueError(f"codec {spec!r}: {exc}") from exc


def read_codec(ctx: click.Context, parameter: click.Parameter, value: str) -> NamedCodec:
    """``--codec`` for click."""
    try:
        return parse_codec(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc), ctx, parameter) from exc
