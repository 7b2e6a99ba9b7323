from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.cli.output import Output, TerminalText


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a\tb\r\nc\n", "a\tb\nc\n"),
        (b"\x1b[31mred\x07\x00", "\\x1b[31mred\\x07\\x00"),
        ("\u00e4\u2028\u009b2J".encode(), "\u00e4\\u2028\\x9b2J"),
        (b"over\rwritten\r", "over\\rwritten\\r"),
        (b"\xff\xc3", "\\xff\\xc3"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(data: bytes, shown: str) -> None:
    whole, pieces = TerminalText(), TerminalText()
    assert whole(data) + whole(b"", final=True) == shown
    assert "".join(pieces(data[i : i + 1]) for i in range(len(data))) + pieces(b"", final=True) == shown


@given(st.lists(st.binary()))
def test_whatever_comes_however_it_is_split(chunks: list[bytes]) -> None:
    whole, split = TerminalText(), TerminalText()
    shown = "".join(map(split, chunks)) + split(b"", final=True)
    assert shown == whole(b"".join(chunks)) + whole(b"", final=True)
    assert all(character.isprintable() or character in "\n\t" for character in shown)


def test_to_a_pipe_it_goes_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Output()
    output(b"\x1b[2J\xff")
    output(b"")
    output.finish()
    assert capfdbinary.readouterr().out == b"\x1b[2J\xff"


def test_to_a_terminal_harmless_and_with_a_last_line_end(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output = Output()
    output(b"\x1b[2J")
    output.finish()
    assert capfdbinary.readouterr().out == b"\\x1b[2J\n"
