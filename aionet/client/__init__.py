"""The client side: the same connections, codecs and endpoints, seen from the other end.

Look-ups and scans are loaded when they are first asked for: servers, which import this too, start without them. HTTP
is ``aionet.client.http.fetch``, what a socket tells ``aionet.client.sockinfo.inspect``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from .connecting import connect
from .datagram import open_datagram

if TYPE_CHECKING:
    from .resolving import find_services, local_host, resolve
    from .scanning import find_targets, scan

__all__ = ["connect", "find_services", "find_targets", "local_host", "open_datagram", "resolve", "scan"]

_LATER: Final = {
    "find_services": "resolving",
    "find_targets": "scanning",
    "local_host": "resolving",
    "resolve": "resolving",
    "scan": "scanning",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    return found
