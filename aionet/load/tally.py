"""What a load has counted: one object a process, handed over and begun anew at each interval."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Final

__all__ = ["EXAMPLES", "Tally"]

EXAMPLES: Final = 3
"""Wrong replies and failures that are kept in words, of each kind: enough to see what it is."""

_EXACT: Final = 2048
"""Microseconds below which a latency is kept as it is; above, its first eleven bits: three decimal digits, as an HDR
histogram has, in a dictionary of a few thousand keys at most."""


@dataclass(slots=True)
class Tally:
    """Counts. The clients of a process add to it directly.

    Attributes:
        sent: Messages.
        answered: Of these; in a chat: deliveries.
        bytes_received: Of files; of messages all have one size.
        wrong: Replies that are not what was expected.
        lost: Datagrams, or deliveries in a chat, that did not come in time.
        late: Datagrams that came after they had been counted as lost.
        duplicated: What came twice.
        reordered: What came after something that was sent later (RFC 4737).
        unanswered: Messages whose connection ended first, or that the end of the run did not wait for.
        unsent: Messages that were due and could not be sent before the end.
        latencies: How often each latency was seen, by microseconds.
        lateness: How often the generator itself was late by so many microseconds with what was due.
        failures: Connections that failed, by kind.
        examples: What the first failures and wrong replies looked like, by kind.
        digests: Of the files that came.
    """

    sent: int = 0
    answered: int = 0
    bytes_received: int = 0
    wrong: int = 0
    lost: int = 0
    late: int = 0
    duplicated: int = 0
    reordered: int = 0
    unanswered: int = 0
    unsent: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    lateness: dict[int, int] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)

    def record(self, nanoseconds: int, count: int) -> None:
        """``count`` messages had this latency."""
        value = nanoseconds // 1000
        if value >= _EXACT:
            shift = value.bit_length() - 11
            value = value >> shift << shift
        latencies = self.latencies
        latencies[value] = latencies.get(value, 0) + count

    def record_lateness(self, nanoseconds: int) -> None:
        """The generator was late by so much."""
        value = nanoseconds // 1000
        self.lateness[value] = self.lateness.get(value, 0) + 1

    def fail(self, kind: str, example: str = "", count: int = 1) -> None:
        """A connection failed, or could not be made."""
        self.failures[kind] += count
        self.show(kind, example)

    def show(self, kind: str, example: str) -> None:
        """Keep an example, unless there are enough of this kind."""
        kept = self.examples.setdefault(kind, [])
        if example and example not in kept and len(kept) < EXAMPLES:
            kept.append(example)

    def take(self) -> Tally:
        """Everything up to now, to be handed over; this one starts from nothing."""
        taken = Tally(**{item.name: getattr(self, item.name) for item in fields(self)})
        fresh = Tally()
        for item in fields(self):
            setattr(self, item.name, getattr(fresh, item.name))
        return taken

    def add(self, other: Tally) -> None:
        """Count what ``other`` has counted as well."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, int):
                setattr(self, item.name, mine + theirs)
            elif isinstance(mine, set):
                mine |= theirs
            elif item.name == "examples":
                for kind, examples in theirs.items():
                    for example in examples:
                        self.show(kind, example)
            else:
                for value, count in theirs.items():
                    mine[value] = mine.get(value, 0) + count
