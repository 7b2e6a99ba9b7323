"""The hashes of a file's chunks, and which chunks of a local file they prove. Hashing blocks: called in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..hashing import Algorithm, Digest
from .hashed import READ

__all__ = ["Manifest", "Range", "join_ranges"]

Range = tuple[int, int]
"""Bytes of a file: from where, up to where."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file is, by its hashes.

    Attributes:
        size: Bytes of the file.
        chunk: Bytes of each of its chunks but the last.
        chunks: The digest of each, in hexadecimal, by the algorithm of ``digest``.
        digest: That of the whole file.
    """

    size: int
    chunk: int
    chunks: tuple[str, ...]
    digest: Digest

    def range(self, number: int) -> Range:
        """The bytes of one chunk."""
        return number * self.chunk, min((number + 1) * self.chunk, self.size)

    def describe(self, number: int) -> str:
        """For people: which chunk, and where it is."""
        start, end = self.range(number)
        return f"chunk {number} (bytes {start} to {end - 1})"

    def unproven(
        self,
        read: Callable[[int, int], bytes],
        next_data: Callable[[int], int] | None = None,
        told: Callable[[int], object] | None = None,
    ) -> list[int]:
        """The numbers of the chunks that a local file does not have.

        Args:
            read: ``read(offset, size)``: bytes of it; fewer at its end.
            next_data: ``next_data(offset)``: where the next bytes are that are no hole. A chunk that is all hole was
                never received, unless it is meant to be zeros: it is not read.
            told: Called with the number of bytes proven, for each chunk that is.
        """
        algorithm = self.digest.algorithm
        missing = []
        zeros: dict[int, str] = {}
        for number, expected in enumerate(self.chunks):
            start, end = self.range(number)
            if next_data is not None and next_data(start) >= end:
                size = end - start
                if size not in zeros:
                    zeros[size] = algorithm.hexdigest(bytes(size))
                proven = zeros[size] == expected
            else:
                proven = _digest(algorithm, read, start, end) == expected
            if not proven:
                missing.append(number)
            elif told is not None:
                told(end - start)
        return missing

    def ranges(self, numbers: Iterable[int]) -> list[Range]:
        """The bytes of these chunks, neighbours together."""
        return join_ranges(self.range(number) for number in sorted(numbers))


def _digest(algorithm: Algorithm, read: Callable[[int, int], bytes], start: int, end: int) -> str:
    found = algorithm.new()
    while start < end:
        block = read(start, min(READ, end - start))
        if not block:
            break
        found.update(block)
        start += len(block)
    return found.hexdigest()


def join_ranges(ranges: Iterable[Range]) -> list[Range]:
    """The same bytes in as few ranges as possible; those given are in order."""
    joined: list[Range] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        elif start < end:
            joined.append((start, end))
    return joined
