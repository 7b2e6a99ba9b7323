"""Bars on standard error: each file under way, and all together. For terminals only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..services.files.client import FileProgress, OnProgress, Progress
from .options import escape_controls

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["progress_bars"]

_INTERVAL: Final = 0.1
"""Seconds between two looks: what is shown changes no faster, and chunks come thousands of times a second."""

_MOST: Final = 8
"""Files that have a bar of their own."""


@contextmanager
def progress_bars(*, shown: bool) -> Iterator[OnProgress | None]:
    """Bytes, speed and time left; or nothing, where nobody looks."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as display:
        bars = _Bars(display)
        yield bars.look
        bars.draw()


class _Bars:
    """What is shown, brought up to what is."""

    def __init__(self, display: RichProgress) -> None:
        self._display = display
        self._files: dict[int, tuple[FileProgress, TaskID, int]] = {}  # by identity; and what was skipped of it
        self._total: TaskID | None = None
        self._progress: Progress | None = None
        self._next = 0.0

    def look(self, progress: Progress) -> None:
        """Something has changed."""
        self._progress = progress
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self.draw()

    def draw(self) -> None:
        """Show how it is now."""
        progress = self._progress
        if progress is None:
            return
        under_way = {id(file): file for file in progress.under_way[:_MOST]}
        for key in self._files.keys() - under_way.keys():
            self._display.remove_task(self._files.pop(key)[1])
        for key, file in under_way.items():
            self._draw_file(key, file)
        if progress.files > 1:
            description = f"{progress.files_done} of {progress.files} files"
            # Without what was there already: it would be taken for speed.
            done, size = progress.done - progress.skipped, progress.size - progress.skipped
            if self._total is None:
                self._total = self._display.add_task(description, total=size, completed=done)
            self._display.update(self._total, description=description, total=size, completed=done)

    def _draw_file(self, key: int, file: FileProgress) -> None:
        known = self._files.get(key)
        if known is not None and known[2] != file.skipped:  # begin anew, so that the jump is not taken for speed
            self._display.remove_task(known[1])
            known = None
        if known is None:
            task = self._display.add_task(escape_controls(file.name), total=file.size, completed=file.done)
            self._files[key] = known = (file, task, file.skipped)
        self._display.update(known[1], completed=file.done)
