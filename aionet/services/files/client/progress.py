"""How far a transfer is: one object that is brought up to date as it goes, and looked at by whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["FileProgress", "OnProgress", "Progress"]


@dataclass(slots=True)
class FileProgress:
    """One file under way.

    Attributes:
        name: The server's name for it.
        size: Bytes.
        done: Bytes that are there, those of an earlier transfer among them.
        skipped: Of these, those that were there already.
    """

    name: str
    size: int
    done: int = 0
    skipped: int = 0


OnProgress = Callable[["Progress"], object]
"""Called on the event loop, with the same object each time, after each change: so it must be quick."""


@dataclass(slots=True)
class Progress:
    """Everything that one call transfers.

    Attributes:
        files: How many files are to be there in the end, as far as that is known.
        size: Their bytes.
        files_done: How many are.
        done: Bytes that are there.
        skipped: Of these, bytes that were there already: of files that are unchanged, of parts that were proven.
        under_way: What is being transferred just now.
    """

    on_change: OnProgress | None = None
    files: int = 0
    size: int = 0
    files_done: int = 0
    done: int = 0
    skipped: int = 0
    under_way: list[FileProgress] = field(default_factory=list)

    def expect(self, files: int, size: int) -> None:
        """So many more are to be transferred."""
        self.files += files
        self.size += size
        self._tell()

    def begin(self, name: str, size: int) -> FileProgress:
        """A file is under way; one that nobody expected is counted from now on."""
        if self.files_done + len(self.under_way) >= self.files:
            self.files += 1
            self.size += size
        file = FileProgress(name, size)
        self.under_way.append(file)
        self._tell()
        return file

    def advance(self, file: FileProgress, count: int, *, skipped: bool = False) -> None:
        """So many bytes more of it are there; fewer, if it is negative."""
        file.done += count
        self.done += count
        if skipped:
            file.skipped += count
            self.skipped += count
        self._tell()

    def restart(self, file: FileProgress) -> None:
        """What was counted of it is no more; it is still under way."""
        self.done -= file.done
        self.skipped -= file.skipped
        file.done = file.skipped = 0
        self._tell()

    def leave(self, file: FileProgress, *, whole: bool) -> None:
        """It is there; or it is not, and what was counted of it is no more."""
        self.under_way.remove(file)
        if whole:
            self.files_done += 1
            self._tell()
        else:
            self.restart(file)

    def finish(self, files: int, size: int, *, skipped: bool = False) -> None:
        """Files are there that were never under way for themselves: small ones, or unchanged ones."""
        self.files_done += files
        self.done += size
        if skipped:
            self.skipped += size
        self._tell()

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change(self)
