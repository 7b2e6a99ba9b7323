"""Downloads of one file from the file service (:mod:`aionet.services.files`), counted and hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from ..handler import Connection
from ..services.files import ReplyCodec
from ..services.files.wire import ErrorReply, Message, Reply, Request
from .clients import OrderedClient
from .streams import ConnectedClient
from .tally import Tally

__all__ = ["FileClient", "FileLoad"]


@dataclass(frozen=True, slots=True)
class FileLoad:
    """What the connections of a process share.

    Attributes:
        name: The server's name for the file.
        digest: SHA-256 that it has to have, in hexadecimal; ``None``: all have to have the same.
        verify: Whether it is hashed at all, which is what takes the generator most of its time.
        window: Requests under way on one connection.
    """

    name: str
    digest: str | None
    verify: bool
    window: int

    def client(self, tally: Tally, position: int, quota: int) -> FileClient:
        """A connection."""
        return FileClient(self, tally, quota)


class FileClient(OrderedClient, ConnectedClient):
    """One connection: a download is a message."""

    codec = ReplyCodec()

    def __init__(self, load: FileLoad, tally: Tally, quota: int) -> None:
        super().__init__(tally, load.window, quota)
        self._load = load
        self._missing = 0  # bytes of the file that is coming
        self._hash: Any = None
        self._progressed = 0

    def _transmit(self, count: int) -> None:
        for _ in range(count):
            self._conn.write(Request("GET", self._load.name))

    def on_messages(self, conn: Connection[Message], messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, bytes):
                self._take(message)
            elif isinstance(message, Reply):
                self._missing = message.size
                self._hash = hashlib.sha256() if self._load.verify else None
                if not message.size:
                    self._complete()
            elif isinstance(message, ErrorReply):
                self.tally.wrong += 1
                self.tally.show("wrong replies", f"{message.code} {message.reason}")
                self.give_up("the server refused the file")

    def _take(self, data: bytes) -> None:
        self._missing -= len(data)
        self.tally.bytes_received += len(data)
        if self._hash is not None:
            self._hash.update(data)
        if not self._missing:
            self._complete()

    def _complete(self) -> None:
        if self._hash is not None:
            digest = self._hash.hexdigest()
            self.tally.digests.add(digest)
            if self._load.digest is not None and digest != self._load.digest:
                self.tally.wrong += 1
                self.tally.show("wrong replies", f"SHA-256 {digest}, expected {self._load.digest}")
        self._count_answers(1)

    def check(self, now: int, timeout: int) -> None:
        """A long file is no silence: bytes that come are progress, too."""
        received = self._conn.stats.bytes_received
        if received != self._progressed:
            self._progressed = received
            self._progress = (self.answered, now)
        super().check(now, timeout)
