"""Bytes as people read them, 16 a line, and as they type them."""

from __future__ import annotations

from typing import Final

__all__ = ["Dump", "parse_hex"]

WIDTH: Final = 16


class Dump:
    """Dumps of one direction, as ``hexdump -C`` writes them: offset, hexadecimal, ASCII, behind a mark of its own.

    Args:
        mark: What stands before each line, to tell the directions apart.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._offset = 0

    def __call__(self, data: bytes) -> str:
        """Lines, each with its end. Offsets go on from one call to the next."""
        lines = []
        for start in range(0, len(data), WIDTH):
            row = data[start : start + WIDTH]
            left, right = row[: WIDTH // 2].hex(" "), row[WIDTH // 2 :].hex(" ")
            shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
            lines.append(f"{self._mark} {self._offset + start:08x}  {left:<23}  {right:<23}  |{shown}|\n")
        self._offset += len(data)
        return "".join(lines)


def parse_hex(text: bytes) -> bytes:
    """``68 65 6c``, ``68656c`` or ``68:65:6c`` as the bytes they mean.

    Raises:
        ValueError: it means none.
    """
    try:
        return bytes.fromhex(text.decode("ascii").replace(":", " "))
    except ValueError as exc:
        raise ValueError("hexadecimal digits in pairs are needed, such as 68 65 6c") from exc
