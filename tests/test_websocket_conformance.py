"""Echo over WebSocket passes the cases of the Autobahn suite; and its clients of today get along with it."""

from __future__ import annotations

import struct
import zlib

import pytest

from aionet import Connection, StreamHandler, WebSocketCodec
from aionet.limits import MIB
from aionet.testing import HandlerHarness

from .codecs.frames import close, frame, read_frames, text
from .websocket_cases import Case, cases


class Echo(StreamHandler[bytes]):
    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.write(message)


def answers(
    codec: WebSocketCodec[bytes], sent: bytes, step: int, inflate: bool = False
) -> tuple[list[tuple[int, bytes]], bool]:
    """The frames that come back, and whether the connection is at its end then."""
    with HandlerHarness(Echo(), codec=lambda: codec) as peer:
        chunks = [sent[at : at + step] for at in range(0, len(sent), step)] if step else [sent]
        peer.receive(*chunks)
        back = peer.sent
        closing = peer.conn.closing
        peer.eof()
        assert peer.closed is not None or not closing
        return read_frames(back, inflate=inflate), closing


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.number)
def test_case(case: Case) -> None:
    frames, closing = answers(WebSocketCodec(max_size=4 * MIB).opened(), case.sent, case.step)
    closed = [payload for opcode, payload in frames if opcode == 8]
    others = [(opcode, payload) for opcode, payload in frames if opcode != 8]
    assert sorted(others) == sorted(case.echoed)
    assert [one for one in others if one[0] != 10] == [one for one in case.echoed if one[0] != 10]
    if case.codes is None:
        assert not closed
        return
    assert closing
    assert len(closed) == 1, "one close frame"
    assert frames[-1][0] == 8, "nothing behind it"
    code = struct.unpack("!H", closed[0][:2])[0] if closed[0] else 1005
    assert code in case.codes


def deflated(payload: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return (machine.compress(payload) + machine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_cases_of_compression_12_and_13() -> None:
    """Sizes of 12.1; fragments of a compressed message; messages that are not compressed in between."""
    for size in (0, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072):
        payload = (b"Lorem ipsum " * (size // 12 + 1))[:size]
        wire = deflated(payload)
        half = len(wire) // 2
        sent = text(wire, rsv=4) + text(wire[:half], rsv=4, fin=False) + frame(0, wire[half:]) + text(payload)
        codec = compressing()
        frames, _ = answers(codec, sent + close(), 1000, inflate=True)
        assert frames == [(1, payload)] * 3 + [(8, b"\x03\xe8")]


def compressing() -> WebSocketCodec[bytes]:
    """A codec that has agreed to compress."""
    codec = WebSocketCodec(compress=True, max_size=MIB)
    codec.feed(
        b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    assert b"permessage-deflate" in codec.data_to_send()
    return codec
