from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.cli.hexdump import Dump, parse_hex


def test_lines_of_sixteen_behind_a_mark() -> None:
    dump = Dump("<")
    assert dump(b"hello\x1b world!!!!x") == (
        "< 00000000  68 65 6c 6c 6f 1b 20 77  6f 72 6c 64 21 21 21 21  |hello. world!!!!|\n"
        "< 00000010  78                                                |x|\n"
    )
    assert dump(b"y").startswith("< 00000011  79 ")
    assert dump(b"") == ""


@given(st.binary(max_size=100))
def test_a_dump_can_be_typed_in_again(data: bytes) -> None:
    rows = re.findall(r"^> [0-9a-f]{8}  ([0-9a-f ]{48})  \|", Dump(">")(data), re.MULTILINE)
    assert parse_hex("".join(rows).encode()) == data


@pytest.mark.parametrize("text", [b"68 65 6C", b"68656c", b"68:65:6c", b" 68\t65 6c "])
def test_ways_to_type(text: bytes) -> None:
    assert parse_hex(text) == b"hel"


@pytest.mark.parametrize("text", [b"6", b"zz", b"0x68", b"\xff", b"6 8"])
def test_what_is_no_hex(text: bytes) -> None:
    with pytest.raises(ValueError, match="digits in pairs"):
        parse_hex(text)
