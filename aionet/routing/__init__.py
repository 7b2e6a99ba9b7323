"""Routes, the ports they share, and the matchers that tell their connections apart. All of it pure.

======================== ========================================================================================
:func:`prefix`           the first bytes are one of these
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
from .port import NEED_MORE, Port, Route
from .prefix import prefix, ssh
from .router import Router

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
    "anything",
    "peer",
    "prefix",
    "silence",
    "ssh",
    "unix_user",
]
