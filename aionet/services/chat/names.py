"""Which names a person may take, and when two of them look alike. Pure functions.

A name is one to 24 letters, digits, ``_``, ``-`` and ``.``, after NFKC normalisation (so that fullwidth and
mathematical letters become plain ones), starting with a letter or digit. That alone keeps out spaces, brackets,
control, bidirectional and zero-width characters, and emoji. Beyond that:

* at most two combining marks in a row;
* letters of one script; Latin may go with Chinese, Japanese and Korean, as people do write;
* not ``server``, ``system``, ``admin`` and the like (:data:`RESERVED`), nor their look-alikes with digits, dots or
  accents added;
* nobody else's: :func:`name_keys` of two people in the room must not meet. They are equal for names that differ in
  case, or in letters that look alike: Latin, Cyrillic, Greek and Armenian twins, small capitals, ``l`` ``I`` ``1``,
  ``O`` ``0``, ``rn`` ``m``, ``vv`` ``w``, digits of other scripts.

Not checked: twins in rarer scripts (Cherokee, Lisu, Coptic), letters that differ in an accent only, and words that
mean "server" in another language. The full table is UTS #39's confusables, which the standard library lacks.
"""
# ruff: noqa: RUF001 - letters that look alike are what this file is about

from __future__ import annotations

import re
import unicodedata
from typing import Final

from .text import decode, hidden

__all__ = ["MAX_NAME", "RESERVED", "NameRefused", "name_keys", "parse_name"]

MAX_NAME: Final = 24
"""Characters. Wide enough for "first.last", short enough to stand in front of every line."""

MAX_NAME_MARKS: Final = 2
"""Combining marks in a row: what NFKC could not compose, in scripts that need them."""

RESERVED: Final = ("server", "system", "admin", "administrator", "moderator", "operator", "root")
"""Names that would speak with the server's authority."""

_PUNCTUATION: Final = "_-."

_EAST_ASIAN: Final = frozenset(
    {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"}
)

_TWINS: Final = (
    str.maketrans("авеёкмнопрстухьѕіјһԁԛԝӏ", "abeëkmhonpctyxbsijhdqwl")  # Cyrillic
    | str.maketrans("АВЕЁКМНОРСТУХЬЅІЈҺӀ", "abeëkmhopctyxbsijhl")  # ... upper case
    | str.maketrans("αγηικνορστυχω", "aynikvopotuxw")  # Greek
    | str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx")  # ... upper case
    | str.maketrans("օոսհցյ", "onuhgj")  # Armenian
    | str.maketrans("ıɑɡɩ", "iagi")  # Latin, made for Turkish and for phonetics
)

_ALIKE: Final = str.maketrans("i10", "llo")


class NameRefused(ValueError):
    """``str()`` of it is the reason, for the person who asked."""


def parse_name(data: bytes) -> str:
    """The name in this line, normalised.

    Raises:
        NameRefused: with the reason.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise NameRefused(f"a name must be UTF-8, and {decode(data[exc.start : exc.start + 1])} is not") from exc
    name = unicodedata.normalize("NFKC", text.strip(" \t"))
    if not name:
        raise NameRefused("a name must not be empty")
    if len(name) > MAX_NAME:
        raise NameRefused(f"a name has at most {MAX_NAME} characters, not {len(name)}")
    _check_characters(name)
    _check_scripts(name)
    if _is_reserved(name):
        raise NameRefused(f"the name {name} is reserved")
    return name


def name_keys(name: str) -> frozenset[str]:
    """What must be free for this name to be taken: its case-folded form, and its form without look-alikes."""
    folded = unicodedata.normalize("NFKC", name.casefold())
    return frozenset({folded, _skeleton(name)})


def _check_characters(name: str) -> None:
    marks = 0
    for index, character in enumerate(name):
        category = unicodedata.category(character)
        if category.startswith("M") and not hidden(character) and index:
            marks += 1
            if marks > MAX_NAME_MARKS:
                raise NameRefused(f"a name has at most {MAX_NAME_MARKS} combining marks in a row")
            continue
        marks = 0
        if category.startswith("L") or category == "Nd":
            if not hidden(character):  # Hangul fillers are letters, and blank
                continue
        elif character in _PUNCTUATION:
            if index:
                continue
            raise NameRefused(f"a name starts with a letter or a digit, not with {character}")
        raise NameRefused(f"a name has letters, digits, _ - and . only, not {_described(character)}")


def _described(character: str) -> str:
    if character == " ":
        return "a space"
    return character if "!" <= character <= "~" else f"U+{ord(character):04X}"


def _check_scripts(name: str) -> None:
    scripts = {_script(character) for character in name if unicodedata.category(character)[0] == "L"}
    scripts.discard("MODIFIER")
    if len(scripts) > 1 and scripts != {"LATIN", "EAST ASIAN"}:
        listed = " and ".join(sorted(script.title() for script in scripts))
        raise NameRefused(f"a name must not mix letters of {listed}")


def _script(letter: str) -> str:
    """The first word of the letter's Unicode name: the standard library has no script property."""
    word = unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
    return "EAST ASIAN" if word in _EAST_ASIAN else word


def _is_reserved(name: str) -> bool:
    bare = "".join(part for part in unicodedata.normalize("NFD", name) if not unicodedata.combining(part))
    return _skeleton(re.sub(rf"[{re.escape(_PUNCTUATION)}]|\d+\Z", "", bare)) in _RESERVED_SKELETONS


def _skeleton(name: str) -> str:
    letters = "".join(_plain(character) for character in name.translate(_TWINS))
    folded = unicodedata.normalize("NFKC", letters.casefold())
    return folded.translate(_ALIKE).replace("rn", "m").replace("vv", "w")


def _plain(character: str) -> str:
    """Small capitals as letters, digits of any script as ASCII ones."""
    if character.isascii():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    base = unicodedata.name(character, "").removeprefix("LATIN LETTER SMALL CAPITAL ")
    return base if len(base) == 1 else character


_RESERVED_SKELETONS: Final = frozenset(map(_skeleton, RESERVED))
