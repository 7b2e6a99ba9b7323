"""Patterns: an automaton matches what ``re`` matches. An input is a pattern, a zero byte, and a text."""

from __future__ import annotations

import re
import warnings
from typing import Final

from aionet.errors import ConfigError
from aionet.routing.regular import Automaton

SEEDS: Final = (
    b"(?i)(?:get|list)[ ;\n]\0GET x",
    b"(a|b)*?c+[^d]{2,3}\0abccde",
    b"^\\w+\\s\\d\0word 5",
    b"(?s:.)(?-i:x)\0\nx",
)
MAX_PATTERN: Final = 20  # what re makes of a longer one may take it years
MAX_TEXT: Final = 12


def check(data: bytes) -> None:
    pattern, _, text = data.partition(b"\0")
    pattern, text = pattern[:MAX_PATTERN], text[:MAX_TEXT]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # re warns of sets that will mean something else one day
        try:
            automaton = Automaton(pattern)
        except ConfigError:
            return
        expected = re.compile(pattern).match(text) is not None
    assert (automaton.run(text) is True) == expected
    assert all(automaton.run(sample) for sample in automaton.samples())
    assert automaton.covers(automaton) or len(pattern) > 8
