"""What an open port says of itself: the first bytes it sends unasked, or the certificate it shows to a TLS hello.

Bounded in bytes and time, whatever the peer does. Nothing is verified: the question is what is there, not whether to
trust it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import Final

from ..handler import TLSFacts
from .sockets import reason_of
from .tls import tls_facts

__all__ = ["MAX_BANNER", "Greeting", "greet"]

MAX_BANNER: Final = 512
"""Bytes kept. The longest greeting of a common protocol, SMTP's, is a line of at most 512 (RFC 5321, 4.5.3.1.5)."""
MORE_PATIENCE: Final = 0.25
"""Seconds for the rest, once a banner has begun; and for one inside TLS (imaps, smtps), where most wait for us."""
MAX_HANDSHAKE: Final = 256 * 1024
"""Bytes a peer may send until the handshake is done: chains are of some kB."""

_TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")
_CLIENT_HELLO: Final = b"\x01"
"""Type of the message behind a record's five bytes (RFC 8446, section 4). From a server it is our own, echoed."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What an open port said.

    Attributes:
        banner: At most :data:`MAX_BANNER` bytes; empty if it waits for its client.
        cut: Whether more had come.
        prompted: The banner answers our TLS hello, which was no TLS to the peer: what HTTP servers do.
        tls: What the handshake agreed on, with the certificate whether valid or not; ``None``: no TLS.
        refusal: Why TLS, which the peer does speak, was not agreed on.
    """

    banner: bytes = b""
    cut: bool = False
    prompted: bool = False
    tls: TLSFacts | None = None
    refusal: str | None = None


async def greet(sock: socket.socket, server_name: str | None, *, timeout: float) -> Greeting:
    """Listen, and if nothing comes, try TLS.

    Args:
        sock: Connected, non-blocking; stays open.
        server_name: For a server with several certificates (SNI, RFC 6066); ``None`` for an address.
        timeout: Seconds for each of the two.
    """
    banner, cut, ended = await _listen(sock, timeout)
    if banner or ended:
        return Greeting(banner, cut)
    return await _try_tls(sock, server_name, timeout)


async def _listen(sock: socket.socket, timeout: float) -> tuple[bytes, bool, bool]:
    """The banner, whether it is cut, and whether the peer has ended."""
    loop = asyncio.get_running_loop()
    banner = b""
    ended = False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout) as patience:
            while len(banner) <= MAX_BANNER and not ended:
                try:
                    data = await loop.sock_recv(sock, MAX_BANNER + 1 - len(banner))
                except OSError:
                    data = b""
                if data and not banner:
                    patience.reschedule(loop.time() + MORE_PATIENCE)
                banner += data
                ended = not data
    return banner[:MAX_BANNER], len(banner) > MAX_BANNER, ended


async def _try_tls(sock: socket.socket, server_name: str | None, timeout: float) -> Greeting:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        hello = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    except ValueError:  # a name that cannot stand in a hello
        hello = context.wrap_bio(incoming, outgoing)
    stream = _TLSStream(sock, hello, incoming, outgoing)
    try:
        async with asyncio.timeout(timeout):
            await stream.shake_hands()
    except ssl.SSLError as exc:
        return _not_tls(stream.first, exc)
    except (OSError, EOFError):  # TimeoutError is one
        return _not_tls(stream.first, None)
    facts = tls_facts(hello)
    banner = await stream.read_for(MORE_PATIENCE)
    return Greeting(banner[:MAX_BANNER], len(banner) > MAX_BANNER, tls=facts)


def _not_tls(first: bytes, exc: ssl.SSLError | None) -> Greeting:
    if first.startswith(_TLS_RECORDS) and first[5:6] != _CLIENT_HELLO:
        why = (exc.reason or reason_of(exc)) if exc is not None else "the handshake did not end"
        return Greeting(refusal=why.lower().replace("_", " "))
    return Greeting(first[:MAX_BANNER], len(first) > MAX_BANNER, prompted=bool(first))


class _TLSStream:
    """TLS over a bare socket. :attr:`first` is what the peer sent first, for the case that it is no TLS."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO):
        self._sock = sock
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._received = 0
        self.first = b""

    async def shake_hands(self) -> None:
        """Raises ``ssl.SSLError``, ``OSError``, or ``EOFError`` where the peer ends or goes on for ever."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._read_some()
            else:
                await self._flush()
                return

    async def read_for(self, seconds: float) -> bytes:
        """What the peer says within that time, at most one byte more than a banner has."""
        data = b""
        with contextlib.suppress(OSError, EOFError):  # TimeoutError and SSLError are OSErrors
            async with asyncio.timeout(seconds):
                while len(data) <= MAX_BANNER:
                    try:
                        some = self._tls.read(MAX_BANNER + 1 - len(data))
                    except ssl.SSLWantReadError:
                        await self._read_some()
                        continue
                    if not some:
                        break
                    data += some
        return data

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await asyncio.get_running_loop().sock_sendall(self._sock, self._outgoing.read())

    async def _read_some(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self._sock, 16384)
        self._received += len(data)
        if not data or self._received > MAX_HANDSHAKE:
            raise EOFError
        if len(self.first) <= MAX_BANNER:
            self.first += data[: MAX_BANNER + 1 - len(self.first)]
        self._incoming.write(data)
