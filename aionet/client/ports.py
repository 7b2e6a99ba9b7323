"""Port lists: ``1-1024,8080`` to numbers, and back."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from ..errors import ConfigError

__all__ = ["HIGHEST_PORT", "format_ports", "parse_ports"]

HIGHEST_PORT: Final = 65535


def parse_ports(text: str) -> tuple[int, ...]:
    """The ports of a list such as ``22``, ``1-1024,8080`` or ``8000-`` (to the highest), ascending, each once.

    Raises:
        ConfigError: with the item that is wrong, and why.
    """
    ports: set[int] = set()
    for item in text.split(","):
        ports.update(_parse_item(text, item.strip()))
    return tuple(sorted(ports))


def format_ports(ports: Iterable[int]) -> str:
    """The shortest list that :func:`parse_ports` reads as these ports: ``1-3,8080``; empty for none."""
    numbers = sorted(set(ports))
    if not numbers:
        return ""
    gaps = [(low, high) for low, high in pairwise(numbers) if high - low > 1]
    firsts = [numbers[0], *(high for _, high in gaps)]
    lasts = [*(low for low, _ in gaps), numbers[-1]]
    return ",".join(
        f"{first}-{last}" if first != last else str(first) for first, last in zip(firsts, lasts, strict=True)
    )


def _parse_item(text: str, item: str) -> range:
    if not item:
        raise ConfigError(f"port list {text!r}: an item is empty", hint="such as 22,80,8000-8100")
    first, dash, last = item.partition("-")
    low = _parse_port(text, item, first)
    high = low if not dash else _parse_port(text, item, last) if last.strip() else HIGHEST_PORT
    if low > high:
        raise ConfigError(f"port list {text!r}: {item!r} runs backwards", hint=f"is {high}-{low} meant?")
    return range(low, high + 1)


def _parse_port(text: str, item: str, digits: str) -> int:
    digits = digits.strip()
    if not (digits.isascii() and digits.isdigit()):
        which = f"{digits!r} in {item!r}" if digits != item else repr(digits)
        raise ConfigError(f"port list {text!r}: {which} is not a port number", hint="such as 22,80,8000-8100")
    port = int(digits[-9:]) if not digits[:-9].strip("0") else HIGHEST_PORT + 1  # int() refuses thousands of digits
    if not 0 < port <= HIGHEST_PORT:
        raise ConfigError(f"port list {text!r}: port {digits[:20]} is not between 1 and {HIGHEST_PORT}")
    return port
