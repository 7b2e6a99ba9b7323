"""Host names in matchers: ``example.com``, or ``*.example.com`` for one label more (RFC 6125, section 6.4.3)."""

from __future__ import annotations

import re
from typing import Final

from ..errors import ConfigError

__all__ = ["HOST", "checked_name", "name_covers", "name_fits"]

HOST: Final = rb"[0-9A-Za-z._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\]"
"""A name or an address as it stands in a request, in the syntax of :mod:`re`. More characters are legal and unused."""

_PATTERN: Final = re.compile(r"(?:\*\.)?[0-9a-z_-]+(?:\.[0-9a-z_-]+)*|\[[0-9a-f:.]{2,45}\]")


def checked_name(pattern: str) -> str:
    """The pattern in lower case, a name of other scripts in its form for the wire.

    Raises:
        ConfigError: it is no name.
    """
    if not isinstance(pattern, str):
        raise ConfigError(f"a host name is text, not {pattern!r}")
    try:
        name = pattern if pattern.isascii() else pattern.encode("idna").decode()
    except UnicodeError as exc:
        raise ConfigError(f"{pattern!r} is no host name: {exc}") from exc
    if not _PATTERN.fullmatch(name.lower()):
        raise ConfigError(f"{pattern!r} is no host name", hint="such as example.com, *.example.com or [::1]; no port")
    return name.lower()


def name_fits(pattern: str, name: str) -> bool:
    """Whether ``name``, in lower case, is what the pattern means."""
    if pattern.startswith("*."):
        label, _, rest = name.partition(".")
        return bool(label) and rest == pattern[2:]
    return name == pattern


def name_covers(one: str, other: str) -> bool:
    """Whether the first pattern means all that the second means."""
    return one == other or (not other.startswith("*.") and name_fits(one, other))
