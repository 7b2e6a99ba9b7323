"""Port lists: what they mean, that they are written as they are read, and errors that name the item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.client.ports import format_ports, parse_ports
from aionet.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("22", (22,)),
        ("80,22,80", (22, 80)),
        ("1-3, 8080", (1, 2, 3, 8080)),
        ("65534-", (65534, 65535)),
        ("5-5", (5,)),
        ("0080", (80,)),
    ],
)
def test_what_is_read(text: str, ports: tuple[int, ...]) -> None:
    assert parse_ports(text) == ports


@given(st.sets(st.integers(1, 65535), min_size=1))
def test_what_is_written_is_read_again(ports: set[int]) -> None:
    assert set(parse_ports(format_ports(ports))) == ports


def test_all_and_none() -> None:
    assert format_ports(parse_ports("1-65535")) == "1-65535"
    assert format_ports([]) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an item is empty"),
        ("80,,443", "an item is empty"),
        ("80x", "'80x' is not a port number"),
        ("1-10x", "'10x' in '1-10x' is not a port number"),
        ("-80", "'' in '-80' is not a port number"),
        ("1-2-3", "'2-3' in '1-2-3' is not a port number"),
        ("٣", "is not a port number"),
        ("0", "port 0 is not between 1 and 65535"),
        ("1-65536", "port 65536 is not between 1 and 65535"),
        ("9" * 5000, "is not between 1 and 65535"),
        ("1024-1", "'1024-1' runs backwards"),
    ],
)
def test_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ports(text)
    assert said in str(caught.value)


def test_the_hint_turns_a_range_round() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ports("1024-1")
    assert caught.value.hint == "is 1-1024 meant?"
