"""Echo over a stream: RFC 862, and its variant that says so."""

from __future__ import annotations

from aionet import Connection, StreamHandler

__all__ = ["Echo"]


class Echo(StreamHandler[bytes]):
    """Sends back what comes, byte for byte, as it comes.

    It has no codec: a message is a chunk, that is what one read of the socket returned. TCP keeps no borders, so
    two sends of a peer may come as one chunk, and one send as several; nothing is held back to complete a line.
    Without a prefix this cannot be noticed. With one, ``prefix`` stands before each chunk, wherever that begins:
    good for a person or a test that waits for each answer, not for a program that sends ahead. Give the route a
    codec (``router.add(..., Echo(b"Echo: "), codec=LineCodec())``) and it stands before each message instead.

    Args:
        prefix: Bytes put before each chunk, such as ``b"Echo: "``.
    """

    def __init__(self, prefix: bytes = b"") -> None:
        self.prefix = prefix

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """Send the chunk back. Back-pressure is the connection's: it is not read while its output waits."""
        conn.write(self.prefix + message if self.prefix else message)
