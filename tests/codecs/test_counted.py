"""A codec built on the common half alone shows what that half does: one byte of length, then the message."""

from __future__ import annotations

import pytest

from aionet.codecs._counted import CountedCodec
from aionet.errors import IncompleteFrame
from aionet.testing import verify_codec


class OneByte(CountedCodec):
    def feed(self, data: bytes) -> list[bytes]:
        if self._pending or self.fault is not None:
            return self._resume(data)
        messages = []
        while data:
            frame = 1 + data[0]
            if frame > len(data):
                self._hold(data, 1, frame)
                break
            messages.append(data[1:frame])
            data = data[frame:]
        return messages

    def encode(self, message: bytes) -> bytes:
        return bytes((len(message),)) + message


def test_contract() -> None:
    verify_codec(OneByte(255), [(b"\0", [b""]), (b"\1a", [b"a"]), (b"\3abc\1d", [b"abc", b"d"])])


@pytest.mark.parametrize("chunks", [[b"\5a", b"b", b"cd", b"e\1f\2g"], [b"\5", b"", b"abcde\1f\2g"]])
def test_a_message_over_several_chunks(chunks: list[bytes]) -> None:
    codec = OneByte(255)
    assert [message for chunk in chunks for message in codec.feed(chunk)] == [b"abcde", b"f"]
    assert codec.buffered == 2
    assert codec.feed_eof() == []
    assert isinstance(codec.fault, IncompleteFrame)
    assert codec.buffered == 0
    assert codec.feed(b"\0") == []
