"""Who may ask: the Host of a request, and the site that a browser sends it from.

A page somewhere else can make a browser ask this server. What it may read is the browser's to keep (no CORS fields are
ever sent); two things are ours. Its name may suddenly point to our address (DNS rebinding), and the browser then takes
us for that site: so only addresses, ``localhost`` and names that were configured are answered to. And it may send a
form or a request that changes something: so a change has to come from our own page, or from no page at all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

__all__ = ["Guard", "comes_from_here"]

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?", re.ASCII)


class Guard:
    """Which hosts a server answers to.

    Args:
        names: Host names besides ``localhost``; ``"*.example.com"`` stands for every name below it, ``"*"`` for all.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self.knows = lru_cache(maxsize=256)(self._knows)

    def _knows(self, host: str) -> bool:
        """Whether ``host``, as in a Host field, is an address or one of the names."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().rstrip(".")
        if "*" in self._names or name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        if any(pattern.startswith("*.") and name.endswith(pattern[1:]) for pattern in self._names):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def comes_from_here(fields: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from a page of this server, or from no page.

    Browsers say ``Sec-Fetch-Site`` (Fetch Metadata), older ones ``Origin``; programs neither.
    """
    site = fields.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = fields.get("origin")
    return origin is None or origin.partition("://")[2].lower() == fields.get("host", "-").lower()
