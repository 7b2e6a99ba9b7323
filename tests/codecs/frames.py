"""WebSocket frames as peers send them, right and wrong; and how the library alone would take them."""

from __future__ import annotations

import codecs
import struct
from dataclasses import dataclass, field

from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from aionet import Endpoint, WebSocketCodec
from aionet.codec import Codec
from aionet.codecs.websocket import Text
from aionet.errors import FrameTooLarge, MalformedFrame
from aionet.events import CloseReason

KEY = b"\x01\x02\x03\x04"
MAX_SIZE = 300
"""Bytes of a message where nothing else is said."""


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length: int | None = None,
    wide: int = 0,
) -> bytes:
    """A frame; ``length``: what its header claims instead of the truth; ``wide``: bytes its length takes at least."""
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126 and not wide:
        head += bytes([mask << 7 | size])
    elif size < 65536 and wide <= 2:
        head += bytes([mask << 7 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask << 7 | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    return head + KEY + bytes(byte ^ KEY[index % 4] for index, byte in enumerate(payload))


def text(payload: str | bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    return frame(1, payload.encode() if isinstance(payload, str) else payload, fin=fin, rsv=rsv)


def close(code: int | None = 1000, words: bytes = b"") -> bytes:
    return frame(8, b"" if code is None else struct.pack("!H", code) + words)


def read_frames(data: bytes, *, masked: bool = False, inflate: bool = False) -> list[tuple[int, bytes]]:
    """What a peer reads of whole frames: opcode and payload."""
    reader = Protocol(Side.SERVER if masked else Side.CLIENT, max_size=None)
    if inflate:
        reader.extensions = [PerMessageDeflate(True, True, 15, 15)]
    reader.receive_data(data)
    assert reader.parser_exc is None
    return [(int(event.opcode), bytes(event.data)) for event in reader.events_received() if isinstance(event, Frame)]


@dataclass
class Outcome:
    """What came of some bytes."""

    messages: list[tuple[bool, bytes]] = field(default_factory=list)  # whether it is text
    said: list[tuple[int, bytes]] = field(default_factory=list)  # frames sent: pongs, and the close frame
    fault: type[Exception] | None = None
    ended: bool = False


def by_library(data: bytes, side: Side, max_size: int) -> Outcome:
    """Frame after frame by the library, a byte at a time; messages put together as RFC 6455 says."""
    library = Protocol(side, state=State.OPEN, max_size=max_size)
    outcome = Outcome()
    decoder: codecs.IncrementalDecoder | None = None
    kind, parts = Opcode.CONT, b""
    for index in range(len(data)):
        library.receive_data(data[index : index + 1])
        for event in library.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.CLOSE:
                outcome.ended = True
            if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                kind, parts = event.opcode, b""
                decoder = codecs.getincrementaldecoder("utf-8")()
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                parts += event.data
                if kind is Opcode.TEXT and decoder is not None:
                    try:
                        decoder.decode(event.data, event.fin)
                    except UnicodeDecodeError as exc:
                        library.fail(CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}")
                        outcome.fault = MalformedFrame
                        break
                if event.fin:
                    outcome.messages.append((kind is Opcode.TEXT, parts))
    if library.parser_exc is not None:
        outcome.fault = FrameTooLarge if isinstance(library.parser_exc, PayloadTooBig) else MalformedFrame
    outcome.said = read_frames(b"".join(library.data_to_send()), masked=side is Side.CLIENT)
    return outcome


def feed(codec: Codec[bytes], chunks: list[bytes]) -> list[bytes]:
    return [message for chunk in chunks for message in codec.feed(chunk)]


def server(max_size: int = MAX_SIZE) -> WebSocketCodec[bytes]:
    return WebSocketCodec(max_size=max_size).opened()


def client(max_size: int = MAX_SIZE) -> WebSocketCodec[bytes]:
    return WebSocketCodec(max_size=max_size).towards(Endpoint.parse("ws://example.com/")).opened()


def by_codec(codec: WebSocketCodec[bytes], chunks: list[bytes], masked: bool) -> Outcome:
    messages = [(isinstance(message, Text), bytes(message)) for message in feed(codec, chunks)]
    fault = codec.fault
    said = codec.data_to_send()
    if codec.ended or fault is not None:
        said += codec.farewell(CloseReason.PEER_CLOSED)
    kind = None if fault is None else type(fault)
    return Outcome(messages, read_frames(said, masked=masked), kind, codec.ended)


def assert_same(got: Outcome, expected: Outcome) -> None:
    """All but the words of a close frame for text that is no UTF-8, which say a little more here."""
    got.said, expected.said = (
        [(op, data[:2] if op == 8 else data) for op, data in said] for said in (got.said, expected.said)
    )
    assert got == expected
