"""The heads of answers: status line, fields, and what keeps a served file from harming who looks at it.

A file is somebody's upload: it is never sniffed (``nosniff``), and a browser shows it in a sandbox, where no script
runs, no form is sent and nothing is loaded but images, media, styles and fonts from this server. So HTML and SVG can be
looked at, and are harmless.
"""

from __future__ import annotations

import mimetypes
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from .codec import Request
from .conditions import format_date

__all__ = ["SANDBOX", "content_type", "disposition", "file_fields", "format_head"]

SANDBOX: Final = (
    "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; frame-ancestors 'self'"
)
"""The Content-Security-Policy of every file."""

_VIEWER: Final = SANDBOX.removeprefix("sandbox; ").replace(
    "default-src 'none'", "default-src 'none'; object-src 'self'"
)
"""That of a PDF: browsers show it by a viewer of their own, which no sandbox lets in; its scripts reach no page."""

_STATUS: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: " for status in HTTPStatus}

_TYPES: Final = mimetypes.MimeTypes().types_map[True] | {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".bz2": "application/x-bzip2",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".js": "text/javascript",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".mjs": "text/javascript",
    ".mkv": "video/x-matroska",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
    **dict.fromkeys(
        ".c .cfg .conf .cpp .csv .diff .go .h .ini .java .log .md .patch .py".split()
        + ".rs .rst .sh .sql .toml .ts .yaml .yml".split(),
        "text/plain",
    ),
}
"""By extension. Not the system's table: a file has the same type on every machine."""


def content_type(name: str) -> str:
    """The media type of a file of this name; ``application/octet-stream``, which browsers save, if it is unknown."""
    _, dot, suffix = name.rpartition(".")
    return _media_type(suffix.lower()) if dot and len(suffix) <= 8 else "application/octet-stream"


@lru_cache(maxsize=1024)
def _media_type(suffix: str) -> str:
    kind = _TYPES.get(f".{suffix}", "application/octet-stream")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == "application/json" else kind


@lru_cache(maxsize=256)
def _file_fields(kind: str) -> str:
    policy = _VIEWER if kind == "application/pdf" else SANDBOX
    return (
        f"Content-Type: {kind}\r\nAccept-Ranges: bytes\r\nCache-Control: no-cache\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"Content-Security-Policy: {policy}\r\nCross-Origin-Resource-Policy: same-origin\r\n"
    )


def file_fields(name: str) -> str:
    """The fields of a file that depend on its name only, each ended by CRLF."""
    return _file_fields(content_type(name))


def disposition(name: str) -> str:
    """A field that makes a browser save a file, under the last component of its name (RFC 6266, RFC 8187)."""
    last = name.rpartition("/")[2]
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in last)
    extended = "" if plain == last else f"; filename*=UTF-8''{quote(last, safe='')}"
    return f'Content-Disposition: attachment; filename="{plain}"{extended}\r\n'


def format_head(request: Request, status: int, fields: str, *, close: bool = False) -> bytes:
    """A head, ready to be sent.

    Args:
        request: What is answered.
        status: Such as 200.
        fields: Each ended by CRLF; ASCII.
        close: The connection will be closed, whatever the request wants.
    """
    connection = ""
    if close or not request.keep_alive:
        connection = "Connection: close\r\n"
    elif not request.minor:
        connection = "Connection: keep-alive\r\n"
    return f"{_STATUS[status]}{format_date(int(time.time()))}\r\n{fields}{connection}\r\n".encode("ascii")
