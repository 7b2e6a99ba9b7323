"""Regular languages of first bytes, without backtracking: what a pattern can still become is always known.

``re`` cannot say whether a text that does not match yet may still come to match, and takes exponential time for some
patterns. So the parse tree of ``re`` is made into a position automaton (Glushkov 1961): one position for each place of
the pattern that takes a byte, sets of positions as bits of an integer. A step costs what the pattern is long, whatever
the bytes; an empty set means "no further byte can help".
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # the parse tree has no public name
from typing import Any, Final

from ..errors import ConfigError
from ..matching import Matcher

__all__ = ["Automaton", "Regular", "automaton"]

MAX_POSITIONS: Final = 1024
"""Places of a pattern, counted repetitions written out: a step takes a few microseconds at worst."""
MAX_EXPLORED: Final = 4096
"""Pairs of states looked at to compare two languages; beyond that they count as not comparable."""
MAX_SAMPLES: Final = 16

_LEAVES: Final = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN)
_REPEATS: Final = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_BEGINNINGS: Final = (_constants.AT_BEGINNING, _constants.AT_BEGINNING_STRING)
_NICE_FIRST: Final = tuple(sorted(range(256), key=lambda byte: (not bytes((byte,)).isalnum(), byte)))

_START: Final = 1

Node = tuple[bool, int, int]
"""Of a piece of a pattern: whether it matches nothing at all, and the positions it may begin and end with."""


class Automaton:
    """The language of a pattern: byte strings that begin with a match of it.

    Args:
        pattern: What ``re`` takes, without looking around, back-references, ``$`` and ``\\b``: those ask for what comes
            behind, or for memory.

    Raises:
        ConfigError: it does not parse, holds one of these, matches the empty string, or is too long.
    """

    __slots__ = ("_accepts", "_follow", "_last", "pattern")

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self._follow: list[int] = [0]  # by position, those that may come behind it; the first is the start
        self._accepts = [0] * 256  # by byte, the positions that take it
        try:
            tree = _parser.parse(pattern)
            items = list(tree)
            if items and items[0][0] is _constants.AT and items[0][1] in _BEGINNINGS:
                del items[0]  # it is what is done anyway
            nullable, self._follow[0], self._last = self._sequence(items, tree.state, tree.state.flags)
        except (re.error, OverflowError, RecursionError) as exc:
            raise ConfigError(f"the pattern {pattern!r} does not parse: {exc}") from exc
        if nullable:
            raise ConfigError(f"the pattern {pattern!r} matches the empty string", hint="that is what anything() does")

    def run(self, data: bytes) -> bool | None:
        """Whether ``data`` begins with a match; ``None``: not yet."""
        positions = _START
        for byte in data:
            positions = self._step(positions, byte)
            if not positions:
                return False
            if positions & self._last:
                return True
        return None

    def covers(self, other: Automaton) -> bool:
        """Whether every string that begins with a match of ``other`` also does with one of this: exactly, within
        :data:`MAX_EXPLORED`."""
        letters = {pair: byte for byte, pair in enumerate(zip(self._accepts, other._accepts, strict=True))}.values()
        seen: set[tuple[int, int]] = set()
        waiting = [(_START, _START)]
        while waiting:
            mine, its = pair = waiting.pop()
            if pair in seen or not its or mine & self._last:
                continue
            if not mine or its & other._last or len(seen) == MAX_EXPLORED:
                return False
            seen.add(pair)
            waiting += [(self._step(mine, byte), other._step(its, byte)) for byte in letters]
        return True

    def samples(self) -> tuple[bytes, ...]:
        """A shortest string that matches, for each place the pattern may begin at."""
        words = []
        for position in _bits(self._follow[0]):
            taken = [byte for byte in _NICE_FIRST if self._accepts[byte] >> position & 1]
            words += [self._shortest(position, byte) for byte in {taken[0]: 0, taken[-1]: 0}] if taken else []
        return tuple(dict.fromkeys(word for word in words[:MAX_SAMPLES] if word))

    def _shortest(self, position: int, byte: int) -> bytes:
        waiting, seen = deque([(position, bytes((byte,)))]), 1 << position
        while waiting:
            position, word = waiting.popleft()
            if self._last >> position & 1:
                return word
            after = self._follow[position] & ~seen
            seen |= after
            for following in _bits(after):
                letter = next((byte for byte in _NICE_FIRST if self._accepts[byte] >> following & 1), None)
                if letter is not None:
                    waiting.append((following, word + bytes((letter,))))
        return b""

    def _step(self, positions: int, byte: int) -> int:
        return _union(self._follow[position] for position in _bits(positions)) & self._accepts[byte]

    # ---- building: each piece of the tree to its Node ------------------------------------------------------

    def _sequence(self, items: Any, state: Any, flags: int) -> Node:
        node: Node = (True, 0, 0)
        for operation, argument in items:
            node = self._chain(node, self._piece(operation, argument, state, flags))
        return node

    def _chain(self, one: Node, two: Node) -> Node:
        for position in _bits(one[2]):
            self._follow[position] |= two[1]
        return one[0] and two[0], one[1] | (two[1] if one[0] else 0), two[2] | (one[2] if two[0] else 0)

    def _piece(self, operation: Any, argument: Any, state: Any, flags: int) -> Node:
        if operation in _LEAVES:
            return self._leaf(_parser.SubPattern(state, [(operation, argument)]), flags)
        if operation is _constants.BRANCH:
            nodes = [self._sequence(items, state, flags) for items in argument[1]]
            return any(node[0] for node in nodes), _union(n[1] for n in nodes), _union(n[2] for n in nodes)
        if operation is _constants.SUBPATTERN:
            _, added, removed, items = argument
            return self._sequence(items, state, (flags | added) & ~removed)
        if operation in _REPEATS:
            least, most, items = argument
            return self._repeat(least, most, items, state, flags)
        raise ConfigError(
            f"the pattern {self.pattern!r} holds {str(operation).lower()}: first bytes alone do not decide that",
            hint="no look-around, no back-reference, no $ or \\b, no atomic group",
        )

    def _repeat(self, least: int, most: Any, items: Any, state: Any, flags: int) -> Node:
        node: Node = (True, 0, 0)
        endless = most is _constants.MAXREPEAT
        for number in range(max(least, 1) if endless else most):
            before = len(self._follow)
            nullable, first, last = self._sequence(items, state, flags)
            if len(self._follow) == before:
                break  # there is nothing in it to repeat
            if endless and number == max(least, 1) - 1:
                self._chain((False, first, last), (False, first, last))
            node = self._chain(node, (nullable or number >= least, first, last))
        return node

    def _leaf(self, leaf: Any, flags: int) -> Node:
        position = len(self._follow)
        if position > MAX_POSITIONS:
            raise ConfigError(
                f"the pattern {self.pattern!r} is longer than {MAX_POSITIONS} bytes, repetitions included"
            )
        self._follow.append(0)
        compiled = _compiler.compile(leaf, flags)
        for byte in range(256):
            if compiled.match(bytes((byte,))):
                self._accepts[byte] |= 1 << position
        return False, 1 << position, 1 << position


def _union(masks: Iterable[int]) -> int:
    """The union of sets of bits."""
    union = 0
    for mask in masks:
        union |= mask
    return union


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


@cache
def automaton(pattern: bytes) -> Automaton:
    """The automaton of a pattern, made once."""
    return Automaton(pattern)


class Regular(Matcher):
    """A matcher whose first bytes are a regular language: two of them can be compared exactly."""

    __slots__ = ()

    @property
    @abstractmethod
    def pattern(self) -> bytes:
        """The language, as ``re`` writes it."""

    def covers(self, other: Matcher) -> bool:
        return isinstance(other, Regular) and automaton(self.pattern).covers(automaton(other.pattern))
