"""What the chat says on the wire: lines of UTF-8, each ended by LF; a CR before it is dropped.

::

    server                                   client
    Enter your username: (no line end)
                                             alice
    [SERVER] alice joined the chat!
                                             hello
    [bob] hi alice
                                             /quit
    [SERVER] goodbye

``[NAME] text`` is what somebody says; the server alone writes the name, and no name can be ``SERVER``. Every other
line of the server starts with ``[SERVER] ``. A message of the client is one line; one that starts with ``/`` is a
command. ``nc`` and ``telnet`` are full clients.
"""

from __future__ import annotations

from typing import Final

from ... import LineCodec, RawCodec
from ...errors import EncodeError

__all__ = ["JOINED", "MAX_LINE", "PROMPT", "REFUSAL_LIMIT", "SERVER", "ChatCodec", "TranscriptCodec", "server_line"]

PROMPT: Final = b"Enter your username: "
"""Asked on connect, and again after each refusal. Without a line end: the answer is typed behind it."""

SERVER: Final = "[SERVER] "
"""What each line of the server itself starts with."""

JOINED: Final = " joined the chat!"
"""What a line ends with that announces a name; the first one a client sees announces its own."""

MAX_LINE: Final = 4096
"""Bytes of a client's line. IRC allows 512; a terminal hands over at most 4096 (termios(3), canonical mode)."""

REFUSAL_LIMIT: Final = 5
"""Names that may be refused before the server hangs up."""


def server_line(text: str) -> bytes:
    """A line of the server itself, without its line end. The text must be :func:`~.text.visible` already."""
    return f"{SERVER}{text}".encode()


class TranscriptCodec(RawCodec):
    """What a terminal shows, for the client: as it comes from a stream; of WebSocket messages, a line each."""

    text = True

    __slots__ = ()

    def feed_payload(self, payload: bytes) -> list[bytes]:
        """A line with its end, or the prompt, which has none."""
        return [payload if payload == PROMPT else payload + b"\n"]

    def encode_payload(self, message: bytes) -> bytes:
        """A line without its end."""
        return message.removesuffix(b"\n")


class ChatCodec(LineCodec):
    """Lines of at most :data:`MAX_LINE` bytes from the client; lines of any length to it.

    What is relayed is longer than what came: it has a name in front, and what no terminal should obey is written out
    (a byte becomes at most four). The last line counts without its line end, too (``printf hi | nc``).
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(MAX_LINE, eof_ends_line=True)

    def encode(self, message: bytes) -> bytes:
        """The message and LF.

        Raises:
            EncodeError: the message has a line end inside.
        """
        if b"\n" in message:
            raise EncodeError("a chat message is one line; it must pass visible() before it is sent")
        return message + b"\n"
