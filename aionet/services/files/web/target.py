"""What a request's target names, and how a name is written in one (RFC 9112, 3.2; RFC 3986).

A path is decoded once, strictly: ``%`` needs two hexadecimal digits, the bytes must be UTF-8, and an encoded ``/`` or
NUL is refused, for some program before or behind this one would read another name. What comes out is a name as
``..paths`` checks it: nothing is normalised here, so ``..``, ``.`` and ``//`` are refused there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

__all__ = ["Target", "href", "parse_target"]

_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AMBIGUOUS: Final = re.compile(r"%(?:2[Ff]|00)")

_SAFE: Final = "/!$&'()*+,;=:@"
"""What a path may hold unescaped, beside letters, digits and ``-._~``."""


@dataclass(slots=True)
class Target:
    """What is asked for.

    Attributes:
        name: Relative to the directory served, as it is on disk; ``""`` is that directory.
        is_directory: Whether the path ended with ``/``.
        query: Values by key, decoded; ``""`` of a key without one.
        authority: Host and port of a target in absolute form; ``None`` of the usual ones.
    """

    name: str
    is_directory: bool
    query: dict[str, str]
    authority: str | None = None


_NO_QUERY: Final[dict[str, str]] = {}


def parse_target(target: str) -> Target:
    """Take a target apart.

    Raises:
        ValueError: it is none, or does not decode.
    """
    authority = None
    if not target.startswith("/"):
        match = _ABSOLUTE.match(target)
        if match is None:
            raise ValueError("a target begins with a slash")
        authority, target = match[1], target[match.end() :] or "/"
        target = target if target.startswith("/") else f"/{target}"
    path, mark, query = target.partition("?")
    name = path[1:]
    is_directory = not name or name.endswith("/")
    if name and is_directory:
        name = name[:-1]
        if not name:
            raise ValueError("an empty component in the path")
    return Target(_decode_name(name), is_directory, _parse_query(query) if mark else _NO_QUERY, authority)


def href(name: str, *, is_directory: bool = False) -> str:
    """The path of this name: what :func:`parse_target` reads back."""
    return f"/{quote(name, safe=_SAFE)}{'/' if is_directory and name else ''}"


def _parse_query(query: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {_decode(key): _decode(value) for key, _, value in pairs}


def _decode_name(text: str) -> str:
    if _AMBIGUOUS.search(text):
        raise ValueError("an encoded slash or NUL in the path")
    return _decode(text)


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise ValueError("a % needs two hexadecimal digits behind it")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("the percent-encoded bytes are not UTF-8") from None
