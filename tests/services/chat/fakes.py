"""A connection without a network, and a chat room to test with it."""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio

from aionet import CloseReason, Connection
from aionet.codec import Codec
from aionet.errors import FrameTooLarge
from aionet.events import Address, ConnectionStats, Event
from aionet.handler import TLSFacts, WritableBuffer
from aionet.services.chat import Chat
from aionet.services.chat.wire import ChatCodec


class FakeConnection(Connection[bytes]):
    """Keeps what is written to it; what the peer sends is put in by the test.

    Attributes:
        sent: Bytes as they would go to the wire.
        half_closed: Whether our side said that no more will come.
    """

    def __init__(self, codec: Codec[bytes], tls: TLSFacts | None = None) -> None:
        self.sent = b""
        self.half_closed = anyio.Event()
        self._codec = codec
        self._tls = tls
        self._state: Any = None
        self._closing = False
        self._inbox: deque[bytes | Exception] = deque()
        self._arrived = anyio.Event()

    # the test's side

    def arrive(self, *items: bytes | Exception) -> None:
        """Let ``receive`` give these, one after the other; an exception is raised."""
        self._inbox.extend(items)
        self._arrived.set()

    def taken(self) -> list[str]:
        """The lines sent since the last call; an unfinished one at the end is one as well."""
        text, self.sent = self.sent.decode(), b""
        return text.splitlines()

    # the handler's side

    def write(self, message: bytes) -> None:
        self.write_encoded(self._codec.encode(message))

    def write_encoded(self, data: bytes) -> None:
        if not self._closing:
            self.sent += data

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self._closing:
            raise anyio.ClosedResourceError
        self.write(item)

    async def send_file(self, file: int, offset: int, count: int) -> int:
        raise NotImplementedError("a chat sends no files")

    def receive_nowait(self) -> bytes:
        raise NotImplementedError("a chat takes what comes")

    def emit(self, event: Event) -> None:
        raise NotImplementedError("a chat reports nothing")

    def wants(self, kind: type[Event]) -> bool:
        raise NotImplementedError("a chat reports nothing")

    async def receive_into(self, buffer: WritableBuffer, at_least: int = 1) -> int:
        raise AssertionError("a chat has no bodies")

    async def receive(self) -> bytes:
        while not self._inbox:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        await anyio.lowlevel.checkpoint()
        item = self._inbox.popleft()
        if isinstance(item, Exception):
            raise item
        return item

    async def send_eof(self) -> None:
        self.half_closed.set()

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._closing = True

    def abort(self, reason: CloseReason = CloseReason.LOCAL_CLOSED) -> None:
        self._closing = True

    def pause_reading(self) -> None:
        raise AssertionError("the chat pauses nobody")

    def resume_reading(self) -> None:
        raise AssertionError("the chat pauses nobody")

    async def wait_closed(self) -> None:
        raise AssertionError("the chat waits for nobody")

    @property
    def writable(self) -> bool:
        return not self._closing

    @property
    def closing(self) -> bool:
        return self._closing

    @property
    def peername(self) -> Address:
        return ("127.0.0.1", 1)

    @property
    def sockname(self) -> Address:
        return ("127.0.0.1", 2)

    @property
    def tls(self) -> TLSFacts | None:
        return self._tls

    @property
    def route(self) -> str:
        return "chat"

    @property
    def stats(self) -> ConnectionStats:
        return ConnectionStats(0, 0, 0, 0, 0)

    @property
    def state(self) -> Any:
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        self._state = value

    @property
    def codec(self) -> Codec[bytes]:
        return self._codec

    def fileno(self) -> int:
        return -1


class FakeRoom:
    """As :class:`aionet.Group`, without combining and without slow members."""

    def __init__(self) -> None:
        self.members: dict[Connection[Any], None] = {}

    def add(self, conn: Connection[Any], /) -> None:
        self.members[conn] = None

    def discard(self, conn: Connection[Any], /) -> None:
        self.members.pop(conn, None)

    def broadcast(self, message: Any, /, exclude: Connection[Any] | None = None) -> None:
        for member in list(self.members):
            if member is not exclude:
                member.write(message)


class World:
    """A :class:`Chat` and the core's part of the dialogue with it, at a time that stands still."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.room = FakeRoom()
        self.chat = Chat(room=self.room, clock=lambda: self.now, **options)

    def connect(self) -> FakeConnection:
        """Somebody arrives."""
        conn = FakeConnection(ChatCodec())
        self.chat.on_connect(conn)
        return conn

    def join(self, name: str) -> FakeConnection:
        """Somebody arrives and is called ``name``; what was said until then is forgotten by everybody."""
        conn = self.connect()
        self.say(conn, name)
        for member in self.room.members:
            assert isinstance(member, FakeConnection)
            member.taken()
        return conn

    def say(self, conn: FakeConnection, *lines: str | bytes) -> None:
        """Each line as one that ends with LF, however much of it there is."""
        self.feed(conn, b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))

    def feed(self, conn: FakeConnection, data: bytes) -> None:
        """What the core does with a chunk: feed, deliver, report a fault, close."""
        for message in conn.codec.feed(data):
            if conn.closing:
                break
            self.chat.on_message(conn, message)
        fault = conn.codec.fault
        if fault is not None and not conn.closing:
            assert isinstance(fault, FrameTooLarge)
            self.chat.on_fault(conn, fault)
            conn.close()
        if conn.closing:
            self.gone(conn, CloseReason.LOCAL_CLOSED if fault is None else CloseReason.FRAMING_ERROR)

    def gone(self, conn: FakeConnection, reason: CloseReason = CloseReason.PEER_RESET) -> None:
        """The connection is closed, for whatever reason."""
        conn.close()
        self.chat.on_close(conn, reason, None)
