"""What several commands share."""

from __future__ import annotations

import pytest

from aionet.cli import main
from aionet.cli.options import encode_text, escape_controls


@pytest.mark.parametrize(("text", "data"), [("caf\u00e9", b"caf\xc3\xa9"), ("\udcff\x00", b"\xff\x00"), ("", b"")])
def test_an_argument_is_sent_as_the_bytes_it_was(text: str, data: bytes) -> None:
    assert encode_text(text) == data


@pytest.mark.parametrize(
    ("text", "shown"),
    [("caf\u00e9 \u4e2d", "caf\u00e9 \u4e2d"), ("a\x1b[31m\n\u202eb", "a\\x1b[31m\\n\\u202eb"), ("\udcff", "\\udcff")],
)
def test_controls_are_written_out(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


@pytest.mark.parametrize("value", ["nan", "0", "-1", "soon"])
def test_a_timeout_is_a_positive_number(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "tcp://127.0.0.1:1", "hi", "--timeout", value]) == 2
    assert "Invalid value for '--timeout'" in capsys.readouterr().err
