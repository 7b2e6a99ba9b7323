"""What the server sent, onto the terminal: line by line, and nothing of it obeyed."""

from __future__ import annotations

from typing import Final, TextIO

from .text import decode, visible
from .wire import PROMPT

__all__ = ["Screen"]

MAX_UNFINISHED: Final = 64 * 1024
"""Bytes of a line without an end that are held; then it is shown, as far as it goes."""


class Screen:
    """Prints complete lines at once, and an unfinished one (a prompt) when asked to.

    Args:
        output: Text file; what its encoding lacks is written out.
        skip: Bytes not shown if the stream starts with them.

    Attributes:
        closed: Whether nobody reads the output any more (``| head``); nothing is printed from then on.
    """

    def __init__(self, output: TextIO, skip: bytes = b"") -> None:
        self._output = output
        self._skip = skip
        self._rest = b""
        self._prompting = False
        self.closed = False

    @property
    def unfinished(self) -> bool:
        """Whether part of a line has come and is not shown yet."""
        return bool(self._rest)

    def feed(self, data: bytes) -> None:
        """Print the lines that these bytes complete, and the prompt."""
        self._rest += data
        if self._skip and self._rest.startswith(self._skip):
            self._rest = self._rest[len(self._skip) :]
            self._skip = b""
        *lines, self._rest = self._rest.split(b"\n")
        self._print("".join(f"{_shown(line)}\n" for line in lines))
        if lines:
            self._prompting = False
            self._skip = b""
        if (self._rest == PROMPT and not self._skip) or len(self._rest) > MAX_UNFINISHED:
            self.show_unfinished()

    def show_unfinished(self) -> None:
        """Print what has come of a line."""
        text, self._rest = _shown(self._rest), b""
        self._prompting = self._prompting or bool(text)
        self._print(text)

    def end_prompt(self) -> None:
        """End a line that is shown unfinished. For when its answer was not typed (and echoed) on this terminal."""
        if self._prompting:
            self._prompting = False
            self._print("\n")

    def answered(self) -> None:
        """The answer to a prompt was typed, and the terminal has gone to the next line by itself."""
        self._prompting = False

    def _print(self, text: str) -> None:
        if not text or self.closed:
            return
        encoding = getattr(self._output, "encoding", None) or "utf-8"
        try:
            self._output.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._output.flush()
        except BrokenPipeError:
            self.closed = True


def _shown(line: bytes) -> str:
    return visible(decode(line.removesuffix(b"\r")))
