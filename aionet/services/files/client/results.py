"""What came of a transfer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aionet.errors import AionetError

from ..hashing import Digest

__all__ = ["Failed", "Item", "OnFile", "Results", "Transferred", "TreeResult"]


@dataclass(frozen=True, slots=True)
class Item:
    """One file that is to be transferred.

    Attributes:
        name: The server's name for it.
        path: Where it is, or is to be, on this side.
        relative: The same, below the directory that all of it is in.
        size: Bytes, as far as is known yet.
        mtime_ns: When it was last changed, nanoseconds since the epoch; 0 if unknown.
    """

    name: str
    path: str
    relative: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """A file that is on both sides now, and the same.

    Attributes:
        name: The server's name for it.
        path: Where it is on this side.
        size: Bytes.
        digest: Of its content, in hexadecimal, as both sides have reckoned it; ``""`` of one that was left alone.
        hash: By which algorithm, ``"blake3"`` or ``"sha256"``; ``""`` where there is no digest.
        mtime_ns: When its content was last changed, nanoseconds since the epoch; 0 if the server did not say.
        unchanged: It was there already, with this size and time, and was not transferred.
    """

    name: str
    path: Path
    size: int
    digest: str
    hash: str
    mtime_ns: int
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A file or directory that could not be transferred.

    Attributes:
        name: The server's name for it, or what it was to be.
        path: Where it is on this side, or was to be.
        error: Why: a :class:`~aionet.services.files.TransferError`, mostly.
    """

    name: str
    path: Path
    error: AionetError


OnFile = Callable[[Transferred | Failed], object]
"""Called on the event loop for each file as soon as it is done with."""


@dataclass(frozen=True, slots=True)
class TreeResult:
    """What came of a whole tree.

    Attributes:
        files: What is there now, as it was done.
        failures: What is not. Empty: the trees are equal.
        left_out: How many there were that are no files: links, devices, FIFOs, names that cannot be transferred.
    """

    files: tuple[Transferred, ...]
    failures: tuple[Failed, ...]
    left_out: int = 0

    @property
    def size(self) -> int:
        """Bytes of all files that are there."""
        return sum(file.size for file in self.files)


@dataclass(slots=True)
class Results:
    """Gathers them."""

    on_file: OnFile | None = None
    files: list[Transferred] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    left_out: int = 0

    def add(self, file: Transferred) -> None:
        """It is there."""
        self.files.append(file)
        if self.on_file is not None:
            self.on_file(file)

    def done(self, item: Item, digest: Digest, *, size: int | None = None, mtime_ns: int | None = None) -> None:
        """It was transferred; ``size`` and ``mtime_ns`` where they are others than was thought."""
        size = item.size if size is None else size
        mtime_ns = item.mtime_ns if mtime_ns is None else mtime_ns
        self.add(Transferred(item.name, Path(item.path), size, digest.value, digest.algorithm.name, mtime_ns))

    def unchanged(self, item: Item) -> None:
        """It was there."""
        self.add(Transferred(item.name, Path(item.path), item.size, "", "", item.mtime_ns, unchanged=True))

    def failed(self, name: str, path: str, error: AionetError) -> None:
        """It is not there."""
        failure = Failed(name, Path(path), error)
        self.failures.append(failure)
        if self.on_file is not None:
            self.on_file(failure)

    def result(self) -> TreeResult:
        """All of it."""
        return TreeResult(tuple(self.files), tuple(self.failures), self.left_out)
