"""Routes, the ports they share, and the matchers that tell their connections apart. All of it pure.

======================== ========================================================================================
:func:`prefix`           the first bytes are one of these
:func:`regex`            they begin with a match of a pattern
:func:`http`             an HTTP/1 request, by method, host and path
:func:`websocket`        a WebSocket handshake
:func:`tls`              a TLS client
:func:`sni`              a TLS client that asks for one of these names
:func:`alpn`             a TLS client that speaks one of these protocols
:func:`ssh`              an SSH client
:func:`peer`             clients of these networks
:func:`unix_user`        processes of these users, over a Unix socket
:func:`silence`          clients that wait for the server to speak first
:func:`anything`         every connection
``a & b, a | b, ~a``     both, either, not
======================== ========================================================================================
"""

from ..matching import MAX_PEEK, AllOf, AnyOf, ConnectionFacts, Matcher, Not, Verdict
from .facts import anything, peer, silence, unix_user
from .http_request import http, websocket
from .patterns import regex
from .port import NEED_MORE, Port, Route
from .prefixes import prefix, ssh
from .router import Router
from .tls_client import alpn, sni, tls

__all__ = [
    "MAX_PEEK",
    "NEED_MORE",
    "AllOf",
    "AnyOf",
    "ConnectionFacts",
    "Matcher",
    "Not",
    "Port",
    "Route",
    "Router",
    "Verdict",
    "alpn",
    "anything",
    "http",
    "peer",
    "prefix",
    "regex",
    "silence",
    "sni",
    "ssh",
    "tls",
    "unix_user",
    "websocket",
]
