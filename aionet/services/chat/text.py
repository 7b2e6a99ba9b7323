"""What may reach a terminal, and what everything else becomes: pure functions, used by the server and by the client.

A terminal obeys what it prints. ESC sequences retitle it, fill its clipboard (OSC 52) or hide text; CR overwrites the
line; bidirectional controls reorder it (Trojan Source, CVE-2021-42574); zero-width characters make two unequal
texts look equal; towers of combining marks cover the lines around. :func:`visible` writes all of these out
(``\\x1b``, ``\\u202e``): nothing is dropped, nothing is obeyed.

What stays raw: every printable character, spaces, tab, private-use characters, the variation selectors U+FE00 to U+FE0F
(emoji use them; they count as combining marks), and letters of right-to-left scripts, which a terminal may reorder
within their line. A backslash stays as it is, so that a second pass changes nothing; whoever types ``\\x1b`` in
letters looks the same as one who sent ESC, which deceives nobody into anything. The zero-width joiner is written
out too: an emoji joined of several people shows as those people.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["MAX_LENGTH", "MAX_MARKS", "decode", "escape", "hidden", "strip_telnet", "visible"]

MAX_LENGTH: Final = 16 * 1024
"""Characters of a line after :func:`visible`. A byte becomes at most four characters, so a chat line never meets it."""

MAX_MARKS: Final = 6
"""Combining marks in a row that stay raw. Vietnamese needs 2, Hebrew with accents 4, Burmese 5."""

_HIDDEN_RANGES: Final = (
    (0x0000, 0x0008),  # C0 without tab: NUL, BEL, BS ...
    (0x000A, 0x001F),  # LF, VT, FF, CR, ESC ...
    (0x007F, 0x009F),  # DEL and C1: 0x9B is CSI in one byte
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x0600, 0x0605),  # Arabic number signs
    (0x061C, 0x061C),  # Arabic letter mark (bidi)
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),  # Hangul fillers: letters without ink
    (0x17B4, 0x17B5),  # Khmer inherent vowels: the same
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x200B, 0x200F),  # zero-width space, joiners, LRM, RLM
    (0x2028, 0x202E),  # line and paragraph separator; bidi embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates
    (0x3164, 0x3164),  # Hangul filler
    (0xD800, 0xDFFF),  # surrogates: no UTF-8 can carry them
    (0xFEFF, 0xFEFF),  # zero-width no-break space, byte order mark
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xFFF0, 0xFFFB),  # reserved, and interlinear annotation
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),  # Egyptian hieroglyph format controls
    (0x1BCA0, 0x1BCA3),  # shorthand format controls
    (0x1D173, 0x1D17A),  # musical beams and slurs
    (0xE0000, 0xE0FFF),  # tags and variation selectors supplement: whole texts can hide in them
)
"""Categories Cc (but tab), Cf, Cs, Zl, Zp, and Default_Ignorable_Code_Point (UAX #44) but U+FE00 to U+FE0F."""

_HIDDEN: Final = re.compile("[" + "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in _HIDDEN_RANGES) + "]")

_TELNET: Final = re.compile(rb"(?:\xff(?:[\xfb-\xfe].|\xfa.*?\xff\xf0|[\xf1-\xf9]))+", re.DOTALL)
"""IAC WILL/WONT/DO/DONT option, IAC SB ... IAC SE, and the two-byte commands (RFC 854)."""


def decode(data: bytes) -> str:
    """UTF-8 to text; each byte that is none becomes ``\\xNN``. Never raises."""
    return data.decode("utf-8", "backslashreplace")


def hidden(character: str) -> bool:
    """Whether this one character is a control, or has no ink of its own and could deceive."""
    return _HIDDEN.match(character) is not None


def escape(character: str) -> str:
    """One character written out in ASCII: ``\\r``, ``\\x1b``, ``\\u202e``, ``\\U000e0001``."""
    if " " <= character <= "~":
        return character
    return character.encode("unicode_escape").decode("ascii")


def visible(text: str, max_length: int = MAX_LENGTH) -> str:
    """The text as one line that a terminal prints and does not obey.

    Applied twice it changes nothing more. The result is at most ``max_length`` characters long; a longer one ends in a
    note of how many are missing.

    Args:
        text: Any string, lone surrogates included.
        max_length: Characters; at least 40, the room of the note.
    """
    if not (text.isascii() and text.isprintable()):
        text = _bound_marks(_HIDDEN.sub(lambda match: escape(match[0]), text))
    if len(text) <= max_length:
        return text
    kept = max_length - 40
    return f"{text[:kept]}... ({len(text) - kept} characters more)"


def strip_telnet(data: bytes) -> bytes:
    """The line without the telnet commands it starts with.

    A telnet client negotiates before its first line, and its interrupt key sends commands later. None of it is
    text: 0xFF occurs nowhere in UTF-8. Commands in the midst of a line stay, to be shown by :func:`decode`.
    """
    if not data.startswith(b"\xff"):
        return data
    match = _TELNET.match(data)
    return data[match.end() :] if match else data


def _bound_marks(text: str) -> str:
    """Write out every combining mark beyond :data:`MAX_MARKS` in a row, and those with nothing to stand on."""
    if text.isascii():
        return text
    pieces: list[str] = []
    run = MAX_MARKS  # at the start of a text a mark would change what was printed before it
    for character in text:
        if character < "\u0300" or not unicodedata.category(character).startswith("M"):
            run = 0
        elif run < MAX_MARKS:
            run += 1
        else:
            character = escape(character)
        pieces.append(character)
    return "".join(pieces)
