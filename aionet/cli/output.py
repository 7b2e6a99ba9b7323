"""Standard output for bytes of a peer: as they are to a file or pipe, harmless on a terminal."""

from __future__ import annotations

import codecs
import sys

from .options import escape_controls

__all__ = ["Output", "TerminalText"]


class TerminalText:
    """Bytes as they come, to text that a terminal shows and does not obey.

    UTF-8 is shown as such, line ends and tabs do what they do; everything else that a terminal would act upon is
    written out (``\\x1b``). Characters and line ends may be split anywhere.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._return = False

    def __call__(self, data: bytes, *, final: bool = False) -> str:
        text = self._decoder.decode(data, final)
        if self._return:
            text = "\r" + text
        self._return = text.endswith("\r") and not final  # half of a line end, maybe
        if self._return:
            text = text[:-1]
        return "".join(
            character if character in "\n\t" else escape_controls(character) for character in text.replace("\r\n", "\n")
        )


class Output:
    """Writes to standard output. A pipe nobody reads holds up the loop: there is nothing else to be done."""

    def __init__(self) -> None:
        self._last = b"\n"
        self._terminal = TerminalText() if sys.stdout.isatty() else None

    def __call__(self, data: bytes) -> None:
        if data:
            self._write(data if self._terminal is None else _encode(self._terminal(data)))

    def finish(self) -> None:
        """On a terminal, end the last line, so that the prompt does not follow it."""
        if self._terminal is not None:
            self._write(_encode(self._terminal(b"", final=True)))
            if self._last != b"\n":
                self._write(b"\n")

    def _write(self, data: bytes) -> None:
        if data:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            self._last = data[-1:]


def _encode(text: str) -> bytes:
    return text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
