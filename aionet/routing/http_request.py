"""Connections that begin with an HTTP/1 request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from ..errors import ConfigError
from ..matching import MAX_PEEK, ConnectionFacts, Matcher, Verdict
from .http_head import MalformedHead, RequestHead, read_head
from .names import checked_name, name_covers, name_fits

__all__ = ["METHODS", "Http", "http", "websocket"]

METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
"""Those of RFC 9110 and RFC 5789. Not any word in capitals: the fewer there are, the earlier other text is known to be
none. Others, such as PROPFIND, have to be named."""


@dataclass(frozen=True, slots=True, repr=False)
class Http(Matcher):
    """See :func:`http` and :func:`websocket`."""

    methods: tuple[bytes, ...] = METHODS
    host: str | None = None
    path: str | None = None
    websocket: bool = False

    @property
    def max_size(self) -> int:
        return MAX_PEEK

    @property
    def samples(self) -> tuple[bytes, ...]:
        host = (self.host or "localhost").replace("*", "a")
        path = quote(self.path or "/*", safe="/*")
        paths = (path,) if path[-1] != "*" else (path[:-1], path[:-1] + "a")
        more = "Connection: Upgrade\r\nUpgrade: websocket\r\n" if self.websocket else ""
        return tuple(
            f"{method.decode()} {each} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()
            for method in self.methods
            for each in (paths if method != b"CONNECT" else () if self.path else (f"{host}:443",))
        )

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        head = _look(data, self.methods)
        if head is None or self._excludes(head):
            return Verdict.NO_MATCH
        return Verdict.MATCH if head.complete else Verdict.NEED_MORE

    def _excludes(self, head: RequestHead) -> bool:
        """By what is known so far; what is missing from a complete head will not come."""
        if self.path is not None and head.path is not None and not _path_fits(self.path, head.path):
            return True
        if self.host is not None and head.host is not None and not name_fits(self.host, head.host):
            return True
        if not head.complete:
            return False
        return (self.host is not None and head.host is None) or (self.websocket and b"websocket" not in head.upgrade)

    def covers(self, other: Matcher) -> bool:
        return (
            isinstance(other, Http)
            and set(other.methods) <= set(self.methods)
            and (self.host is None or (other.host is not None and name_covers(self.host, other.host)))
            and (self.path is None or (other.path is not None and _path_covers(self.path, other.path)))
            and (other.websocket or not self.websocket)
        )

    def __repr__(self) -> str:
        methods = tuple(method.decode() for method in self.methods)
        method = None if self.websocket or self.methods == METHODS else methods[0] if len(methods) == 1 else methods
        said = {"method": method, "host": self.host, "path": self.path}
        arguments = ", ".join(f"{name}={value!r}" for name, value in said.items() if value is not None)
        return f"{'websocket' if self.websocket else 'http'}({arguments})"


@lru_cache(maxsize=4)  # the routes of a port look at the same bytes one after another
def _look(data: bytes, methods: tuple[bytes, ...]) -> RequestHead | None:
    """The head as far as it is there; ``None``: there is none."""
    try:
        return read_head(data, methods)
    except MalformedHead:
        return None


def http(method: str | Sequence[str] | None = None, host: str | None = None, path: str | None = None) -> Matcher:
    """HTTP/1 requests, by their head. It is read strictly: what servers read differently does not match.

    The head has to be there within 8 KiB. The path is compared decoded and without its query; one with ``.`` or ``..``
    in it fits no ``path``.

    Args:
        method: One, or several; ``None``: any of :data:`METHODS`.
        host: Such as ``"example.com"`` or ``"*.example.com"``; the port and capitals do not count.
        path: Such as ``"/chat"``, or ``"/api/*"`` for all that begins with ``/api/``.

    Raises:
        ConfigError: one of them cannot be.
    """
    methods = METHODS if method is None else tuple(_method(each) for each in _each(method))
    if not methods:
        raise ConfigError("http: no method is left to match", hint="leave method out for any")
    return Http(methods, host if host is None else checked_name(host), _checked_path(path))


def websocket(path: str | None = None, host: str | None = None) -> Matcher:
    """Requests of a WebSocket handshake (RFC 6455, section 4.1): GET with ``Upgrade: websocket``.

    For a handler that also serves pages to a browser, :func:`http` is the matcher. Arguments and errors as there.
    """
    return Http((b"GET",), host if host is None else checked_name(host), _checked_path(path), websocket=True)


def _each(method: str | Sequence[str]) -> Sequence[str]:
    return (method,) if isinstance(method, str) else method


def _method(method: str) -> bytes:
    if not (isinstance(method, str) and method.isascii() and method.replace("-", "").isalpha() and method.isupper()):
        raise ConfigError(f"http: {method!r} is no method", hint="they are in capitals: GET, POST, PROPFIND")
    return method.encode()


def _checked_path(path: str | None) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str) or not path.startswith("/") or "*" in path[:-1] or "?" in path:
        raise ConfigError(f"{path!r} is no path", hint="/chat, or /api/* for what is below /api/; decoded, no query")
    return path


def _path_fits(pattern: str, path: str) -> bool:
    if not {".", ".."}.isdisjoint(path.split("/")):
        return False  # a server behind us would take it for another path
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _path_covers(one: str, other: str) -> bool:
    return one == other or (one.endswith("*") and other.removesuffix("*").startswith(one[:-1]))
