"""Frames of WebSocket: both sides take any bytes in any chunks as the ``websockets`` library does."""

from __future__ import annotations

from typing import Final

from websockets.protocol import Side

from ..codecs.frames import MAX_SIZE, assert_same, by_codec, by_library, client, close, frame, server, text

MOST: Final = 2000
"""Bytes of an input that are looked at: the library is given one after the other."""

_FRAMES: Final = (
    text("hello") + frame(2, b"\xff" * 130),
    text("h\u00e9", fin=False) + frame(9, b"ping") + frame(0, b"more", fin=False) + frame(0, b"!"),
    text(b"\xce", fin=False) + frame(0, b"\xba"),
    frame(10) + close(1001, b"bye") + text("late"),
    frame(2, length=1 << 63),
    frame(2, b"x" * MAX_SIZE) + frame(2, length=MAX_SIZE + 1),
    frame(1, b"a", rsv=4) + frame(3) + frame(9, b"x", fin=False),
)
SEEDS: Final = tuple(bytes([step]) + stream for stream in _FRAMES for step in (0, 1, 135))


def check(data: bytes) -> None:
    """The first byte says which side, and how long the chunks are."""
    if not data:
        return
    as_client, step = data[0] > 127, data[0] & 127
    stream = data[1:MOST]
    chunks = [stream[at : at + step] for at in range(0, len(stream), step)] if step else [stream]
    side, codec = (Side.CLIENT, client()) if as_client else (Side.SERVER, server())
    assert_same(by_codec(codec, chunks, masked=as_client), by_library(stream, side, MAX_SIZE))
