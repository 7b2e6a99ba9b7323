"""The way of bytes through TLS: what runs for each chunk that comes and each write that leaves, and nothing else.

Plain Python, complete as it stands, which Cython compiles with the types of ``tls_path.pxd`` where there is a C
compiler, under the same rules as ``message_path.py``.

All connections of a loop read and write through the same two buffers, each for as long as one call of OpenSSL lasts: it
finds them empty and leaves them empty. With two of its own a connection that has echoed 16 KiB would hold 70 kB instead
of 15; and they would be out of the processor's caches when its turn comes, while OpenSSL zeroes what it is about to
fill: a tenth of all that such a message costs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

__all__ = ["CLOSING", "HANDSHAKE", "OPEN", "RECORD", "Buffer", "TLSBuffers", "TLSPath"]

_JOIN: Final = b"".join  # of a single item it is that item, not a copy
_READ, _WRITE = ssl.SSLObject.read, ssl.SSLObject.write

HANDSHAKE: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
"""What ``_state`` says."""

RECORD: Final = 16 * 1024
"""Bytes that a record carries at most (RFC 8446, section 5.1), and so all that one call reads or writes."""

CHUNK: Final = 64 * 1024
"""Bytes read at once, as ``loop.READ_BUFFER``."""

TAKE_AT: Final = 64 * 1024
"""Bytes written at which their records are taken out of OpenSSL's buffer, which never shrinks."""

# The same, as what they are in C when compiled.
_HANDSHAKE, _OPEN, _CLOSING, _RECORD, _TAKE_AT = HANDSHAKE, OPEN, CLOSING, RECORD, TAKE_AT

Buffer = bytes | bytearray | memoryview


class TLSBuffers:
    """What OpenSSL reads from and writes to, on one loop.

    Attributes:
        chunk: What the plain transports read into, before anybody else reads. A buffer of our own saves the bytes
            object of a chunk, and asyncio allocates 256 KiB a read otherwise.
        owner: The connection whose bytes are in there, while it calls OpenSSL. Somebody else's call can come between,
            from a callback of the context, a signal handler or a finalizer: see :meth:`interrupt`.
    """

    __slots__ = ("_put", "_read", "_taken", "chunk", "incoming", "outgoing", "owner")

    def __init__(self) -> None:
        self.chunk = memoryview(bytearray(CHUNK))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._put, self._read = self.incoming.write, self.outgoing.read
        self.owner: TLSPath | None = None
        self._taken: list[bytes] = []  # from ``outgoing``, not yet sent

    def take(self) -> bytes:
        """All that is to be sent."""
        out = self._read()
        if self._taken:
            self._taken.append(out)
            out = _JOIN(self._taken)
            self._taken.clear()
        return out

    def set_aside(self) -> None:
        """Take out what is to be sent, and keep it."""
        self._taken.append(self.outgoing.read())

    def interrupt(self) -> bytes:
        """Make room in the midst of the owner's call: send what that has come to so far, so that its records leave in
        their order even if the interrupter is the owner. Returns what it has not read, which is to be put back."""
        owner, out = self.owner, self.take()
        rest = self.incoming.read()
        if out and owner is not None:
            owner._raw.write(out)
        return rest

    def give_back(self, owner: TLSPath | None, rest: bytes) -> None:
        """Leave the buffers as they were before :meth:`interrupt`, or empty."""
        self.owner = owner
        if rest:
            self.incoming.write(rest)


class TLSPath:
    """What a TLS connection needs for its records: between a plain transport and the protocol that speaks inside."""

    __slots__ = (
        "_buffers",
        "_decrypt",
        "_deliver",
        "_encrypt",
        "_eof",
        "_exc",
        "_partial",
        "_protocol",
        "_raw",
        "_said_all",
        "_ssl",
        "_state",
    )

    _buffers: TLSBuffers
    _deliver: Callable[[bytes], object]

    def __init__(self, raw: asyncio.Transport, context: ssl.SSLContext, buffers: TLSBuffers) -> None:
        self._raw = raw
        self._buffers = buffers
        self._ssl = context.wrap_bio(buffers.incoming, buffers.outgoing, server_side=True)
        engine = _engine(self._ssl)
        self._decrypt: Callable[[int], bytes] = engine.read
        self._encrypt: Callable[[Buffer], int] = engine.write
        self._protocol: Any = None
        self._state = _HANDSHAKE
        self._eof = self._said_all = False  # the peer's close_notify, and our own
        self._partial = False  # OpenSSL has taken the beginning of a record whose rest has not come
        self._exc: BaseException | None = None

    # ---- in ------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffers.chunk

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._buffers.chunk[:nbytes])

    def data_received(self, data: Buffer) -> None:
        if self._state == _CLOSING or self._eof or not data:
            return
        if self._state == _OPEN:
            self._read(data, len(data))
        else:
            self._shake_hands(data)

    def _shake_hands(self, data: Buffer) -> None:
        buffers = self._buffers
        outer = buffers.owner
        rest = b"" if outer is None else buffers.interrupt()
        buffers.owner = self
        done = False
        failure: BaseException | None = None
        try:
            buffers.incoming.write(data)
            self._ssl.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        except BaseException as exc:
            failure = exc
        early = buffers.incoming.read()  # came with the last of the handshake
        out = buffers.take()
        buffers.give_back(outer, rest)
        if out:
            self._raw.write(out)
        if failure is not None:
            self._meet(failure)
        elif done:
            self._state = _OPEN
            self._protocol.secured(self)
            if early:
                self.data_received(early)

    def _read(self, data: Buffer, size: int) -> None:
        """Decrypt all that has come, ``size`` bytes, and deliver it as one.

        A read is given room for as much as waits, which is more than the next record has in it; where a part of that
        record waits no more, because OpenSSL has it, for a whole one.
        """
        read, buffers = self._decrypt, self._buffers
        incoming = buffers.incoming
        first: bytes | None = None
        several: list[bytes] | None = None
        failure: BaseException | None = None
        outer = buffers.owner
        rest = b"" if outer is None else buffers.interrupt()
        buffers.owner = self
        try:
            buffers._put(data)
            if self._partial or size > _RECORD:
                size = _RECORD
            while True:
                part = read(size)
                if not part:
                    self._eof = True
                    break
                if first is None:
                    first = part
                    self._partial = False
                elif several is None:
                    several = [first, part]
                else:
                    several.append(part)
                size = incoming.pending
                if not size:
                    break
                if size > _RECORD:
                    size = _RECORD
        except ssl.SSLWantReadError:
            self._partial = True  # the rest of a record is on its way
        except ssl.SSLZeroReturnError:
            self._eof = True  # as an empty read, where we have said close_notify as well
        except BaseException as exc:
            failure = exc
        if self._eof or self._partial or failure is not None:
            incoming.read()  # what stands behind the end is nobody's; nothing does behind a part of a record
        out = buffers.take() if buffers.outgoing.pending else b""  # such as the answer to a key update
        if outer is None:
            buffers.owner = None
        else:
            buffers.give_back(outer, rest)
        if out:
            self._raw.write(out)
        if several is not None:
            self._deliver(_JOIN(several))
        elif first is not None:
            self._deliver(first)
        if failure is not None:
            self._meet(failure)
        elif self._eof and self._state == _OPEN and not self._protocol.eof_received():
            self.close()

    # ---- out -----------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        if self._state != _OPEN or self._said_all or not data:
            return
        if type(data) is not bytes:
            data = memoryview(data).cast("B")  # or its length might be of larger items
        buffers = self._buffers
        failure: BaseException | None = None
        outer = buffers.owner
        rest = b"" if outer is None else buffers.interrupt()
        buffers.owner = self
        try:
            done = self._encrypt(data) if len(data) <= _TAKE_AT else 0
            if done < len(data):  # much; or, if OpenSSL was told to, a record at a time
                self._write_much(data, done)
        except BaseException as exc:
            failure = exc
        out = buffers.take()
        if outer is None:
            buffers.owner = None
        else:
            buffers.give_back(outer, rest)
        if out:
            self._raw.write(out)
        if failure is not None:
            self._meet(failure)

    def _write_much(self, data: Buffer, done: int) -> None:
        buffers, view = self._buffers, memoryview(data)
        while done < len(view):
            done += self._encrypt(view[done : done + _TAKE_AT])
            buffers.set_aside()

    def _say_close_notify(self) -> bytes:
        """Nothing can be written from here on. Returns what is to be sent."""
        if self._said_all:
            return b""
        self._said_all = True
        buffers = self._buffers
        outer = buffers.owner
        rest = b"" if outer is None else buffers.interrupt()
        buffers.owner = self
        try:
            self._ssl.unwrap()
        except ssl.SSLWantReadError:
            pass  # the peer's own has not come yet
        except ssl.SSLError as exc:
            self._exc = self._exc or exc
        finally:
            out = buffers.take()
            buffers.give_back(outer, rest)
        return out

    # ---- the end -------------------------------------------------------------------------------

    def _meet(self, failure: BaseException) -> None:
        """What OpenSSL raised is the end of the connection; the alert that says so has been sent (RFC 8446, section
        6.2). Anything else is not ours."""
        if not isinstance(failure, ssl.SSLError):
            raise failure
        self._fail(failure)

    def _fail(self, exc: BaseException) -> None:
        """TLS cannot go on."""
        raise NotImplementedError

    def close(self) -> None:
        """Say the end, and end."""
        raise NotImplementedError


def _engine(tls: ssl.SSLObject) -> Any:
    """What reads and writes for this object, without the Python function that does nothing but call it.

    It is a private attribute, which a later Python may not have, and the functions may be overridden: then they serve.
    """
    kind = type(tls)
    inner = getattr(tls, "_sslobj", None)
    return tls if inner is None or kind.read is not _READ or kind.write is not _WRITE else inner
