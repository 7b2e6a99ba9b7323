"""A codec of your own: records of tag, length, value (TLV), as sensors and card readers speak them.

Run it, from the project's directory, by any of::

    python -m examples.custom_codec
    python -m aionet serve examples.custom_codec:router

Try it: two readings, 21.0 and 22.5 degrees, then the question for a summary::

    printf '\\2\\0\\4\\0\\0\\122\\10\\2\\0\\4\\0\\0\\127\\344\\3\\0\\0' | nc -N 127.0.0.1 7020 | tail -c +4

The answer's first three bytes are its tag and length; then: ``count=2 min=21.000 max=22.500 mean=21.750``.

``tests/examples/test_custom_codec.py`` verifies the codec with :func:`aionet.testing.verify_codec`; do so with yours.
"""

from __future__ import annotations

import struct
import sys
from typing import Final, NamedTuple

from aionet import Codec, Connection, Router, StreamHandler, run
from aionet.errors import EncodeError, FrameTooLarge, MalformedFrame, ProtocolError

READING: Final = 2
"""Sensor to server: a temperature, signed 32-bit, thousandths of a degree."""
SUMMARY: Final = 3
"""Sensor to server: empty, a question. Server to sensor: text."""
FAILURE: Final = 255
"""Server to sensor: text, what was wrong with a record."""

_HEADER: Final = struct.Struct(">BH")  # tag, length of the value
_TEMPERATURE: Final = struct.Struct(">i")


class Record(NamedTuple):
    """One record. Messages can be of any type; a codec makes them of bytes and back."""

    tag: int
    value: bytes = b""


class TLVCodec(Codec[Record]):
    """A tag of one byte (never 0), a length of two bytes, big-endian, and as many bytes of value.

    Args:
        max_size: Longest value, bytes.
    """

    def __init__(self, max_size: int = 1024) -> None:
        self.max_size = max_size
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Record]:
        """A whole chunk in, all complete records out. What is wrong goes into ``fault``; it is not raised."""
        if self.fault is not None:
            return []
        buffer = self._buffer
        buffer += data
        records: list[Record] = []
        position = 0
        while len(buffer) - position >= _HEADER.size:
            tag, size = _HEADER.unpack_from(buffer, position)
            self.fault = self._fault_of(tag, size)  # before any of the value is waited for
            if self.fault is not None:
                buffer.clear()
                return records
            end = position + _HEADER.size + size
            if end > len(buffer):
                break
            records.append(Record(tag, bytes(buffer[position + _HEADER.size : end])))
            position = end
        del buffer[:position]  # once a chunk: what is left is moved once
        return records

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished record: for ``Timeouts.message``, and the default ``feed_eof`` faults on them."""
        return len(self._buffer)

    def encode(self, message: Record) -> bytes:
        """The record's bytes. Raises :class:`EncodeError` for what the receiver would have to refuse."""
        tag, value = message
        if not 0 < tag < 256:
            raise EncodeError(f"a tag is 1 to 255, not {tag}")
        if len(value) > self.max_size:
            raise EncodeError(f"a value has at most {self.max_size} bytes, not {len(value)}")
        return _HEADER.pack(tag, len(value)) + value

    def _fault_of(self, tag: int, size: int) -> ProtocolError | None:
        if tag == 0:
            return MalformedFrame("a record's tag is 0: the peer speaks something else")
        if size > self.max_size:
            return FrameTooLarge(f"a value of {size} bytes was announced, at most {self.max_size} are allowed")
        return None


class Thermometer(StreamHandler[Record]):
    """Collects readings, for each connection apart."""

    codec = TLVCodec()

    def on_connect(self, conn: Connection[Record]) -> None:
        """``conn.state`` is ours: here the readings of this connection, as count, least, largest, sum."""
        conn.state = (0, 0, 0, 0)

    def on_message(self, conn: Connection[Record], message: Record) -> None:
        """A record that is wrong in itself gets an answer; only one that breaks the framing ends the connection."""
        tag, value = message
        if tag == READING and len(value) == _TEMPERATURE.size:
            count, least, largest, total = conn.state
            (reading,) = _TEMPERATURE.unpack(value)
            conn.state = (
                count + 1,
                min(least, reading) if count else reading,
                max(largest, reading) if count else reading,
                total + reading,
            )
        elif tag == SUMMARY and not value:
            conn.write(Record(SUMMARY, summary(*conn.state)))
        else:
            conn.write(Record(FAILURE, b"tag %d with %d bytes is no record of ours" % (tag, len(value))))


def summary(count: int, least: int, largest: int, total: int) -> bytes:
    """Of so many readings, in thousandths of a degree."""
    if not count:
        return b"count=0"
    text = f"count={count} min={least / 1000:.3f} max={largest / 1000:.3f} mean={total / count / 1000:.3f}"
    return text.encode()


def make_router(endpoint: str = "tcp://127.0.0.1:7020") -> Router:
    """One route; the codec is the handler's."""
    router = Router()
    router.add(endpoint, Thermometer())
    return router


router = make_router()

if __name__ == "__main__":
    raise SystemExit(run(make_router(*sys.argv[1:])))
