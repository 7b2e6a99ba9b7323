"""Echo: what comes goes back, chunk by chunk."""

from typing import cast

import pytest

from aionet import Connection
from aionet.services import Echo
from aionet.styles import StreamStyle, stream_style


class FakeConnection:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, message: bytes) -> None:
        self.written.append(message)


def feed(handler: Echo, *chunks: bytes) -> list[bytes]:
    conn = FakeConnection()
    for chunk in chunks:
        handler.on_message(cast(Connection[bytes], conn), chunk)
    return conn.written


def test_it_is_a_callback_handler_of_raw_bytes() -> None:
    assert stream_style(Echo()) is StreamStyle.CALLBACK
    assert Echo().codec is None


@pytest.mark.parametrize("chunk", [b"x", b"two\nlines\n", bytes(range(256)) * 300])
def test_bytes_go_back_as_they_came(chunk: bytes) -> None:
    (answer,) = feed(Echo(), chunk)
    assert answer is chunk  # not even copied


def test_prefix_before_each_chunk() -> None:
    assert feed(Echo(b"Echo: "), b"hello", b" world") == [b"Echo: hello", b"Echo:  world"]
