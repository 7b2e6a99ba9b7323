"""The head of an HTTP/1 request, read strictly and as far as it has come (RFC 9112).

What servers have been known to read differently is refused, as it hides a second request from one of them: a bare CR
or LF, a folded line, space before a colon, two ``Host`` or none, a target that contradicts ``Host``,
``Content-Length`` beside ``Transfer-Encoding`` or twice with different values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from .names import HOST

__all__ = ["MalformedHead", "RequestHead", "read_head"]

MAX_FIELDS: Final = 100
"""Field lines of a head; Apache's default as well."""

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD: Final = re.compile(rb"(%b):([\t -~\x80-\xff]*)" % _TOKEN)
_FIELD_BEGUN: Final = re.compile(rb"(?:%b(?::[\t -~\x80-\xff]*)?)?\r?" % _TOKEN)
_AUTHORITY: Final = re.compile(rb"(%b)(?::[0-9]{0,5})?" % HOST)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(/?[^?]*)(?:\?.*)?")
_VISIBLE: Final = re.compile(rb"[!\"$-~]*")  # no control, no space, no "#": a fragment is not sent
_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_VERSIONS: Final = (b"HTTP/1.1\r", b"HTTP/1.0\r")


class MalformedHead(Exception):
    """These bytes are no request that everybody reads alike."""


@dataclass(slots=True)
class RequestHead:
    """What is known of a request so far. ``None``: not yet, or not there.

    Attributes:
        method: As it was sent.
        path: Without the query, percent-decoded; ``"*"`` of OPTIONS; ``""`` of CONNECT.
        host: In lower case, without the port and a final dot.
        upgrade: The protocols that ``Upgrade`` names, in lower case, if ``Connection`` names ``upgrade``.
        complete: Whether the head is there as a whole. Only then all of it has been checked.
    """

    method: bytes | None = None
    path: str | None = None
    host: str | None = None
    upgrade: frozenset[bytes] = frozenset()
    complete: bool = False


def read_head(data: bytes, methods: Sequence[bytes]) -> RequestHead:
    """Read a request of one of these methods as far as it has come.

    Raises:
        MalformedHead: it is none, or not one that everybody reads alike. Raised as early as that is certain; a host and
            an escape are looked at when they are complete.
    """
    end = data.find(b"\r\n\r\n")
    lines = (data if end < 0 else data[:end]).split(b"\r\n")
    begun = lines.pop() if end < 0 else None
    head = RequestHead()
    if not lines:
        _read_request_line(begun or b"", methods, head)
        return head
    version = _read_request_line(lines[0] + b"\r", methods, head)
    if len(lines) > MAX_FIELDS + 1:
        raise MalformedHead
    fields: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise MalformedHead
        fields.setdefault(found[1].lower(), []).append(found[2].strip(b" \t"))
    _read_host(fields.get(b"host", []), head)
    if begun is None:
        _check_framing(fields, version)
        head.upgrade = _upgrade(fields)
        head.complete = True
    elif not _FIELD_BEGUN.fullmatch(begun):
        raise MalformedHead
    return head


def _read_request_line(line: bytes, methods: Sequence[bytes], head: RequestHead) -> bytes:
    """The version, as far as it is there. A line that is all there ends in CR."""
    method, space, rest = line.partition(b" ")
    if not space:
        if any(each.startswith(method) for each in methods):
            return b""
        raise MalformedHead
    if method not in methods:
        raise MalformedHead
    head.method = method
    target, space, version = rest.partition(b" ")
    if not space:
        if _target_may_begin(target, method):
            return b""
        raise MalformedHead
    if not _target_may_begin(target, method) or not any(each.startswith(version) for each in _VERSIONS):
        raise MalformedHead
    _read_target(target, head)
    return version


def _target_may_begin(target: bytes, method: bytes) -> bool:
    if not _VISIBLE.fullmatch(target):
        return False
    if method == b"CONNECT":
        return target[:1] not in (b"/", b"*")
    if target == b"*":
        return method == b"OPTIONS"
    start = target[:8].lower()
    return start[:1] == b"/" or any(
        start.startswith(scheme) or scheme.startswith(start) for scheme in (b"http://", b"https://")
    )


def _read_target(target: bytes, head: RequestHead) -> None:
    if head.method == b"CONNECT":
        head.host, head.path = _host(target), ""
        return
    if target == b"*":
        head.path = "*"
        return
    path = target.partition(b"?")[0]
    if not target.startswith(b"/"):
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise MalformedHead
        head.host, path = _host(found[1]), found[2] or b"/"
    if not path.startswith(b"/") or _ESCAPE.search(path):
        raise MalformedHead
    head.path = unquote_to_bytes(path).decode("utf-8", "surrogateescape")


def _read_host(values: list[bytes], head: RequestHead) -> None:
    if not values:
        return
    host = _host(values[0]) if values[0] else ""
    if len(values) > 1 or (head.host is not None and head.host != host):
        raise MalformedHead
    head.host = host


def _host(authority: bytes) -> str:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise MalformedHead
    return found[1].decode().lower().removesuffix(".")


def _check_framing(fields: dict[bytes, list[bytes]], version: bytes) -> None:
    """What decides where the request ends (RFC 9112, sections 3.2 and 6.3)."""
    if b"host" not in fields and version.startswith(b"HTTP/1.1"):
        raise MalformedHead
    lengths, codings = set(fields.get(b"content-length", ())), fields.get(b"transfer-encoding", [])
    if lengths and (codings or len(lengths) > 1 or not next(iter(lengths)).isdigit()):
        raise MalformedHead
    if codings and (version.startswith(b"HTTP/1.0") or _words(codings)[-1] != b"chunked"):
        raise MalformedHead


def _upgrade(fields: dict[bytes, list[bytes]]) -> frozenset[bytes]:
    if b"upgrade" not in _words(fields.get(b"connection", [])):
        return frozenset()
    return frozenset(_words(fields.get(b"upgrade", [])))


def _words(values: list[bytes]) -> list[bytes]:
    """The members of a list field, in lower case (RFC 9110, section 5.6.1)."""
    return [word.strip(b" \t") for word in b",".join(values).lower().split(b",")]
