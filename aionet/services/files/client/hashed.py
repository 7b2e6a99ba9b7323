"""An open file whose hash is reckoned from its start on, in steps. Blocks: used in threads, one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..errors import Changed, Code, from_os_error, shown
from ..hashing import SHA256, Algorithm, Digest

__all__ = ["READ", "HashedFile"]

READ: Final = 1024 * 1024
"""Bytes read at once."""


class HashedFile:
    """A descriptor, and the digest of as much of the file as was taken into it; by SHA-256, until another is wanted.

    Args:
        label: Its path, for error messages.

    Attributes:
        hashed: Bytes from the start that are in :meth:`digest`.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.hashed = 0
        self._algorithm = SHA256
        self._hash = SHA256.new()
        self._fd = -1

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            error = from_os_error(exc, self.label)
            if error.code == Code.NO_SPACE:
                error.hint = "make room, and try again: what came is kept"
            raise error from exc

    def read(self, offset: int, size: int) -> bytes:
        """What is there; fewer bytes only at the end of the file.

        Raises:
            TransferError: IO_ERROR.
        """
        with self._errors():
            return os.pread(self._fd, size, offset)

    def hash_with(self, algorithm: Algorithm) -> None:
        """By which algorithm it is hashed from now on: what was hashed by another is to be hashed again."""
        if algorithm is not self._algorithm:
            self._algorithm = algorithm
            self.rehash()

    def take_in(self, offset: int, data: bytes) -> None:
        """These bytes are there. They go into the hash if they continue it."""
        if offset == self.hashed:
            self._hash.update(data)
            self.hashed += len(data)

    def hash_up_to(self, end: int) -> None:
        """Take what is there up to ``end`` into the hash, as far as it is not.

        Raises:
            TransferError: IO_ERROR; or CHANGED, if the file ends before.
        """
        while self.hashed < end:
            at = self.hashed
            block = self.read(at, min(READ, end - at))
            if not block:
                raise Changed(f"{shown(self.label)} became smaller meanwhile", hint="try again")
            self.take_in(at, block)  # does nothing where read() has done it already

    def rehash(self) -> None:
        """Bytes that were hashed have changed: begin again."""
        self._hash = self._algorithm.new()
        self.hashed = 0

    def digest(self) -> Digest:
        """Of the first :attr:`hashed` bytes."""
        return Digest(self._algorithm, self._hash.hexdigest())

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    def close(self) -> None:
        """Let go. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
