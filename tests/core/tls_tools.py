"""A client's side of TLS in memory, and the server's transport between plain memory and a protocol."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any

from aionet.core.deadlines import Deadlines
from aionet.core.tls import server_context
from aionet.core.tls_transport import TLSTransport
from aionet.endpoint import Endpoint
from aionet.testing import MemoryTransport

from ..conftest import TLSFiles

__all__ = ["NAMES", "Notes", "Peer", "open_peer"]

NAMES = (("192.0.2.1", 7), ("192.0.2.2", 443))


class Notes(asyncio.Protocol):
    """A protocol that notes what happens to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received = bytearray()
        self.lost: list[BaseException | None] = []
        self.keep_open = False
        self.transport: TLSTransport | None = None

    def secured(self, transport: TLSTransport) -> None:
        self.calls.append("secured")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.calls.append("data")
        self.received += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keep_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


class Peer:
    """A client's side, and the server's transport between plain memory and a protocol."""

    def __init__(
        self, files: TLSFiles, protocol: Notes | None = None, server: ssl.SSLContext | None = None, **settings: Any
    ) -> None:
        loop = asyncio.get_running_loop()
        self.protocol = protocol or Notes()
        self.raw = MemoryTransport(loop, None)
        self.deadlines = Deadlines(loop, 0.01)
        endpoint = Endpoint.parse(f"tls://127.0.0.1:0?cert={files.server_cert}&key={files.server_key}")
        self.transport = TLSTransport(
            self.raw, server_context(endpoint, server), self.protocol, loop=loop, deadlines=self.deadlines, names=NAMES
        )
        self.raw.set_protocol(self.transport)
        context = ssl.create_default_context(cafile=str(files.ca))
        for name, value in settings.items():
            setattr(context, name, value)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def hear(self) -> bytes:
        """What the server has sent and the peer has decrypted; ``b""`` at its close_notify, too."""
        self.incoming.write(self.raw.taken)
        self.raw.taken.clear()
        heard = b""
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while data := self.tls.read(65536):
                heard += data
        return heard

    def say(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.tls.write(chunk)
        self.send()

    def send(self, size: int = 1 << 20) -> None:
        """Give the server what the engine has made, in pieces of this size."""
        data = self.outgoing.read()
        for start in range(0, len(data), size):
            self.raw.feed(data[start : start + size])

    def shake_hands(self, size: int = 1 << 20) -> None:
        for _ in range(5):
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.send(size)
            self.incoming.write(self.raw.taken)
            self.raw.taken.clear()

    def say_close_notify(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send()


def open_peer(files: TLSFiles, protocol: Notes | None = None, **settings: Any) -> Peer:
    peer = Peer(files, protocol, **settings)
    peer.shake_hands()
    assert peer.protocol.calls == ["secured"]
    return peer
