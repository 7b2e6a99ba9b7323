"""The contracts: what users subclass, and what they hold.

Three ways to write a handler for a stream, chosen once at registration by what is overridden:

* **callbacks** (:class:`StreamHandler` with a plain ``on_message`` or ``on_messages``): called straight from the
  socket's readiness, no task, the fast path. A callback must not block.
* **async messages** (:class:`StreamHandler` with ``async def on_message``): one task per connection serves the
  messages in order, one at a time; those that ``on_message_nowait`` can answer need no turn of it.
* **coroutine** (a plain ``async def handler(conn)``): one task per connection; it reads with ``async for`` and
  the connection closes when it returns.

Datagrams have the same three: ``datagram.py``.

One handler instance serves a whole route. What belongs to one connection is kept in ``conn.state``.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from anyio.abc import ObjectStream

from .codec import Codec, CodecSource
from .errors import ProtocolError
from .events import Address, CloseReason, ConnectionStats, Event
from .limits import Limits, Timeouts
from .matching import Matcher

__all__ = [
    "Connection",
    "StreamHandler",
    "TLSFacts",
    "WritableBuffer",
]

M = TypeVar("M")

WritableBuffer = bytearray | memoryview
"""Memory that is received into."""


class TLSFacts:
    """What the TLS handshake of a connection agreed on.

    Attributes:
        version: Such as ``"TLSv1.3"``.
        cipher: Such as ``"TLS_AES_256_GCM_SHA384"``.
        alpn: The protocol chosen by ALPN, or ``None``.
        peer_certificate: The peer's certificate as :meth:`ssl.SSLSocket.getpeercert` gives it; empty if none was shown,
            or if it was not verified.
        certificate: The same certificate as it came (DER, X.509), verified or not; empty if none was shown.
    """

    __slots__ = ("alpn", "certificate", "cipher", "peer_certificate", "version")

    def __init__(
        self,
        version: str,
        cipher: str,
        alpn: str | None,
        peer_certificate: dict[str, Any],
        certificate: bytes = b"",
    ) -> None:
        self.version = version
        self.cipher = cipher
        self.alpn = alpn
        self.peer_certificate = peer_certificate
        self.certificate = certificate

    def __repr__(self) -> str:
        return f"TLSFacts(version={self.version!r}, cipher={self.cipher!r}, alpn={self.alpn!r})"


class Connection(ObjectStream[M]):
    """One connection, on either side. It is anyio's ``ObjectStream`` of messages, and more.

    Callback handlers use :meth:`write`; coroutines use :meth:`send`, :meth:`receive` and ``async for``. Operations
    raise anyio's exceptions: ``EndOfStream`` (the peer said goodbye), ``ClosedResourceError`` (we closed),
    ``BrokenResourceError`` (anything else ended it; its ``__cause__`` says what), ``BusyResourceError`` (two tasks
    at once). Not thread-safe: only the event loop's thread may touch it.
    """

    __slots__ = ()

    @abstractmethod
    def write(self, message: M) -> None:
        """Encode and buffer a message; returns at once. All writes of one chunk, or one tick, leave together.

        On a connection that is closing or closed it does nothing: the bytes could not arrive either way. Whoever
        needs to know uses :meth:`send`. Back-pressure: ``on_writable``, :attr:`writable`, or :meth:`send`.

        Raises:
            EncodeError: the codec cannot encode this message. With a codec that batches (lines), what a callback writes
                to its own connection is checked when the chunk is done: then the connection closes, HANDLER_ERROR.
        """

    @abstractmethod
    def write_encoded(self, data: bytes) -> None:
        """As :meth:`write`, for bytes in the codec's form already; of a codec that carries another, in that one's."""

    @abstractmethod
    async def send(self, item: M) -> None:
        """:meth:`write`, then wait until the peer keeps up. Some, all or none of it may have arrived on return.

        Cancelled while it waits, the message stays buffered and is still sent.

        Raises:
            EncodeError: the codec cannot encode this message.
            anyio.ClosedResourceError: we closed the connection.
            anyio.BrokenResourceError: it ended for any other reason.
        """

    @abstractmethod
    async def send_file(self, file: int, offset: int, count: int) -> int:
        """Send bytes of a file, behind what was written before; what is written meanwhile follows behind them.

        The bytes go to the peer as they are: a codec's header is written first. On a plain connection the kernel
        copies them (``sendfile(2)``). Waits while the peer does not keep up, and takes turns with others that send
        files, so that the loop is never held for longer than half a MiB takes. A slow disk is waited for in
        a thread.

        Args:
            file: Descriptor of a regular file; stays the caller's, who keeps it open until this returns.
            offset: Where in the file to begin, bytes.
            count: How many bytes.

        Returns:
            Bytes that left, or wait in the transport; fewer than ``count`` only where the file ended before. Whoever
            has announced more can but close.

        Raises:
            ValueError: a negative number.
            OSError: the file cannot be read; some of it may have left.
            anyio.BusyResourceError: another file is being sent.
            anyio.ClosedResourceError: we closed the connection.
            anyio.BrokenResourceError: it ended for any other reason.

        Cancelled, some of it has left: whoever has announced the rest can but abort.
        """

    @abstractmethod
    async def receive(self) -> M:
        """The next message. Only for clients, coroutine handlers, and ``async on_message``, which is then not called
        for it; cancelled, it loses nothing.

        Raises:
            anyio.EndOfStream: the peer sends no more (or the server drains), and all was received.
            anyio.ClosedResourceError: we closed the connection.
            anyio.BrokenResourceError: it ended for any other reason.
            anyio.BusyResourceError: another task is already receiving.
        """

    @abstractmethod
    def receive_nowait(self) -> M:
        """The next message, if it has come already; for whoever can use several at once.

        Raises:
            anyio.WouldBlock: it has not, or none will: :meth:`receive` tells.
        """

    @abstractmethod
    async def receive_into(self, buffer: WritableBuffer, at_least: int = 1) -> int:
        """Receive bytes of a body, as they come, into a buffer of your own; how many came. It takes a third of the CPU
        that pieces of 64 KiB take, on plain connections with native transports; elsewhere pieces are copied.

        For coroutine handlers and ``async on_message``, and for bytes that the codec hands on as they come: a whole
        stream without framing, or a body as long as :attr:`Codec.body_left` says. It ends at the end of the body.
        Nothing else may use the buffer meanwhile. Cancelled, it loses nothing.

        Args:
            buffer: Writable, of at least one byte.
            at_least: Bytes to wait for. Fewer come where the body, or the stream, ends before.

        Raises:
            ValueError: ``at_least`` is not between 1 and the size of the buffer.
            TypeError: the buffer is read-only, or not contiguous.
            RuntimeError: what comes next is no part of a body.
            anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.BusyResourceError: as
                :meth:`receive`; not before what came has been given.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Send what waits, then tell the peer that no more will come. Reading goes on.

        The TLS of a client cannot: it closes.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """:meth:`close`, then wait until the connection is gone. Cancelled while it waits, it aborts."""

    @abstractmethod
    def close(self) -> None:
        """Send what waits, then close. Messages received and not yet delivered are discarded. Idempotent."""

    @abstractmethod
    def abort(self, reason: CloseReason = CloseReason.LOCAL_CLOSED) -> None:
        """Close at once; what waits is thrown away and the peer sees a reset. Idempotent."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Deliver no more messages, and read no more, until :meth:`resume_reading`. Idempotent."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`. Messages held back are delivered from the next tick on. Idempotent."""

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until the connection is gone, whoever ends it."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether the peer keeps up: open, and no more than ``high_water`` bytes wait."""

    @property
    @abstractmethod
    def closing(self) -> bool:
        """Whether the connection is closed or about to be."""

    @property
    @abstractmethod
    def peername(self) -> Address:
        """The peer's address, as the socket module gives it."""

    @property
    @abstractmethod
    def sockname(self) -> Address:
        """Our own address."""

    @property
    @abstractmethod
    def tls(self) -> TLSFacts | None:
        """What TLS agreed on, or ``None`` on a plain connection."""

    @property
    @abstractmethod
    def route(self) -> str:
        """The name of the route that serves this connection; a client's: the endpoint it connected to."""

    @property
    @abstractmethod
    def stats(self) -> ConnectionStats:
        """Counts up to now."""

    @property
    @abstractmethod
    def state(self) -> Any:
        """Yours: a :class:`types.SimpleNamespace`, made at first use; or assign whatever you like to it."""

    @state.setter
    @abstractmethod
    def state(self, value: Any) -> None: ...

    @property
    @abstractmethod
    def codec(self) -> Codec[M]:
        """This connection's codec."""

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Report something about this connection to whoever watches the server."""

    @abstractmethod
    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody listens for events of this kind. Ask before building one on a busy path."""

    @abstractmethod
    def fileno(self) -> int:
        """The socket's descriptor, for looking (options, TCP_INFO); -1 when closed. Do not read or write it."""


class StreamHandler(Generic[M]):
    """What to do with a stream connection. Override what you need; every callback is optional.

    One instance serves all connections of its route. Callbacks run on the event loop and must not block. For one
    connection they never overlap and come in this order: ``on_connect``, then any number of ``on_message`` and
    ``on_writable``, then at most one of ``on_eof`` or ``on_fault``, then exactly one ``on_close``. An exception
    raised by any of them closes that connection alone (``HANDLER_ERROR``), is reported once, and never reaches the
    loop; ``on_close`` still follows.

    Attributes:
        codec: How bytes become messages. ``None``: chunks of bytes as they come.
        limits: Replaces the server's limits for routes of this handler, unless the route says otherwise.
        timeouts: Likewise for deadlines.
        match: How its clients begin, for a port that it shares: ``router.add(endpoint, Mine(), match=Mine.match)``, or
            ``serve ENDPOINT=one,two`` on the command line. On a port of its own it plays no part.
    """

    codec: CodecSource[M] | None = None
    limits: Limits | None = None
    timeouts: Timeouts | None = None
    match: Matcher | None = None

    def on_connect(self, conn: Connection[M]) -> None:
        """A connection is admitted, its handshakes (TLS, codec) done. Called once, before any message. May close."""

    def on_message(self, conn: Connection[M], message: M) -> Any:
        """One message has come. ``async def`` is allowed: then each is awaited before the next is delivered.

        If it closes or pauses the connection, the rest of the batch is discarded, or held back.
        """

    def on_message_nowait(self, conn: Connection[M], message: M) -> bool:
        """Beside an ``async def on_message``: each message is offered here first, unless the peer lags behind.

        ``True``: it is answered, without the turn of a task (15 us). ``False``: nothing was written; it is awaited.
        """
        return False

    def on_messages(self, conn: Connection[M], messages: list[M]) -> None:
        """All messages of one chunk at once, for handlers that can use the whole batch. Instead of ``on_message``."""

    def on_eof(self, conn: Connection[M]) -> None:
        """The peer sends no more; it may still read. Called at most once. The default closes after what waits."""
        conn.close()

    def on_writable(self, conn: Connection[M]) -> None:
        """The output fell below ``low_water`` after it had been above ``high_water``."""

    def on_fault(self, conn: Connection[M], fault: ProtocolError) -> None:
        """The peer broke the grammar. Last chance to write why; the connection closes after what waits."""

    def on_drain(self, conn: Connection[M]) -> None:
        """The server is leaving: finish, say goodbye, close. The default closes after what waits.

        A handler that does not close here is waited for until the drain deadline, then cut.
        """
        conn.close()

    def on_close(self, conn: Connection[M], reason: CloseReason, exc: BaseException | None) -> None:
        """The connection is gone, its socket closed. Exactly once, after everything else."""
